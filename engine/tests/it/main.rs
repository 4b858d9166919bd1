//! Tests against a real engine process: clients, protocol, process life.
#![allow(clippy::unwrap_used)] // A test says what must hold by panicking.

mod crate_client;
mod process;
mod protocol;
mod python_client;
mod support;
