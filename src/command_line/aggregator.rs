//! `tollgate aggregator`

use super::service;
use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Service;
use clap::Args;

/// Run an aggregator by itself: the log into the event store
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate aggregator --listen 127.0.0.1:8082 --kafka-brokers kafka-1:9092 \\
      --clickhouse-url http://clickhouse:8123 --database-url postgres://tollgate@db/tollgate

Any number of them may run, up to the partitions of the log; they share its partitions, and
another one takes over when one dies. Serves /healthz, /readyz and /metrics (lag among them).
Ctrl-C or SIGTERM stores what was read and hands the partitions over.")]
pub struct AggregatorCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl AggregatorCommand {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting, in one line.
    pub async fn run(self) -> Result<(), Failure> {
        service::serve(&self.settings, Service::Aggregator).await
    }
}
