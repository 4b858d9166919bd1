//! `tollgate rater`

use super::service;
use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Service;
use clap::Args;

/// Run a rater by itself: billing runs
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate rater --listen 127.0.0.1:8083 --kafka-brokers kafka-1:9092 --billing-automatic \\
      --clickhouse-url http://clickhouse:8123 --database-url postgres://tollgate@db/tollgate

Executes the billing runs that are asked for over `tollgate api`, takes up those of a rater that
died, and with --billing-automatic bills as periods end. A run waits until everything that was in
the log when it began is in the store. Serves /healthz, /readyz and /metrics. Any number of them
may run: each run is executed by one, and taken up by another ten seconds after that one died.")]
pub struct RaterCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl RaterCommand {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting, in one line.
    pub async fn run(self) -> Result<(), Failure> {
        service::serve(&self.settings, Service::Rater).await
    }
}
