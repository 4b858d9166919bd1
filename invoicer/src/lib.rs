//! From rated usage to invoices that finance can check: each thing billed exactly once, whatever dies in between.
//!
//! Where to look, in the order in which an invoice comes about:
//! - [`scheduler`], or `POST /v1/billing_runs` ([`api`]): who starts a run
//! - [`run`]: its stages; [`inputs`]: what it needs from catalog, event store and rater
//! - [`due`]: which stretches of which subscriptions are due
//! - [`assemble`], [`charge_fee`], [`commitment`], [`mod@tax`]: flat fees, rated usage, minimum commitments and taxes on invoices
//!   ([`model`])
//! - [`credits`]: what is taken off an invoice by coupons, credit notes and wallets
//! - [`ledger`]: written in one transaction with numbers and frontiers; read by [`api`]
//! - [`actions`]: an invoice issued, refreshed, paid, taken back or made again by hand; [`handmade`]: lines given by hand, add-ons
//! - [`coupons`]: made, applied and ended by hand; [`wallets`]: opened, filled, moved, ended
//! - [`credit_notes`]: what was billed, credited; by hand, or as a subscription ends
//! - [`payments`]: money written down, refunded; [`payment_requests`]: asked for
//! - [`usage_alerts`]: made, changed, looked at
//! - [`prove`]: one fee counted again; [`preview`]: what the open period comes to so far; [`printed`]: an invoice as a page
//!
//! It refuses to parse events, to price usage, and to read clocks below [`scheduler`] and [`api`].
//!
//! Invariants asserted here: I3 (a fee names its cut and versions, [`ledger`]), I4 (billed once, [`due`] and [`ledger`]), I5
//! (rounded once, then integers add up, [`assemble`]), I6 (no instant billed twice or left out, [`due`]), I8 (every read of
//! a tenant names it, [`ledger`]).

pub mod actions;
pub mod api;
pub mod assemble;
pub mod charge_fee;
pub mod check_ledger;
mod closed_usage;
pub mod commitment;
pub mod coupons;
pub mod credit_notes;
pub mod credits;
pub mod due;
mod fee_period;
pub mod handmade;
mod hooks;
pub mod inputs;
pub mod ledger;
pub mod model;
pub mod payment_requests;
pub mod payments;
pub mod preview;
pub mod printed;
pub mod prove;
pub mod run;
pub mod scheduler;
pub mod tax;
pub mod usage_alerts;
pub mod wallets;

pub use api::{InvoicerState, openapi, router};
pub use check_ledger::{LedgerProblem, LedgerReport, check_ledger};
pub use inputs::{BillingInputs, InputError, StoreInputs};
pub use ledger::runs::{RunRecord, RunScope, RunStatus};
pub use prove::{FeeProver, ProveError};
pub use run::progress::{RunObserver, RunProgress, Unobserved};
pub use run::{BillingRuns, Executes, Lease, Portions, RunError};
pub use scheduler::Scheduler;

#[cfg(test)]
mod testing;
