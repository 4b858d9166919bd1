//! The command line: one file per command.

mod check_config;
mod import;

use crate::failure::Failure;
use clap::{Parser, Subcommand};

/// Usage events in, correct invoices out
#[derive(Parser, Debug)]
#[command(name = "tollgate", version, max_term_width = 120)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Import(import::ImportCommand),
    CheckConfig(check_config::CheckConfigCommand),
}

impl CommandLine {
    /// Runs the command that was given.
    ///
    /// # Errors
    /// Whatever kept it from succeeding.
    pub async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Import(command) => command.run().await,
            Command::CheckConfig(command) => command.run().await,
        }
    }
}
