//! Billing on the real parts: catalog and ledger on SQLite, events in the real engine, routes over HTTP.
// A test ends where its expectation does.
#![allow(clippy::unwrap_used)]

mod billing;
mod disturbed;
mod routes;
mod support;
