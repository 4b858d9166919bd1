//! The command line: one file per command.

mod aggregator;
mod api;
mod archive;
mod bill;
mod check_config;
mod check_ledger;
mod demo;
mod engine;
mod gateway;
mod import;
mod prove;
mod rater;
mod service;
mod store;
mod topic;
mod up;

use crate::failure::Failure;
use clap::{Parser, Subcommand};
use std::future::Future;

/// Usage events in, correct invoices out
#[derive(Parser, Debug)]
#[command(name = "tollgate", version, max_term_width = 120)]
#[command(after_help = "\
Example: everything on this machine, with a real trace to look at
  tollgate up --demo")]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Up(Box<up::UpCommand>),
    Gateway(Box<gateway::GatewayCommand>),
    Aggregator(Box<aggregator::AggregatorCommand>),
    Rater(Box<rater::RaterCommand>),
    Api(Box<api::ApiCommand>),
    Engine(engine::EngineCommand),
    Topic(Box<topic::TopicCommand>),
    Bill(Box<bill::BillCommand>),
    Import(Box<import::ImportCommand>),
    Prove(Box<prove::ProveCommand>),
    Store(store::StoreCommand),
    Archive(Box<archive::ArchiveCommand>),
    CheckConfig(Box<check_config::CheckConfigCommand>),
    CheckLedger(Box<check_ledger::CheckLedgerCommand>),
    Demo(Box<demo::DemoCommand>),
}

impl CommandLine {
    /// Runs the command that was given.
    ///
    /// # Errors
    /// Whatever kept it from succeeding.
    pub fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Engine(command) => command.run(),
            Command::Up(command) => on_runtime(command.run()),
            Command::Gateway(command) => on_runtime(command.run()),
            Command::Aggregator(command) => on_runtime(command.run()),
            Command::Rater(command) => on_runtime(command.run()),
            Command::Api(command) => on_runtime(command.run()),
            Command::Bill(command) => on_runtime(command.run()),
            Command::Import(command) => on_runtime(command.run()),
            Command::Prove(command) => on_runtime(command.run()),
            Command::Store(command) => on_runtime(command.run()),
            Command::Archive(command) => on_runtime(command.run()),
            Command::CheckConfig(command) => on_runtime(command.run()),
            Command::CheckLedger(command) => on_runtime(command.run()),
            Command::Topic(command) => on_runtime(command.run()),
            Command::Demo(command) => on_runtime(command.run()),
        }
    }
}

fn on_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::trouble)?;
    let outcome = runtime.block_on(command);
    // Whatever still blocks (a reading thread on standard input) must not keep the process.
    runtime.shutdown_background();
    outcome
}
