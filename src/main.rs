//! The `tollgate` binary: command line, configuration, composition of the services.
//!
//! Where to look:
//! - [`command_line`]: one file per command
//! - [`configuration`]: every setting, where it is set, what is refused
//! - [`data_directory`]: the lock and the small files of an embedded installation
//! - [`services`]: how `up` puts the parts together and takes them down
//! - [`client`]: how commands speak to the HTTP API
//! - [`import`]: files of events, sent over HTTP
//! - [`archive`]: closed months in files, and fees proved from them
//! - [`demo`]: a real trace, billed
//!
//! It refuses to know business rules: what an event, a fee or an invoice is lives in the crates it composes.

mod archive;
mod client;
mod command_line;
mod configuration;
mod data_directory;
mod demo;
mod failure;
mod import;
mod logging;
mod services;
mod terminal;

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// The system's allocator took a tenth of the processor time of a single event's request.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match command_line::CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
