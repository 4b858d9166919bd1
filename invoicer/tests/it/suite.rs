//! Every test of billing, on the database that the name of the module says: see `main.rs`.

mod actions;
mod at_one_instant;
mod billing;
mod coupons;
mod credit_notes;
mod disturbed;
mod in_advance;
mod killed;
mod late_usage;
#[cfg(feature = "pdf")]
mod pages;
mod payments;
mod routes;
mod run_reports;
mod support;
mod thresholds;
mod usage_alerts;
mod wallets;
