//! The writer's handle: what requests call.

use super::group::Answer;
use super::progress::Progress;
use super::shared::Shared;
use super::task;
use super::types::{AcceptError, Accepted, DirectConfig, Voided, WriterState};
use crate::connection::{Connection, StoreConfig};
use crate::error::StoreError;
use domain::event_batch::EventBatch;
use domain::ids::OrganizationId;
use domain::snapshot::SnapshotCell;
use domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Room is counted in KiB: the semaphore counts to 2³² only.
const ROOM_UNIT: usize = 1024;
/// A client that met a full writer comes back after this: a group commit takes a fraction of it.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);
/// The engine needs seconds to start again.
const RETRY_WHEN_DOWN: Duration = Duration::from_secs(5);

/// Room for one request, given back when dropped.
#[must_use = "the room is given back as soon as the permit is dropped"]
#[derive(Debug)]
pub struct Permit {
    _room: OwnedSemaphorePermit,
}

/// What the writer task is asked to do.
pub(super) enum Request {
    Batch(Arc<EventBatch>, Answer<Accepted>),
    Void(OrganizationId, String, Timestamp, Answer<Voided>),
    Close(oneshot::Sender<()>),
}

impl Request {
    /// Rows it may add to a group.
    pub(super) fn rows(&self) -> usize {
        match self {
            Request::Batch(batch, _) => batch.len(),
            Request::Void(..) => 1,
            Request::Close(_) => 0,
        }
    }

    /// Answers that it was not done. A requester that went away needs no answer.
    pub(super) fn refuse(self, error: &AcceptError) {
        match self {
            Request::Batch(_, answer) => drop(answer.send(Err(error.clone()))),
            Request::Void(.., answer) => drop(answer.send(Err(error.clone()))),
            Request::Close(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// The one writer of the event store in direct mode; cheap to clone. The caller holds the lease (a file lock).
#[derive(Clone)]
pub struct DirectWriter {
    requests: mpsc::UnboundedSender<Request>,
    room: Arc<Semaphore>,
    units: usize,
    shared: Arc<Shared>,
}

impl DirectWriter {
    /// Migrates the schema, recovers what an earlier writer left, loads the filter of known ids and starts the writer task.
    ///
    /// # Errors
    /// When the store cannot be reached, is newer than this program, or holds rows that fit no id.
    pub async fn start(store: StoreConfig, config: DirectConfig, catalog: SnapshotCell) -> Result<Self, StoreError> {
        let connection = Connection::new(store);
        crate::schema::migrate(&connection).await?;
        let units = (config.max_bytes / ROOM_UNIT).clamp(1, Semaphore::MAX_PERMITS);
        let (requests, inbox) = mpsc::unbounded_channel();
        let shared = task::start(connection, config, catalog, inbox).await?;
        Ok(Self { requests, room: Arc::new(Semaphore::new(units)), units, shared })
    }

    /// Reserves room for about `bytes` of request body; keep the permit until the answer is sent. Never waits.
    ///
    /// # Errors
    /// [`AcceptError::Overloaded`] without room, [`AcceptError::Unavailable`] while nothing can be stored.
    pub fn admit(&self, bytes: usize) -> Result<Permit, AcceptError> {
        if let WriterState::NotReady(reason) = self.state() {
            return Err(AcceptError::Unavailable { reason, retry_after: RETRY_WHEN_DOWN });
        }
        // A request larger than all room is let in alone.
        let units = (bytes / ROOM_UNIT + 1).min(self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(units) {
            Ok(room) => Ok(Permit { _room: room }),
            Err(_) => {
                metrics::counter!("tollgate_store_overloaded_total").increment(1);
                Err(AcceptError::Overloaded { retry_after: RETRY_WHEN_FULL })
            }
        }
    }

    /// Stores a batch; returns once every row is durable (I1).
    ///
    /// # Errors
    /// Only [`AcceptError::MaybeKept`] may have stored rows.
    pub async fn accept(&self, batch: Arc<EventBatch>) -> Result<Accepted, AcceptError> {
        if batch.is_empty() {
            return Ok(Accepted::default());
        }
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Batch(batch, answer), answered).await
    }

    /// Takes one event out of every bill not yet issued; may come before its event; harmless when repeated.
    ///
    /// # Errors
    /// As [`DirectWriter::accept`].
    pub async fn void(
        &self,
        organization: OrganizationId,
        transaction_id: &str,
        now: Timestamp,
    ) -> Result<Voided, AcceptError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Void(organization, transaction_id.to_owned(), now, answer), answered).await
    }

    async fn ask<T>(
        &self,
        request: Request,
        answered: oneshot::Receiver<Result<T, AcceptError>>,
    ) -> Result<T, AcceptError> {
        let stopped = || "the writer has stopped".to_owned();
        if self.requests.send(request).is_err() {
            return Err(AcceptError::Unavailable { reason: stopped(), retry_after: RETRY_WHEN_DOWN });
        }
        match answered.await {
            Ok(answer) => answer,
            // The task ended with the request in its hands.
            Err(_) => Err(AcceptError::MaybeKept { reason: stopped(), retry_after: RETRY_WHEN_DOWN }),
        }
    }

    /// How far it is: for readers of the same process, see [`crate::EventStore::behind`].
    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.shared.progress)
    }

    /// Whether it makes progress; cheap.
    #[must_use]
    pub fn state(&self) -> WriterState {
        self.shared.state()
    }

    /// Takes no more, finishes what it took, and returns.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.requests.send(Request::Close(done)).is_ok() {
            // An error means that the task has ended, which is what was asked for.
            let _ = closed.await;
        }
    }
}
