//! Billing on the real parts: catalog and ledger on SQLite, events in the real engine, routes over HTTP.

mod billing;
mod disturbed;
mod routes;
mod support;
