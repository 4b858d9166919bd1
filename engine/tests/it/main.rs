//! Tests against a real engine process: clients, protocol, process life.

mod crate_client;
mod process;
mod protocol;
mod python_client;
mod support;
