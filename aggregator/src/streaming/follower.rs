//! The log as it grows: the writer of the epoch whose turn it is.
//!
//! A topic never gets more partitions; a log grows by another topic, the next epoch (`event_log::topic::grow`). Copies of an id
//! may stand on both sides, so the records of an epoch are written only once every earlier epoch is written to its end (I2).
//! Each aggregator sees to that by itself: it asks the brokers where the earlier epochs end and how far the whole group is, and
//! goes over when that is all of it. One that starts, starts with the oldest epoch that is not written to its end.
//!
//! Reading again ([`LogFollower::reprocess`]) sets back the group's offsets while no member of it is there, and goes on as after
//! a start.

use super::belonging;
use super::handle::StreamingWriter;
use super::reprocess::{ReprocessFrom, reprocess};
use super::types::{Progress, StreamingConfig, StreamingError};
use crate::connection::{Connection, StoreConfig};
use crate::direct::WriterState;
use arc_swap::ArcSwap;
use domain::snapshot::SnapshotCell;
use event_log::KafkaError;
use event_log::frontier::Frontier;
use event_log::settings::KafkaSettings;
use event_log::topic;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Between two looks for a newer epoch: how long its first events wait to be visible.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After a start that failed, or offsets that the brokers would not set yet.
const PAUSE: Duration = Duration::from_secs(1);

/// Where reading begins in each partition of each epoch, by topic.
pub type ReadsFrom = BTreeMap<String, BTreeMap<u16, u64>>;

/// What the follower is asked for.
enum Ask {
    Reprocess(ReprocessFrom, oneshot::Sender<Result<ReadsFrom, StreamingError>>),
    Close(oneshot::Sender<()>),
}

/// Reads the log into the store, epoch after epoch; cheap to clone. Any number of them may run, in any processes.
#[derive(Clone)]
pub struct LogFollower {
    asks: mpsc::Sender<Ask>,
    seen: Arc<ArcSwap<Seen>>,
}

/// What others see of it.
enum Seen {
    Writing(StreamingWriter),
    /// One line for an operator.
    Between(String),
}

impl LogFollower {
    /// Starts a writer at the epoch whose turn it is.
    ///
    /// # Errors
    /// As [`StreamingWriter::start`]. Once started, it outlives store and brokers being away.
    pub async fn start(
        store: StoreConfig,
        kafka: KafkaSettings,
        config: StreamingConfig,
        catalog: SnapshotCell,
    ) -> Result<Self, StreamingError> {
        let (asks, inbox) = mpsc::channel(4);
        let seen = Arc::new(ArcSwap::from_pointee(Seen::Between("the log is being looked at".into())));
        let mut task = Task { store, kafka, config, catalog, inbox, seen: Arc::clone(&seen), epoch: None };
        task.begin().await?;
        tokio::spawn(task.run());
        Ok(Self { asks, seen })
    }

    /// Whether it makes progress; cheap.
    #[must_use]
    pub fn state(&self) -> WriterState {
        match &**self.seen.load() {
            Seen::Writing(writer) => writer.state(),
            Seen::Between(reason) => WriterState::NotReady(reason.clone()),
        }
    }

    /// How far it is with the partitions it owns in the current epoch; cheap.
    #[must_use]
    pub fn progress(&self) -> Progress {
        match &**self.seen.load() {
            Seen::Writing(writer) => writer.progress(),
            Seen::Between(_) => Progress::default(),
        }
    }

    /// Leaves the group, sets it back, and reads every epoch again from there; changes no count. Answers where reading begins.
    ///
    /// # Errors
    /// When the brokers do not answer, or another process is in the group: then reading goes on from where it was.
    pub async fn reprocess(&self, from: ReprocessFrom) -> Result<ReadsFrom, StreamingError> {
        let (answer, answered) = oneshot::channel();
        let gone = || StreamingError::Log("the writer has stopped".into());
        self.asks.send(Ask::Reprocess(from, answer)).await.map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Stores and commits what was read, leaves the group, and returns.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.asks.send(Ask::Close(done)).await.is_ok() {
            // An error means that the task has ended, which is what was asked for.
            let _ = closed.await;
        }
    }
}

/// Sets every epoch of a log back while nobody of its group is there.
///
/// # Errors
/// When the brokers do not answer, or a member of the group is there.
pub async fn reprocess_every_epoch(
    kafka: &KafkaSettings,
    from: ReprocessFrom,
    patience: Duration,
) -> Result<ReadsFrom, StreamingError> {
    let mut reads_from = ReadsFrom::new();
    for epoch in topic::epochs(kafka, patience).await? {
        let next = reprocess(&epoch, from).await.map_err(|error| StreamingError::Log(error.to_string()))?;
        reads_from.insert(epoch.topic, next);
    }
    Ok(reads_from)
}

struct Task {
    store: StoreConfig,
    kafka: KafkaSettings,
    config: StreamingConfig,
    catalog: SnapshotCell,
    inbox: mpsc::Receiver<Ask>,
    seen: Arc<ArcSwap<Seen>>,
    /// The epoch that is being written, and how far its group is; `None` between two.
    epoch: Option<(KafkaSettings, Frontier)>,
}

impl Task {
    async fn run(mut self) {
        loop {
            match tokio::time::timeout(LOOK_EVERY, self.inbox.recv()).await {
                Ok(Some(Ask::Close(done))) => {
                    self.leave("the writer has stopped").await;
                    // Whoever asked may have gone; the work is done either way.
                    let _ = done.send(());
                    return;
                }
                Ok(Some(Ask::Reprocess(from, answer))) => {
                    self.leave("the log is about to be read again").await;
                    let outcome = self.set_back(from).await;
                    let _ = answer.send(outcome);
                }
                Ok(None) => return self.leave("nobody asks for this writer any more").await,
                Err(_) => self.look().await,
            }
        }
    }

    /// Goes over to the next epoch when its turn has come; begins anew when the last attempt failed.
    async fn look(&mut self) {
        let Some((epoch, frontier)) = &self.epoch else {
            if let Err(error) = self.begin().await {
                tracing::error!(%error, "the log cannot be read into the store; trying again");
                self.seen.store(Arc::new(Seen::Between(error.to_string())));
            }
            return;
        };
        match is_over(epoch, frontier, self.config.broker_patience).await {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(topic = epoch.topic, "this epoch of the log is in the store; going over to the next");
                self.leave("going over to the next epoch of the log").await;
            }
            Err(error) => tracing::warn!(%error, "looking for a newer epoch of the log"),
        }
    }

    async fn leave(&mut self, why: &str) {
        let seen = self.seen.swap(Arc::new(Seen::Between(why.to_owned())));
        if let Seen::Writing(writer) = &*seen {
            writer.close().await;
        }
        self.epoch = None;
    }

    /// Starts a writer at the oldest epoch that is not written to its end.
    async fn begin(&mut self) -> Result<(), StreamingError> {
        let patience = self.config.broker_patience;
        let refused = |error: KafkaError| StreamingError::Log(error.to_string());
        let connection = Connection::new(self.store.clone());
        crate::schema::migrate(&connection).await?;
        let mut epochs = topic::epochs(&self.kafka, patience).await?.into_iter().peekable();
        while let Some(epoch) = epochs.next() {
            let frontier = Frontier::new(&epoch, &epoch.group).map_err(refused)?;
            belonging::agree(&connection, &epoch, &frontier, self.config.empty_group_patience).await?;
            if epochs.peek().is_some() && is_over(&epoch, &frontier, patience).await? {
                continue;
            }
            let (store, config, catalog) = (self.store.clone(), self.config.clone(), self.catalog.clone());
            let writer = StreamingWriter::start(store, epoch.clone(), config, catalog).await?;
            self.seen.store(Arc::new(Seen::Writing(writer)));
            self.epoch = Some((epoch, frontier));
            return Ok(());
        }
        // There is always the epoch of the settings.
        Err(StreamingError::Log("the log has no epoch".into()))
    }

    async fn set_back(&self, from: ReprocessFrom) -> Result<ReadsFrom, StreamingError> {
        let deadline = tokio::time::Instant::now() + self.config.empty_group_patience;
        loop {
            match reprocess_every_epoch(&self.kafka, from, self.config.broker_patience).await {
                Err(error) if tokio::time::Instant::now() < deadline => {
                    tracing::debug!(%error, "the group is not empty yet");
                    tokio::time::sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

/// Whether there is a next epoch, this one takes no more records, and all of it is in the store.
async fn is_over(epoch: &KafkaSettings, frontier: &Frontier, patience: Duration) -> Result<bool, StreamingError> {
    let refused = |error: KafkaError| StreamingError::Log(error.to_string());
    let Some(number) = epoch.epoch.checked_add(1) else { return Ok(false) };
    let next = epoch.at_epoch(number, epoch.partitions).topic;
    if frontier.partitions_of(&next).await.map_err(refused)?.is_none() {
        return Ok(false);
    }
    if !topic::is_closed(epoch, patience).await? {
        return Ok(false);
    }
    let ends = topic::ends(epoch, patience).await?;
    frontier.is_written_up_to(&ends).await.map_err(refused)
}
