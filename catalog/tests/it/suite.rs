//! Every test of the catalog, on the database that the name of the module says: see `main.rs`.

mod add_ons;
mod at_one_instant;
mod audit;
mod bad_input;
mod billing;
mod billing_entities;
mod change_plan;
mod commitments;
mod customers;
mod given_up;
mod idempotency;
mod isolation;
mod metrics;
mod organizations;
mod plans;
mod routes;
mod snapshot;
mod subscriptions;
mod taxes;
mod thresholds;
mod world;
