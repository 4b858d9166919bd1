//! The log behind the gateway's border: events go to Kafka, and an aggregator brings them from there into the store.
//!
//! What an answer shows of a known event ([`EventSink::stored`]) comes from the store where this process has one and where the
//! aggregator has been; else the gateway shows what was sent. An exact copy, as retries are, looks the same either way but for
//! `created_at`. A quick retry is ahead of the aggregator by some milliseconds, so the store is asked again within
//! [`ECHO_PATIENCE`]; a store that lacked something then is asked only once for a while. Acceptance never depends on any of it:
//! a store that is away, slow or behind costs the answer that patience at most, and no event.

use aggregator::{EventStore, StoreError};
use async_trait::async_trait;
use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use event_log::intake::LogIntake;
use event_log::producer::LogError;
use ingest_gateway::sink::{Accepted, EventSink, Permit, Readiness, SinkError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// When a client that found the queue full may come back: a queue of 128 MiB drains in well under a second.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);
/// When a client may come back to brokers that stood still: an election takes some seconds.
const RETRY_WHEN_STILL: Duration = Duration::from_secs(3);
/// How long an answer waits for stored versions. One id takes 10 ms, an event is visible after 50 to 100 ms; a client's own
/// time-out is mostly counted in seconds.
const ECHO_PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks for versions that the store did not have yet.
const ECHO_PAUSE: Duration = Duration::from_millis(40);
/// A store that was behind is not waited for again for so long: half a second at each repeat would hold up a storm of them.
const BEHIND_FOR: Duration = Duration::from_secs(5);

/// Events go to the log; known events are read from the store, where there is one.
pub struct KafkaSink {
    log: LogIntake,
    store: Option<EventStore>,
    /// Until when the store is taken to be behind.
    behind_until: Mutex<Option<Instant>>,
}

impl KafkaSink {
    /// `store` is absent in a process that has no event store, such as a gateway on its own.
    #[must_use]
    pub fn new(log: LogIntake, store: Option<EventStore>) -> Self {
        Self { log, store, behind_until: Mutex::new(None) }
    }

    fn is_behind(&self) -> bool {
        let until = self.behind_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn note_behind(&self) {
        *self.behind_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + BEHIND_FOR);
    }

    /// What the store has of `ids` by `deadline`, as soon as it has all of them.
    async fn shown(
        &self,
        store: &EventStore,
        organization: OrganizationId,
        ids: &[EventId],
        deadline: Instant,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut wanted = ids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        loop {
            let found = store.events(organization, &wanted).await?;
            if found.len() >= wanted.len() || self.is_behind() {
                return Ok(found);
            }
            if Instant::now() + ECHO_PAUSE >= deadline {
                self.note_behind();
                return Ok(found);
            }
            tokio::time::sleep(ECHO_PAUSE).await;
        }
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
        let deadline = Instant::now() + ECHO_PATIENCE;
        match tokio::time::timeout_at(deadline, self.shown(store, organization, ids, deadline)).await {
            Ok(Ok(events)) => Ok(events),
            Ok(Err(fault)) => {
                tracing::warn!(%fault, "stored events could not be read; the answer shows them as sent");
                Ok(Vec::new())
            }
            Err(_) => {
                self.note_behind();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

    use super::*;
    use domain::event_batch::EventRow;
    use domain::identity::Content;
    use event_log::producer::LogProducer;
    use event_log::settings::KafkaSettings;

    fn batch(transaction_ids: &[&str]) -> Arc<EventBatch> {
        let mut batch = EventBatch::new(OrganizationId::random(), Timestamp(7));
        for transaction_id in transaction_ids {
            let (code, customer, properties) = ("api", "k", "{}");
            let content = Content { code, customer, subscription: "", properties, precise_total_amount_cents: "" };
            batch.push(&EventRow { transaction_id, timestamp: Timestamp(9), content });
        }
        Arc::new(batch)
    }

    #[tokio::test]
    async fn a_full_queue_and_silent_brokers_are_said_as_what_was_kept() {
        let settings = KafkaSettings {
            // The discard port: nothing listens there.
            brokers: "127.0.0.1:9".into(),
            delivery_timeout_ms: 1_500,
            request_timeout_ms: 1_000,
            queue_bytes: 1024 * 1024,
            ..KafkaSettings::default()
        };
        let sink = KafkaSink::new(LogIntake::new(LogProducer::start(&settings, 6).unwrap()), None);
        let room = sink.admit(1_000_000).unwrap();
        assert!(matches!(sink.admit(100_000), Err(SinkError::Overloaded { .. })));
        drop(room);
        assert!(matches!(sink.readiness(), Readiness::NotReady { .. }), "no broker has answered yet");
        let sent = batch(&["a"]);
        assert!(matches!(sink.accept(Arc::clone(&sent)).await, Err(SinkError::MaybeKept { .. })));
        let voided = sink.void(sent.organization, "a", Timestamp(8)).await;
        assert!(matches!(voided, Err(SinkError::MaybeKept { .. })), "{voided:?}");
        assert_eq!(sink.stored(sent.organization, &sent.ids).await, Ok(Vec::new()), "the answer shows them as sent");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_real_broker_acknowledges_events_and_known_ids_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let kafka = event_log::testing::DevKafka::start(directory.path(), 1).unwrap();
        let settings = kafka.settings("sink");
        let sink = KafkaSink::new(LogIntake::start(&settings, Duration::from_secs(30)).await.unwrap(), None);
        let sent = batch(&["a", "b", "a"]);
        assert_eq!(sink.accept(Arc::clone(&sent)).await, Ok(Accepted { duplicates: vec![2] }));
        assert_eq!(sink.accept(Arc::clone(&sent)).await, Ok(Accepted { duplicates: vec![0, 1, 2] }));
        assert_eq!(sink.void(sent.organization, "a", Timestamp(8)).await, Ok(()));
        for _ in 0..100 {
            if sink.readiness() == Readiness::Ready {
                return sink.close(Duration::from_secs(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{:?}", sink.readiness());
    }
}
