//! Organizations, API keys, customers, billable metrics, plans and subscriptions: storage and REST.

pub mod database;
