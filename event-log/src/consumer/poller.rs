//! The thread that polls, and the callbacks librdkafka makes on it.

use super::{Delivery, Handover, Heard, Record};
use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// How long one poll waits; also how soon a stop or freed room is noticed.
const POLL: Duration = Duration::from_millis(50);
/// Pause between two looks whether the writer has room again.
const ROOM_LOOK: Duration = Duration::from_millis(5);
/// A writer that has no room for so long is waited for by polling with fetching paused. Before that nothing is paused: a pause
/// throws away what librdkafka has fetched ahead, which then crosses the network again.
const PAUSE_AFTER: Duration = Duration::from_secs(1);
/// Longest wait for fetching to end when this member leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// After fetching has ended the brokers are told on librdkafka's own thread, within a millisecond or two; it says nothing of it.
const FAREWELL: Duration = Duration::from_millis(100);

/// A rebalance, numbered from 1.
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) delivery: Delivery,
}

/// A record, and the number of the last rebalance before it was polled.
pub(super) struct Read {
    pub(super) after: u64,
    pub(super) record: Record,
}

/// What librdkafka calls, on the thread that polls.
pub(super) struct Rebalances {
    changes: mpsc::UnboundedSender<Change>,
    number: Arc<AtomicU64>,
    changed: Arc<AtomicBool>,
    heard: Heard,
    topic: String,
}

impl Rebalances {
    pub(super) fn new(changes: mpsc::UnboundedSender<Change>, heard: Heard, topic: String) -> Self {
        Self { changes, number: Arc::default(), changed: Arc::default(), heard, topic }
    }

    /// The number of the last rebalance; and whether there was one since the poller looked.
    pub(super) fn counters(&self) -> (Arc<AtomicU64>, Arc<AtomicBool>) {
        (Arc::clone(&self.number), Arc::clone(&self.changed))
    }

    /// `false` when the writer has gone, and then nobody writes.
    fn tell(&self, delivery: Delivery) -> bool {
        let number = self.number.fetch_add(1, Ordering::Relaxed) + 1;
        self.changed.store(true, Ordering::Relaxed);
        self.heard.polled();
        self.changes.send(Change { number, delivery }).is_ok()
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the log's reader reports");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else { return };
        for (number, partition) in &topic.partitions {
            // -1 is librdkafka's own partition of messages without one, and the offset of what was never fetched.
            if let (Ok(number), Ok(high)) = (u16::try_from(*number), u64::try_from(partition.hi_offset)) {
                self.heard.note_high_watermark(number, high);
            }
        }
    }
}

impl ConsumerContext for Rebalances {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        let Rebalance::Revoke(partitions) = change else { return };
        let (done, handed_over) = oneshot::channel();
        let revoked = Delivery::Revoked(numbers(partitions), Handover { _done: done });
        if self.tell(revoked) {
            // Nothing is ever sent: what ends the wait is the drop.
            let _ = handed_over.blocking_recv();
            tracing::debug!("partitions handed over");
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, change: &Rebalance<'_>) {
        let Rebalance::Assign(partitions) = change else { return };
        if !self.tell(Delivery::Assigned(numbers(partitions))) {
            tracing::debug!("assigned partitions after the writer ended");
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<u16> {
    partitions.elements().iter().filter_map(|element| u16::try_from(element.partition()).ok()).collect()
}

/// The polling thread.
pub(super) struct Poller {
    consumer: Arc<BaseConsumer<Rebalances>>,
    records: mpsc::Sender<Read>,
    stop: Arc<AtomicBool>,
    heard: Heard,
    number: Arc<AtomicU64>,
    changed: Arc<AtomicBool>,
    /// Read, but the writer had no room yet; oldest first.
    waiting: VecDeque<Read>,
    /// Since when the writer has had no room.
    full_since: Option<Instant>,
    paused: bool,
}

impl Poller {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Rebalances>>,
        records: mpsc::Sender<Read>,
        stop: Arc<AtomicBool>,
        heard: Heard,
        number: Arc<AtomicU64>,
        changed: Arc<AtomicBool>,
    ) -> Self {
        Self {
            consumer,
            records,
            stop,
            heard,
            number,
            changed,
            waiting: VecDeque::new(),
            full_since: None,
            paused: false,
        }
    }

    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) && !self.records.is_closed() {
            if let Some((error, reason)) = self.consumer.client().fatal_error() {
                tracing::error!(%error, reason, "the log's reader ends: does another process have the same kafka.instance?");
                return;
            }
            if self.full_since.is_some_and(|since| since.elapsed() < PAUSE_AFTER) {
                std::thread::sleep(ROOM_LOOK);
            } else {
                self.poll();
            }
            self.heard.polled();
            self.hand_out();
            self.pause_or_resume();
        }
        self.leave();
    }

    /// Tells the brokers that this member goes. Only closing would not do: a member with a name keeps its place then, and its
    /// partitions would wait for it as after a crash.
    fn leave(&self) {
        self.consumer.unsubscribe();
        let until = Instant::now() + LEAVE_WITHIN;
        let has_partitions = || self.consumer.assignment().is_ok_and(|assigned| assigned.count() > 0);
        while has_partitions() && Instant::now() < until {
            self.serve(POLL);
        }
        self.serve(FAREWELL);
    }

    /// Lets librdkafka make its callbacks; a record that still comes is read again by the next owner.
    fn serve(&self, length: Duration) {
        let until = Instant::now() + length;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Some(Err(error)) = self.consumer.poll(left) {
                tracing::debug!(%error, "while leaving the log's group");
                std::thread::sleep(ROOM_LOOK);
            }
        }
    }

    fn poll(&mut self) {
        match self.consumer.poll(POLL) {
            None => {}
            Some(Err(error)) => tracing::warn!(%error, "reading the log"),
            Some(Ok(message)) => {
                let after = self.number.load(Ordering::Relaxed);
                self.waiting.push_back(Read { after, record: record_of(&message) });
            }
        }
    }

    fn hand_out(&mut self) {
        while let Some(read) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(back)) = self.records.try_send(read) {
                self.waiting.push_front(back);
                self.full_since.get_or_insert_with(Instant::now);
                return;
            }
        }
        self.full_since = None;
    }

    /// While the writer has no room fetching is paused and polling goes on, so that the group does not take a slow member
    /// for a dead one. What was fetched before the pause took hold is bounded by `queued.max.messages.kbytes`. Partitions
    /// that come in the meantime are not paused yet, so each rebalance makes it look anew.
    fn pause_or_resume(&mut self) {
        let wanted = self.full_since.is_some_and(|since| since.elapsed() >= PAUSE_AFTER);
        let changed = self.changed.swap(false, Ordering::Relaxed);
        if wanted == self.paused && !changed {
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
