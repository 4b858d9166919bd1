//! `load-tests`: see the library's head.

use clap::Parser;
use load_tests::cli::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The load has threads of its own; this runtime prepares, watches and audits.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load-tests: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(Cli::parse().execute()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("load-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}
