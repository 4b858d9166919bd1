//! Billing on the real parts: events in the real engine, routes over HTTP, catalog and ledger on SQLite and on PostgreSQL.
// A test ends where its expectation does.
#![allow(clippy::unwrap_used)]
// One text, two databases: an installation asks its module's name which of them it is on.
#![allow(clippy::duplicate_mod)]

#[cfg(postgres_installed)]
#[path = "suite.rs"]
mod postgres;
#[path = "suite.rs"]
mod sqlite;

#[cfg(not(postgres_installed))]
#[test]
#[ignore = "no PostgreSQL on this machine (apt-get install postgresql): the suite ran on SQLite only"]
fn the_suite_runs_on_postgresql() {}
