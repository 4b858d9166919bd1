//! The log as a gateway uses it: admission, acknowledgement, what it knows of duplicates, and whether it is fit to be asked.
//!
//! I1: `accept` and `void` answer `Ok` once all in-sync replicas hold every line. A full queue and brokers that do not answer
//! refuse in [`LogIntake::admit`], before anything is taken.
//!
//! The log may grow under traffic: when the brokers refuse records as a closed topic does, the newest epoch is looked for and
//! written to from then on. Requests in between hear `MaybeKept`.
//!
//! It refuses to leave copies out: an id it knows is written again all the same, because only the store sees all gateways and
//! all of the past, and lists copies that differ (I2, I9). What it knows is for the answer's `duplicates` alone.

use crate::producer::{LogError, LogProducer, Room};
use crate::recent_ids::RecentIds;
use crate::settings::KafkaSettings;
use crate::topic::{self, TopicError};
use arc_swap::ArcSwap;
use domain::event_batch::EventBatch;
use domain::id_map::IdSet;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use rdkafka::error::KafkaError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Between two looks for a newer epoch.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a look waits for the brokers.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);

/// Takes validated events into the log; shared by all requests of a gateway.
pub struct LogIntake {
    log: Arc<ArcSwap<LogProducer>>,
    recent: Mutex<RecentIds>,
    following: Option<JoinHandle<()>>,
}

impl Drop for LogIntake {
    fn drop(&mut self) {
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

impl LogIntake {
    /// Over a producer that is running; stays with its topic.
    #[must_use]
    pub fn new(log: Arc<LogProducer>) -> Self {
        Self { log: Arc::new(ArcSwap::new(log)), recent: Mutex::default(), following: None }
    }

    /// Makes sure of the topic of the newest epoch, starts to write to it, and follows the log when it grows.
    ///
    /// # Errors
    /// [`TopicError`] with what to change.
    pub async fn start(settings: &KafkaSettings, patience: Duration) -> Result<Self, TopicError> {
        let settings = topic::newest(settings, patience).await?;
        topic::ensure(&settings, patience).await?;
        let started = LogProducer::start(&settings, settings.partitions);
        let log = started.map_err(|source| TopicError::unusable(&settings, source))?;
        let log = Arc::new(ArcSwap::new(log));
        let following = Some(tokio::spawn(follow(Arc::clone(&log), settings)));
        Ok(Self { log, recent: Mutex::default(), following })
    }

    /// Sends what is open and waits until every record is acknowledged or failed.
    ///
    /// # Errors
    /// When some are still unacknowledged after `patience`; their requests hear `MaybeKept`.
    pub async fn close(&self, patience: Duration) -> Result<(), KafkaError> {
        self.log.load_full().close(patience).await
    }

    /// Reserves room for a request of about `bytes`; never waits.
    ///
    /// # Errors
    /// [`LogError::NoRoom`], or [`LogError::Stalled`] when what is taken now could not be acknowledged in time.
    pub fn admit(&self, bytes: usize) -> Result<Room, LogError> {
        let log = self.log.load();
        match log.problem() {
            Some(problem) => Err(LogError::Stalled(problem)),
            None => log.admit(bytes),
        }
    }

    /// Writes every row of `batch`. Answers the rows whose id this process had in the log already, or that stand further up in
    /// the batch: ascending, each once.
    ///
    /// # Errors
    /// [`LogError`]; only [`LogError::MaybeKept`] may have kept rows.
    pub async fn accept(&self, batch: &EventBatch) -> Result<Vec<u32>, LogError> {
        let duplicates = self.duplicates(&batch.ids);
        self.log.load_full().append(batch).await?;
        self.recent().remember(&batch.ids);
        Ok(duplicates)
    }

    /// Writes a void, in order with its event's copies.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub async fn void(
        &self,
        organization: OrganizationId,
        transaction_id: &str,
        accepted_at: Timestamp,
    ) -> Result<(), LogError> {
        self.log.load_full().append_void(organization, transaction_id, accepted_at).await
    }

    /// Why it is not ready, if so; cheap.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        self.log.load().not_ready()
    }

    fn duplicates(&self, ids: &[EventId]) -> Vec<u32> {
        let mut seen = IdSet::with_capacity_and_hasher(ids.len(), Default::default());
        let recent = self.recent();
        let known = (0..).zip(ids).filter(|(_, id)| recent.holds(**id) || !seen.insert(id.0));
        known.map(|(row, _)| row).collect()
    }

    /// A panic amid an insert leaves a set of fewer ids, which may be forgotten at any time.
    fn recent(&self) -> MutexGuard<'_, RecentIds> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes over to the newest epoch when the brokers refuse records as those of a closed topic.
async fn follow(log: Arc<ArcSwap<LogProducer>>, mut settings: KafkaSettings) {
    loop {
        let current = log.load_full();
        current.refused_as_closed().await;
        match topic::newest(&settings, LOOK_PATIENCE).await {
            Ok(newest) if newest.epoch > settings.epoch => match LogProducer::start(&newest, newest.partitions) {
                Ok(started) => {
                    tracing::info!(
                        from = settings.topic,
                        to = newest.topic,
                        "the log has grown; writing goes on there"
                    );
                    log.store(started);
                    settings = newest;
                    continue;
                }
                Err(error) => tracing::error!(%error, "the topic of the new epoch cannot be written to"),
            },
            Ok(_) => tracing::error!(topic = settings.topic, "the brokers refuse records as too large"),
            Err(error) => tracing::warn!(%error, "looking for a newer epoch"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
