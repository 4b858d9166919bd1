//! `tollgate api`

use super::service;
use crate::configuration::SettingFlags;
use crate::failure::Failure;
use crate::services::Service;
use clap::Args;

/// Run the API by itself: catalog, usage and invoices over HTTP
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate api --listen 0.0.0.0:8081 --kafka-brokers kafka-1:9092 \\
      --clickhouse-url http://clickhouse:8123 --database-url postgres://tollgate@db/tollgate

Serves every route but those that take events, which `tollgate gateway` serves; a reverse proxy
can put both behind one address. Billing runs are executed by `tollgate rater`; sandboxes are
billed here, when their clock is moved. Needs TOLLGATE_ADMIN_SECRET. Any number of them may run.")]
pub struct ApiCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl ApiCommand {
    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// What kept it from starting, in one line.
    pub async fn run(self) -> Result<(), Failure> {
        service::serve(&self.settings, Service::Api).await
    }
}
