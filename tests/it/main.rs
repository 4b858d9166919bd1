//! End to end: the binary, driven over HTTP and by its commands, as a user would.
//!
//! Each test has its own data directory, port and process tree. The engine is found as the binary finds it
//! (`TOLLGATE_ENGINE_LIB`, else `.cache/engine`); without one these tests fail and say what to do.

// A test says what must hold by panicking.
#![allow(clippy::unwrap_used)]

mod account;
mod harness;
mod log;
mod oracle;
mod trace;
mod wire;

mod archive;
mod bad_environment;
mod chaos;
mod commands;
mod contract;
mod dashboards;
mod demo;
mod deploy;
mod docs;
mod golden;
mod hostile_sockets;
mod import;
mod lives;
mod published_clients;
mod reading_again;
mod sandbox;
mod secrets;
mod services;
mod spine;
mod starts;
mod status_page;
mod store;
mod streaming;
mod tenants;
mod wrong_topics;
