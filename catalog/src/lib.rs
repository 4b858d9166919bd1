//! Organizations, API keys, customers, billable metrics, plans and subscriptions: storage and REST.

pub mod billing;
pub mod catalog;
mod columns;
pub mod customer;
pub mod database;
mod fields;
pub mod idempotency;
pub mod metric;
pub mod organization;
mod page;
pub mod plan;
mod schema;
mod snapshot;
pub mod state;

pub use catalog::Catalog;
pub use database::{Database, DatabaseError, Dialect, WriteTransaction};
