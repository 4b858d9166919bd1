//! The catalog over HTTP: the same suite on a real SQLite file and on a real PostgreSQL.

// A test says what it expects by failing.
#![allow(clippy::unwrap_used, missing_docs)]
// One text, two databases: a world asks its module's name which of them it is on.
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
