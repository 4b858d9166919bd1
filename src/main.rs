//! The `tollgate` binary: command line, configuration, composition of the services.
//!
//! Where to look:
//! - [`command_line`]: one file per command
//! - [`configuration`]: every setting, where it is set, what is refused
//! - [`data_directory`]: the lock and the small files of an embedded installation
//! - [`client`]: how commands speak to the HTTP API
//! - [`import`]: files of events, sent over HTTP
//!
//! It refuses to know business rules: what an event, a fee or an invoice is lives in the crates it composes.

mod client;
mod command_line;
mod configuration;
mod data_directory;
mod failure;
mod import;
mod logging;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match command_line::CommandLine::parse().run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tollgate: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
