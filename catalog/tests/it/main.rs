//! The catalog over HTTP and on a real SQLite file.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, missing_docs)]

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
