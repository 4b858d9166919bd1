//! `load-tests`: see the library's head. SIGTERM and SIGINT drop what is under way, and with it end the processes and brokers
//! that it started and remove its temporary folder.

use clap::Parser;
use load_tests::cli::Cli;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    // The load has threads of its own; this runtime prepares, watches and audits.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("load-tests: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let ended = runtime.block_on(execute(Cli::parse()));
    // What waits on a thread of its own (for a line of a child, say) is not waited for: nothing is left that needs it.
    runtime.shutdown_background();
    ended
}

async fn execute(cli: Cli) -> ExitCode {
    let (mut terminate, mut interrupt) = match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("load-tests: cannot listen for signals: {error}");
            return ExitCode::from(2);
        }
    };
    let interrupted = async {
        // As shells tell it: 128 and the number of the signal.
        tokio::select! {
            _ = terminate.recv() => ("SIGTERM", 128 + 15),
            _ = interrupt.recv() => ("SIGINT", 128 + 2),
        }
    };
    let executed = tokio::select! {
        executed = cli.execute() => executed,
        (name, status) = interrupted => {
            eprintln!("load-tests: {name}: everything it started has been ended");
            return ExitCode::from(status);
        }
    };
    match executed {
        Ok(status) => status,
        Err(error) => {
            eprintln!("load-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}
