//! The writer's handle.

use super::types::{AcceptError, Accepted, DirectConfig, Voided, WriterState};
use crate::connection::StoreConfig;
use crate::error::StoreError;
use domain::event_batch::EventBatch;
use domain::ids::OrganizationId;
use domain::snapshot::SnapshotCell;
use domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Room for one request, given back when dropped.
#[must_use = "the room is given back as soon as the permit is dropped"]
pub struct Permit {
    _bytes: usize,
}

/// The one writer of the event store in direct mode; cheap to clone. The caller holds the lease (a file lock).
#[derive(Clone)]
pub struct DirectWriter {
    _config: DirectConfig,
}

fn pending() -> AcceptError {
    AcceptError::Unavailable { reason: "the writer is not connected yet".into(), retry_after: Duration::from_secs(1) }
}

#[allow(clippy::unused_async)]
impl DirectWriter {
    /// Migrates the schema, recovers what an earlier writer left, loads the filter of known ids and starts the writer task.
    pub async fn start(_store: StoreConfig, config: DirectConfig, _catalog: SnapshotCell) -> Result<Self, StoreError> {
        Ok(Self { _config: config })
    }

    /// Reserves room for about `bytes` of request body. Never waits.
    pub fn admit(&self, bytes: usize) -> Result<Permit, AcceptError> {
        Ok(Permit { _bytes: bytes })
    }

    /// Stores a batch; returns once every row is durable (I1).
    pub async fn accept(&self, _batch: Arc<EventBatch>) -> Result<Accepted, AcceptError> {
        Err(pending())
    }

    /// Takes one event out of every bill not yet issued; may come before its event.
    pub async fn void(
        &self,
        _organization: OrganizationId,
        _transaction_id: &str,
        _now: Timestamp,
    ) -> Result<Voided, AcceptError> {
        Err(pending())
    }

    /// Whether it makes progress.
    pub fn state(&self) -> WriterState {
        WriterState::NotReady("not connected yet".into())
    }

    /// Takes no more, finishes what it took, and returns.
    pub async fn close(&self) {}
}
