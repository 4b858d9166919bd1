//! The catalog: a handle to its storage, shared by routes, rating and billing.

use crate::database::{Database, DatabaseError, WriteTransaction};
use crate::schema;
use crate::snapshot::{SnapshotKeeper, next_version};
use domain::ids::{ApiKeyId, OrganizationId};
use domain::snapshot::SnapshotCell;
use domain::time::Timestamp;
use http_api::{ApiError, KeyUsage};
use std::sync::Arc;
use std::time::Duration;

/// How long a key's last use stays in memory before it is written down.
pub const KEY_USAGE_INTERVAL: Duration = Duration::from_secs(60);

/// How late a planned start or end may be noticed. A look that finds nothing is two reads of small indexes.
pub const TIME_KEEPING_INTERVAL: Duration = Duration::from_secs(5);

/// Organizations, keys, customers, metrics, plans and subscriptions.
#[derive(Clone)]
pub struct Catalog {
    database: Database,
    snapshots: Arc<SnapshotKeeper>,
}

impl Catalog {
    /// Brings the tables to the newest version, reads the first snapshot and starts watching for changes of other processes.
    ///
    /// # Errors
    /// When the database cannot be read or written.
    pub async fn open(database: Database) -> Result<Self, DatabaseError> {
        schema::migrate(&database).await?;
        let snapshots = SnapshotKeeper::start(database.clone()).await?;
        Ok(Self { database, snapshots })
    }

    /// What the event path may know, always current.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotCell {
        self.snapshots.cell()
    }

    /// The database, for components that keep their tables beside these.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) async fn write(&self) -> Result<WriteTransaction, DatabaseError> {
        self.database.write().await
    }

    /// Commits a write that the event path sees (keys, limits, clocks, metrics, dimensions) and shows it at once.
    pub(crate) async fn commit_shown(
        &self,
        mut write: WriteTransaction,
        organization: OrganizationId,
    ) -> Result<(), DatabaseError> {
        let version = next_version(&mut write).await?;
        write.commit().await?;
        self.snapshots.changed(organization, version).await
    }

    /// Writes down when keys were last used.
    ///
    /// # Errors
    /// When the database cannot be written; what was noted is then lost, which costs nothing but the display.
    pub async fn store_key_usage(&self, usage: &KeyUsage) -> Result<(), DatabaseError> {
        let used: Vec<(ApiKeyId, Timestamp)> = usage.take();
        if used.is_empty() {
            return Ok(());
        }
        let mut write = self.write().await?;
        for (key, last) in used {
            sqlx::query(
                "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            )
            .bind(key.to_string())
            .bind(last.0)
            .execute(write.connection())
            .await?;
        }
        write.commit().await
    }

    /// Starts and ends the subscriptions of live organizations as their planned instants come, until the task is aborted. Each
    /// starts and ends at its instant, however late it is noticed.
    pub async fn keep_time(self, clock: http_api::SharedClock) {
        loop {
            if let Err(fault) = self.advance(None, clock.now()).await {
                tracing::warn!(%fault, "planned starts and ends could not be carried out; it is tried again");
            }
            tokio::time::sleep(TIME_KEEPING_INTERVAL).await;
        }
    }

    /// Writes down keys' use and drops old idempotency keys every minute, until the task is aborted.
    pub async fn tidy(self, usage: Arc<KeyUsage>, clock: http_api::SharedClock) {
        loop {
            tokio::time::sleep(KEY_USAGE_INTERVAL).await;
            let written = self.store_key_usage(&usage).await;
            let swept = self.sweep_idempotency_keys(clock.now()).await;
            if let Some(fault) = written.err().or(swept.err()) {
                tracing::warn!(%fault, "tidying the catalog failed; it is tried again in a minute");
            }
        }
    }
}

/// The rows an `UPDATE` or `DELETE` touched must be one, else what was named does not exist.
pub(crate) fn found(rows_affected: u64, what: &str) -> Result<(), ApiError> {
    if rows_affected == 0 { Err(ApiError::not_found(what)) } else { Ok(()) }
}
