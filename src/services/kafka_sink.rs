//! The log behind the gateway's border: events go to Kafka, and an aggregator brings them from there into the store.
//!
//! What an answer shows of a known event ([`EventSink::stored`]) comes from the store where this process has one and where the
//! aggregator has been; else the gateway shows what was sent. An exact copy, as retries are, looks the same either way but for
//! `created_at`. Acceptance never depends on it: a store that is away or slow costs the answer [`ECHO_PATIENCE`] at most,
//! and no event.

use aggregator::EventStore;
use async_trait::async_trait;
use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use event_log::intake::LogIntake;
use event_log::producer::LogError;
use ingest_gateway::sink::{Accepted, EventSink, Permit, Readiness, SinkError};
use std::sync::Arc;
use std::time::Duration;

/// When a client that found the queue full may come back: a queue of 128 MiB drains in well under a second.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);
/// When a client may come back to brokers that stood still: an election takes some seconds.
const RETRY_WHEN_STILL: Duration = Duration::from_secs(3);
/// How long an answer waits for stored versions. One id takes 10 ms; a client's own time-out is mostly counted in seconds.
const ECHO_PATIENCE: Duration = Duration::from_millis(500);

/// Events go to the log; known events are read from the store, where there is one.
pub struct KafkaSink {
    log: LogIntake,
    store: Option<EventStore>,
}

impl KafkaSink {
    /// `store` is absent in a process that has no event store, such as a gateway on its own.
    #[must_use]
    pub fn new(log: LogIntake, store: Option<EventStore>) -> Self {
        Self { log, store }
    }

    /// Sends what is open and waits for its acknowledgements, for at most `patience`.
    pub async fn close(&self, patience: Duration) {
        if let Err(fault) = self.log.close(patience).await {
            tracing::warn!(%fault, "some events were not acknowledged in time; their requests were told so");
        }
    }
}

fn sink_error(error: LogError) -> SinkError {
    match error {
        LogError::NoRoom => SinkError::Overloaded { retry_after: RETRY_WHEN_FULL },
        LogError::Stalled(reason) | LogError::NotKept(reason) => {
            SinkError::Unavailable { reason, retry_after: RETRY_WHEN_STILL }
        }
        LogError::MaybeKept(reason) => SinkError::MaybeKept { reason, retry_after: RETRY_WHEN_STILL },
    }
}

#[async_trait]
impl EventSink for KafkaSink {
    fn admit(&self, bytes: usize) -> Result<Permit, SinkError> {
        self.log.admit(bytes).map(Permit::holding).map_err(sink_error)
    }

    async fn accept(&self, batch: Arc<EventBatch>) -> Result<Accepted, SinkError> {
        let duplicates = self.log.accept(&batch).await.map_err(sink_error)?;
        Ok(Accepted { duplicates })
    }

    async fn void(&self, organization: OrganizationId, transaction_id: &str, now: Timestamp) -> Result<(), SinkError> {
        self.log.void(organization, transaction_id, now).await.map_err(sink_error)
    }

    async fn stored(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, SinkError> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        match tokio::time::timeout(ECHO_PATIENCE, store.events(organization, ids)).await {
            Ok(Ok(events)) => Ok(events),
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "stored events could not be read; the answer shows them as sent");
                Ok(Vec::new())
            }
            Err(_) => {
                tracing::debug!(ids = ids.len(), "the store was slow; the answer shows events as sent");
                Ok(Vec::new())
            }
        }
    }

    fn readiness(&self) -> Readiness {
        match self.log.not_ready() {
            None => Readiness::Ready,
            Some(problem) => Readiness::NotReady { reason: format!("the event log: {problem}") },
        }
    }
}
