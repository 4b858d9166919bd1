//! Records out of the log, with their positions; rebalances that never leave two writers at one partition.
//!
//! A thread of its own polls, so that the group sees this member alive also while the store is away for an hour: when the
//! writer does not keep up, fetching is paused and polling goes on. Records and rebalances come through one channel in the
//! order in which they happened. When the group takes partitions away, the rebalance waits until the writer has dropped the
//! [`Handover`] of [`Delivery::Revoked`]: it has then stored and committed what it had read of them, or forgotten it, and the
//! next owner finds all of an insert or none.
//!
//! It refuses to commit by itself or to skip a record.

use crate::settings::KafkaSettings;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// Records read ahead: 64 of at most 256 KiB keep the writer busy and hold 16 MiB.
const READ_AHEAD_RECORDS: usize = 64;
/// How long one poll waits; also how soon a stop or freed room is noticed.
const POLL: Duration = Duration::from_millis(50);

/// What the log hands out next.
#[derive(Debug)]
pub enum Delivery {
    /// One record.
    Record(Record),
    /// This process now owns these partitions, besides those it had: recover what their last writer left half done.
    Assigned(Vec<u16>),
    /// They are being taken away: store and commit what was read of them, or forget it, then drop the handover. Records of
    /// them that come later were read before and must be ignored until the next [`Delivery::Assigned`] names them.
    Revoked(Vec<u16>, Handover),
}

/// Dropped by the writer when it is through with revoked partitions; the rebalance waits for that.
#[derive(Debug)]
pub struct Handover {
    _done: oneshot::Sender<()>,
}

/// One record: lines ended by `\n`, and where it stands.
#[derive(Debug)]
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

/// One member of the consumer group.
pub struct LogConsumer {
    consumer: Arc<BaseConsumer<Rebalances>>,
    deliveries: mpsc::Receiver<Delivery>,
    stop: Arc<AtomicBool>,
    topic: String,
}

struct Rebalances {
    deliveries: mpsc::Sender<Delivery>,
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the log's reader reports");
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = change else { return };
        let (done, handed_over) = oneshot::channel();
        let revoked = Delivery::Revoked(numbers(partitions), Handover { _done: done });
        // Both fail only when the writer is gone, and then nobody writes.
        if self.deliveries.blocking_send(revoked).is_ok() && handed_over.blocking_recv().is_ok() {
            tracing::debug!("partitions handed over");
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = change else { return };
        if self.deliveries.blocking_send(Delivery::Assigned(numbers(partitions))).is_err() {
            tracing::debug!("assigned partitions after the writer ended");
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<u16> {
    partitions.elements().iter().filter_map(|element| u16::try_from(element.partition()).ok()).collect()
}

impl LogConsumer {
    /// Joins `group`; reading begins at the group's committed offsets, or at the log's start.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn join(settings: &KafkaSettings, group: &str) -> Result<Self, KafkaError> {
        let (sender, deliveries) = mpsc::channel(READ_AHEAD_RECORDS);
        let mut config = settings.client();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "earliest");
        config.set("partition.assignment.strategy", "cooperative-sticky");
        // 64 MiB of fetched records bridge an insert; librdkafka's default of a gigabyte would be the process's largest cost.
        config.set("queued.max.messages.kbytes", "65536");
        config.set("session.timeout.ms", "10000");
        // A record that arrives alone is visible at once; the broker answers early anyway when there is more.
        config.set("fetch.wait.max.ms", "50");
        let consumer: BaseConsumer<Rebalances> =
            config.create_with_context(Rebalances { deliveries: sender.clone() })?;
        consumer.subscribe(&[&settings.topic])?;
        let (consumer, stop) = (Arc::new(consumer), Arc::new(AtomicBool::new(false)));
        let poller = Poller {
            consumer: Arc::clone(&consumer),
            deliveries: sender,
            stop: Arc::clone(&stop),
            waiting: VecDeque::new(),
            paused: false,
        };
        std::thread::Builder::new()
            .name("log-reader".into())
            .spawn(move || poller.run())
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { consumer, deliveries, stop, topic: settings.topic.clone() })
    }

    /// The next record or rebalance; `None` when the reader ended.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// Commits that everything up to and with these offsets is stored.
    ///
    /// # Errors
    /// When the broker refuses: the records will be read again, which changes nothing (I2).
    pub async fn commit(&self, stored: &BTreeMap<u16, u64>) -> Result<(), KafkaError> {
        if stored.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::new();
        for (partition, offset) in stored {
            let next = i64::try_from(offset + 1).unwrap_or(i64::MAX);
            offsets.add_partition_offset(&self.topic, i32::from(*partition), Offset::Offset(next))?;
        }
        let consumer = Arc::clone(&self.consumer);
        let commit = tokio::task::spawn_blocking(move || consumer.commit(&offsets, CommitMode::Sync));
        commit.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl Drop for LogConsumer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The polling thread.
struct Poller {
    consumer: Arc<BaseConsumer<Rebalances>>,
    deliveries: mpsc::Sender<Delivery>,
    stop: Arc<AtomicBool>,
    /// Read, but the writer had no room yet; oldest first.
    waiting: VecDeque<Record>,
    paused: bool,
}

impl Poller {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) && !self.deliveries.is_closed() {
            match self.consumer.poll(POLL) {
                None => {}
                Some(Err(error)) => tracing::warn!(%error, "reading the log"),
                Some(Ok(message)) => self.waiting.push_back(record_of(&message)),
            }
            self.hand_out();
            self.pause_or_resume();
        }
    }

    fn hand_out(&mut self) {
        while let Some(record) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(Delivery::Record(back))) = self.deliveries.try_send(Delivery::Record(record))
            {
                self.waiting.push_front(back);
                return;
            }
        }
    }

    /// While the writer has no room fetching is paused and polling goes on, so that the group does not take a slow member
    /// for a dead one. What was fetched before the pause took hold is bounded by `queued.max.messages.kbytes`.
    fn pause_or_resume(&mut self) {
        let wanted = !self.waiting.is_empty();
        if wanted == self.paused {
            return;
        }
        let owned = self.consumer.assignment();
        let outcome =
            owned.and_then(|owned| if wanted { self.consumer.pause(&owned) } else { self.consumer.resume(&owned) });
        match outcome {
            Ok(()) => self.paused = wanted,
            Err(error) => tracing::warn!(%error, wanted, "pausing or resuming the log's reader"),
        }
    }
}

fn record_of(message: &BorrowedMessage<'_>) -> Record {
    Record {
        // Kafka numbers partitions and offsets from 0 upward; ours are verified to fit when the topic is.
        partition: u16::try_from(message.partition()).unwrap_or(u16::MAX),
        offset: u64::try_from(message.offset()).unwrap_or(0),
        stamped_at_millis: message.timestamp().to_millis(),
        lines: message.payload().unwrap_or_default().to_vec(),
    }
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
