//! The direct writer behind the gateway's border: one trait, one thin adapter.

use aggregator::direct::WriterState;
use aggregator::{AcceptError, DirectWriter, EventStore};
use async_trait::async_trait;
use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use ingest_gateway::sink::{Accepted, EventSink, Permit, Readiness, SinkError};
use std::sync::Arc;
use std::time::Duration;

/// When a client whose read failed may come back: the engine needs seconds to start again.
const RETRY_WHEN_UNREADABLE: Duration = Duration::from_secs(5);

/// Events go to the writer of this process, reads to the store.
pub(super) struct DirectSink {
    writer: DirectWriter,
    store: EventStore,
}

impl DirectSink {
    pub(super) fn new(writer: DirectWriter, store: EventStore) -> Self {
        Self { writer, store }
    }
}

fn sink_error(error: AcceptError) -> SinkError {
    match error {
        AcceptError::Overloaded { retry_after } => SinkError::Overloaded { retry_after },
        AcceptError::Unavailable { reason, retry_after } => SinkError::Unavailable { reason, retry_after },
        AcceptError::MaybeKept { reason, retry_after } => SinkError::MaybeKept { reason, retry_after },
    }
}

#[async_trait]
impl EventSink for DirectSink {
    fn admit(&self, bytes: usize) -> Result<Permit, SinkError> {
        self.writer.admit(bytes).map(Permit::holding).map_err(sink_error)
    }

    async fn accept(&self, batch: Arc<EventBatch>) -> Result<Accepted, SinkError> {
        let accepted = self.writer.accept(batch).await.map_err(sink_error)?;
        Ok(Accepted { duplicates: accepted.duplicates.iter().map(|duplicate| duplicate.row).collect() })
    }

    async fn void(&self, organization: OrganizationId, transaction_id: &str, now: Timestamp) -> Result<(), SinkError> {
        self.writer.void(organization, transaction_id, now).await.map(|_| ()).map_err(sink_error)
    }

    async fn stored(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, SinkError> {
        self.store.events(organization, ids).await.map_err(|fault| {
            tracing::error!(%fault, "stored events could not be read");
            let reason = "its events could not be read".to_string();
            SinkError::Unavailable { reason, retry_after: RETRY_WHEN_UNREADABLE }
        })
    }

    fn readiness(&self) -> Readiness {
        match self.writer.state() {
            WriterState::Ready => Readiness::Ready,
            WriterState::NotReady(reason) => Readiness::NotReady { reason },
        }
    }
}
