//! What time alone changes, told on `/metrics`: room on the disk, a billing run that does not end, keys that expire.
//!
//! | gauge | of |
//! |---|---|
//! | `tollgate_data_directory_free_bytes` | the file system of the data directory |
//! | `tollgate_billing_run_unfinished_seconds` | the oldest run that has not ended; 0 when there is none |
//! | `tollgate_api_keys_expiring` | active API keys that expire within two weeks |
//!
//! It refuses to guess: what cannot be read keeps its last value, and the failure is logged.

use crate::data_directory;
use crate::failure::Failure;
use catalog::Catalog;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use invoicer::ledger::runs;
use std::path::PathBuf;
use std::time::Duration;

/// Two questions of some rows to the ledger.
const EVERY: Duration = Duration::from_secs(15);

/// Two weeks: time to give a sender another key.
const EXPIRING_MICROS: i64 = 14 * 24 * 3600 * MICROS_PER_SECOND;

/// What is looked at.
pub(super) struct Watch {
    pub(super) catalog: Catalog,
    /// Absent in a service by itself.
    pub(super) directory: Option<PathBuf>,
    /// Whether runs and keys are told by this process: by those that have the ledger to answer people.
    pub(super) tells_of_ledger: bool,
}

impl Watch {
    /// Looks until the task is aborted.
    pub(super) async fn keep(self) {
        loop {
            if let Err(fault) = self.look().await {
                tracing::warn!(%fault, "gauges keep their last values");
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self) -> Result<(), Failure> {
        if let Some(directory) = &self.directory {
            let free = data_directory::free_bytes(directory)?;
            metrics::gauge!("tollgate_data_directory_free_bytes").set(free as f64);
        }
        if !self.tells_of_ledger {
            return Ok(());
        }
        let now = Timestamp::now();
        let mut connection = self.catalog.database().pool().acquire().await.map_err(Failure::trouble)?;
        let open = runs::unfinished(&mut connection).await.map_err(Failure::trouble)?;
        let oldest = open.iter().map(|run| now.0.saturating_sub(run.started_at.0)).max().unwrap_or(0);
        metrics::gauge!("tollgate_billing_run_unfinished_seconds").set((oldest / MICROS_PER_SECOND) as f64);
        let until = Timestamp(now.0.saturating_add(EXPIRING_MICROS));
        let expiring = self.catalog.keys_expiring(now, until).await.map_err(Failure::trouble)?;
        metrics::gauge!("tollgate_api_keys_expiring").set(expiring as f64);
        Ok(())
    }
}
