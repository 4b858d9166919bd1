//! Every test of the catalog, on the database that the name of the module says: see `main.rs`.

mod bad_input;
mod billing;
mod customers;
mod idempotency;
mod isolation;
mod metrics;
mod organizations;
mod plans;
mod routes;
mod snapshot;
mod subscriptions;
mod world;
