//! Records out of the log, with their positions; rebalances that never leave two writers at one partition.
//!
//! A thread of its own polls, so that the group sees this member alive also while the store is away for an hour: when the
//! writer does not keep up, fetching is paused and polling goes on. Records are handed out through a bounded channel, rebalances
//! beside it, so that a writer without room for records still learns at once what it loses; each record carries the number
//! of the rebalance before it, and [`LogConsumer`] puts the two in order again and drops records of partitions that were lost
//! after they were read. When the group takes partitions away, the rebalance waits until the writer has dropped the
//! [`Handover`] of [`Delivery::Revoked`]: it has then stored and committed what it had read of them, or forgotten it, and the
//! next owner finds all of an insert or none.
//!
//! It refuses to commit by itself or to skip a record.

mod poller;

use crate::settings::KafkaSettings;
use poller::{Change, Poller, Read, Rebalances};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Records read ahead: 64 of at most 256 KiB keep the writer busy and hold 16 MiB.
const READ_AHEAD_RECORDS: usize = 64;
/// A member that is not heard of for so long loses its partitions: how long events wait after a `kill -9`. The least that brokers
/// take by default (`group.min.session.timeout.ms`); twelve heartbeats.
pub const SESSION: Duration = Duration::from_secs(6);

/// What the log hands out next.
#[derive(Debug)]
pub enum Delivery {
    /// One record.
    Record(Record),
    /// This process now owns these partitions, besides those it had: recover what their last writer left half done.
    Assigned(Vec<u16>),
    /// They are being taken away: store and commit what was read of them, or forget it, then drop the handover. No record of
    /// them comes until the next [`Delivery::Assigned`] names them.
    Revoked(Vec<u16>, Handover),
}

/// Dropped by the writer when it is through with revoked partitions; the rebalance waits for that.
#[derive(Debug)]
pub struct Handover {
    _done: oneshot::Sender<()>,
}

/// One record: lines ended by `\n`, and where it stands.
#[derive(Clone, Debug)]
pub struct Record {
    /// Partition.
    pub partition: u16,
    /// Offset.
    pub offset: u64,
    /// When the producer stamped it, milliseconds since 1970; for lag in seconds.
    pub stamped_at_millis: Option<i64>,
    /// Its lines.
    pub lines: Vec<u8>,
}

/// What the polling thread has heard lately; cheap to clone.
#[derive(Clone, Debug)]
pub struct Heard(Arc<HeardInner>);

#[derive(Debug)]
struct HeardInner {
    started: Instant,
    /// Milliseconds after `started`.
    polled_at: AtomicU64,
    high_watermarks: Mutex<BTreeMap<u16, u64>>,
}

impl Heard {
    fn new() -> Self {
        let inner =
            HeardInner { started: Instant::now(), polled_at: AtomicU64::new(0), high_watermarks: Mutex::default() };
        Self(Arc::new(inner))
    }

    fn polled(&self) {
        let millis = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.polled_at.store(millis, Ordering::Relaxed);
    }

    fn note_high_watermark(&self, partition: u16, offset: u64) {
        let mut highs = self.0.high_watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        highs.insert(partition, offset);
    }

    /// How long ago the log was last polled: past [`SESSION`] somebody else may own what was assigned here.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        let polled_at = Duration::from_millis(self.0.polled_at.load(Ordering::Relaxed));
        self.0.started.elapsed().saturating_sub(polled_at)
    }

    /// The offset that the next record of each partition will get, as of the last fetch; about a second old.
    #[must_use]
    pub fn high_watermarks(&self) -> BTreeMap<u16, u64> {
        self.0.high_watermarks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One member of the consumer group.
pub struct LogConsumer {
    consumer: Arc<BaseConsumer<Rebalances>>,
    changes: mpsc::UnboundedReceiver<Change>,
    records: mpsc::Receiver<Read>,
    /// Read out of its channel before the rebalance that it came after.
    held: Option<Read>,
    /// The number of the last rebalance handed out.
    changes_seen: u64,
    /// Partitions of this member as its writer knows it, each with the rebalance that brought it.
    owned: HashMap<u16, u64>,
    heard: Heard,
    stop: Arc<AtomicBool>,
    topic: String,
}

impl LogConsumer {
    /// Joins `group`; reading begins at the group's committed offsets, or at the log's start.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn join(settings: &KafkaSettings, group: &str) -> Result<Self, KafkaError> {
        let (changes_in, changes) = mpsc::unbounded_channel();
        let (records_in, records) = mpsc::channel(READ_AHEAD_RECORDS);
        let heard = Heard::new();
        let rebalances = Rebalances::new(changes_in, heard.clone(), settings.topic.clone());
        let (numbers, changed) = rebalances.counters();
        let consumer: BaseConsumer<Rebalances> = member(settings, group).create_with_context(rebalances)?;
        consumer.subscribe(&[&settings.topic])?;
        let (consumer, stop) = (Arc::new(consumer), Arc::new(AtomicBool::new(false)));
        let poller = Poller::new(Arc::clone(&consumer), records_in, Arc::clone(&stop), heard.clone(), numbers, changed);
        std::thread::Builder::new()
            .name("log-reader".into())
            .spawn(move || poller.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self {
            consumer,
            changes,
            records,
            held: None,
            changes_seen: 0,
            owned: HashMap::new(),
            heard,
            stop,
            topic: settings.topic.clone(),
        })
    }

    /// The next record or rebalance; `None` when the reader ended. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            if let Ok(change) = self.changes.try_recv() {
                return Some(self.note(change));
            }
            match self.held.take() {
                Some(read) if read.after > self.changes_seen => {
                    self.held = Some(read);
                    return self.next_change().await;
                }
                Some(read) if self.is_owned(&read) => return Some(Delivery::Record(read.record)),
                // Its partition was lost after it was read.
                Some(_) => continue,
                None => {}
            }
            tokio::select! {
                biased;
                change = self.changes.recv() => return change.map(|change| self.note(change)),
                read = self.records.recv() => self.held = Some(read?),
            }
        }
    }

    /// The next rebalance, for a writer that has no room for records now.
    pub async fn next_change(&mut self) -> Option<Delivery> {
        let change = self.changes.recv().await?;
        Some(self.note(change))
    }

    /// A record that is at hand; `None` also when a rebalance comes before it.
    pub fn record_at_hand(&mut self) -> Option<Record> {
        loop {
            if !self.changes.is_empty() {
                return None;
            }
            let read = match self.held.take() {
                Some(read) => read,
                None => self.records.try_recv().ok()?,
            };
            if read.after > self.changes_seen {
                self.held = Some(read);
                return None;
            }
            if self.is_owned(&read) {
                return Some(read.record);
            }
        }
    }

    fn is_owned(&self, read: &Read) -> bool {
        self.owned.get(&read.record.partition).is_some_and(|since| *since <= read.after)
    }

    fn note(&mut self, change: Change) -> Delivery {
        self.changes_seen = change.number;
        match &change.delivery {
            Delivery::Assigned(partitions) => {
                self.owned.extend(partitions.iter().map(|partition| (*partition, change.number)));
            }
            Delivery::Revoked(partitions, _) => self.owned.retain(|partition, _| !partitions.contains(partition)),
            Delivery::Record(_) => {}
        }
        change.delivery
    }

    /// What the polling thread has heard.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// A way to commit that does not borrow the consumer.
    #[must_use]
    pub fn offsets(&self) -> GroupOffsets {
        GroupOffsets { consumer: Arc::clone(&self.consumer), topic: self.topic.clone() }
    }

    /// Commits that everything up to and with these offsets is stored.
    ///
    /// # Errors
    /// When the broker refuses: the records will be read again, which changes nothing (I2).
    pub async fn commit(&self, stored: &BTreeMap<u16, u64>) -> Result<(), KafkaError> {
        self.offsets().commit(stored).await
    }
}

impl Drop for LogConsumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn member(settings: &KafkaSettings, group: &str) -> rdkafka::ClientConfig {
    let mut config = settings.client();
    config.set("group.id", group);
    config.set("enable.auto.commit", "false");
    config.set("enable.auto.offset.store", "false");
    config.set("auto.offset.reset", "earliest");
    config.set("partition.assignment.strategy", "cooperative-sticky");
    // 64 MiB of fetched records bridge an insert; librdkafka's default of a gigabyte would be the process's largest cost.
    config.set("queued.max.messages.kbytes", "65536");
    config.set("session.timeout.ms", SESSION.as_millis().to_string());
    // A heartbeat also tells of a rebalance: this is how long partitions are waited for when a member comes or goes.
    config.set("heartbeat.interval.ms", "500");
    // Tells the high watermarks, for the lag.
    config.set("statistics.interval.ms", "1000");
    // A record that arrives alone is visible at once; the broker answers early anyway when there is more.
    config.set("fetch.wait.max.ms", "50");
    config
}

/// The group's committed offsets, as a member of it sees and sets them; cheap to clone.
#[derive(Clone)]
pub struct GroupOffsets {
    consumer: Arc<BaseConsumer<Rebalances>>,
    topic: String,
}

impl GroupOffsets {
    /// Commits that everything up to and with these offsets is stored.
    ///
    /// # Errors
    /// When the broker refuses: the records will be read again, which changes nothing (I2).
    pub async fn commit(&self, stored: &BTreeMap<u16, u64>) -> Result<(), KafkaError> {
        if stored.is_empty() {
            return Ok(());
        }
        let next = stored.iter().map(|(partition, offset)| (*partition, offset.saturating_add(1)));
        let offsets = offsets_of(&self.topic, next)?;
        let consumer = Arc::clone(&self.consumer);
        let commit = tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync));
        commit.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// The next offset to be read of each partition, 0 where the group has committed none.
    ///
    /// # Errors
    /// When the brokers do not answer within `patience`.
    pub async fn committed(&self, partitions: &[u16], patience: Duration) -> Result<BTreeMap<u16, u64>, KafkaError> {
        let asked = offsets_of(&self.topic, partitions.iter().map(|partition| (*partition, 0)))?;
        let consumer = Arc::clone(&self.consumer);
        let ask = tokio::task::spawn_blocking(move || consumer.committed_offsets(asked, patience));
        Ok(numbers_of(&ask.await.unwrap_or(Err(KafkaError::Canceled))?))
    }
}

fn offsets_of(topic: &str, next: impl Iterator<Item = (u16, u64)>) -> Result<TopicPartitionList, KafkaError> {
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in next {
        let next = i64::try_from(offset).unwrap_or(i64::MAX);
        offsets.add_partition_offset(topic, i32::from(partition), Offset::Offset(next))?;
    }
    Ok(offsets)
}

pub(crate) fn numbers_of(offsets: &TopicPartitionList) -> BTreeMap<u16, u64> {
    let number = |offset: Offset| match offset {
        Offset::Offset(next) => u64::try_from(next).unwrap_or(0),
        _ => 0,
    };
    let entries = offsets.elements();
    entries.iter().filter_map(|entry| Some((u16::try_from(entry.partition()).ok()?, number(entry.offset())))).collect()
}

/// The offset each partition's next record will get: all records below it were in the log when this was asked.
///
/// # Errors
/// When a broker does not answer within `patience`.
pub async fn high_watermarks(
    settings: &KafkaSettings,
    partitions: u16,
    patience: Duration,
) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let (config, topic) = (settings.client(), settings.topic.clone());
    let ask = move || {
        let reader: BaseConsumer = config.create()?;
        (0..partitions)
            .map(|partition| {
                let (_, high) = reader.fetch_watermarks(&topic, i32::from(partition), patience)?;
                Ok((partition, u64::try_from(high).unwrap_or(0)))
            })
            .collect()
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or(Err(KafkaError::Canceled))
}
