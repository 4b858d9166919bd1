//! `tollgate gateway`

use super::service;
use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Service;
use clap::Args;

/// Run a gateway by itself: events over HTTP into the log
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate gateway --listen 0.0.0.0:8080 --kafka-brokers kafka-1:9092,kafka-2:9092 \\
      --database-url postgres://tollgate@db/tollgate

Any number of them may run. Serves the routes that take events (POST below /v1/events and
/api/v1/events), /healthz, /readyz and /metrics; everything else is served by `tollgate api`.
2xx means that all in-sync replicas hold the events. With --clickhouse-url answers show known
events as they are stored; it takes events also while that server is away. Ctrl-C or SIGTERM
lets requests finish and sends what is open.")]
pub struct GatewayCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl GatewayCommand {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting, in one line.
    pub async fn run(self) -> Result<(), Failure> {
        service::serve(&self.settings, Service::Gateway).await
    }
}
