//! Lines in, acknowledgements out.
//!
//! | what happens | what the caller hears | what was kept |
//! |---|---|---|
//! | every record acknowledged by all in-sync replicas | `Ok` (I1) | everything |
//! | no room in memory | [`LogError::NoRoom`], before anything is taken | nothing |
//! | brokers silent, acknowledgements still | [`LogError::Stalled`] from [`crate::intake`], before anything is taken | nothing |
//! | brokers gone until the delivery time-out | [`LogError::MaybeKept`] | unknown: sending the same ids again is safe |
//! | librdkafka refuses a record at once | [`LogError::NotKept`] when it was the only one, else `MaybeKept` | – |
//! | shut down amid requests | they are answered: [`LogProducer::close`] seals and flushes first | everything answered `Ok` |
//!
//! Events of concurrent requests share records: a partition has one open record; it is sent when it is full or when its
//! first line has waited for the linger. A request is answered when every record that holds one of its lines is.
//!
//! Memory: a request reserves room until it is answered, and lines count until their record is settled, so that a client which
//! hangs up amid its request gives nothing back early.
//!
//! Metrics: `tollgate_log_{events,records,bytes}_produced_total`, `tollgate_log_{events,records}_acknowledged_total`,
//! `tollgate_log_records_failed_total`, `tollgate_log_ack_seconds` (a record, from its hand-over to its acknowledgement),
//! and the gauges of [`crate::progress`].

use crate::complaints::Complaints;
use crate::partitioning::partition_of;
use crate::progress::{Progress, keep_pulse};
use crate::settings::{KafkaSettings, MAX_RECORD_BYTES};
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::log_line;
use domain::time::Timestamp;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};

/// Room is counted in KiB: a semaphore holds at most 2³² permits, and a request is never smaller than that matters.
const ROOM_UNIT: usize = 1024;
/// Capacity of a fresh record's buffer: a record sealed by the linger holds a few dozen KiB under load.
const USUAL_RECORD_BYTES: usize = 32 * 1024;

/// Why events did not get into the log.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogError {
    /// Too many unacknowledged bytes; nothing was taken.
    #[error("the queue of unacknowledged events is full")]
    NoRoom,
    /// What is taken now could not be acknowledged in time; nothing was taken.
    #[error("the log stands still: {0}")]
    Stalled(String),
    /// Nothing of the request reached a broker.
    #[error("the log refused the events: {0}")]
    NotKept(String),
    /// Some record failed after it was handed over.
    #[error("the log failed midway: {0}")]
    MaybeKept(String),
}

/// How one record ended.
#[derive(Clone, Debug)]
enum Outcome {
    Waiting,
    Acknowledged,
    Refused(String),
    Failed(String),
}

type Receipt = watch::Receiver<Outcome>;

/// Room in the queue for one request, given back on drop.
#[derive(Debug)]
#[must_use = "the room is given back as soon as it is dropped"]
pub struct Room {
    _held: OwnedSemaphorePermit,
}

/// Writes events to the topic; shared by all requests of a gateway.
pub struct LogProducer {
    producer: ThreadedProducer<Acknowledgements>,
    topic: String,
    open: Vec<Mutex<OpenRecord>>,
    room: Arc<Semaphore>,
    queue_bytes: usize,
    first_line: Arc<Notify>,
    linger: Duration,
    progress: Arc<Progress>,
}

struct OpenRecord {
    lines: Vec<u8>,
    count: u64,
    outcome: watch::Sender<Outcome>,
}

/// What travels with a record through librdkafka and comes back with its delivery report.
struct Underway {
    outcome: watch::Sender<Outcome>,
    progress: Arc<Progress>,
    bytes: usize,
    lines: u64,
    sent_at: Instant,
}

impl Underway {
    fn settle(self, outcome: Outcome) {
        self.progress.settled(self.bytes);
        match &outcome {
            Outcome::Acknowledged => {
                metrics::counter!("tollgate_log_records_acknowledged_total").increment(1);
                metrics::counter!("tollgate_log_events_acknowledged_total").increment(self.lines);
                metrics::histogram!("tollgate_log_ack_seconds").record(self.sent_at.elapsed());
            }
            _ => metrics::counter!("tollgate_log_records_failed_total").increment(1),
        }
        self.outcome.send_replace(outcome);
    }
}

impl OpenRecord {
    fn fresh() -> Self {
        let lines = Vec::with_capacity(USUAL_RECORD_BYTES);
        Self { lines, count: 0, outcome: watch::Sender::new(Outcome::Waiting) }
    }
}

impl LogProducer {
    /// Connects (lazily) and starts the tasks that send records whose linger is over and that ask whether the brokers answer.
    /// `partitions` is the topic's verified number.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn start(settings: &KafkaSettings, partitions: u16) -> Result<Arc<Self>, KafkaError> {
        let producer = settings.producer().create_with_context(Acknowledgements::default())?;
        let open = (0..partitions).map(|_| Mutex::new(OpenRecord::fresh())).collect();
        let log = Arc::new(Self {
            producer,
            topic: settings.topic.clone(),
            open,
            room: Arc::new(Semaphore::new(settings.queue_bytes / ROOM_UNIT)),
            queue_bytes: settings.queue_bytes,
            first_line: Arc::new(Notify::new()),
            linger: Duration::from_millis(settings.linger_ms),
            progress: Progress::new(),
        });
        tokio::spawn(send_when_linger_is_over(Arc::downgrade(&log), Arc::clone(&log.first_line), log.linger));
        tokio::spawn(keep_pulse(Arc::downgrade(&log), Arc::clone(&log.progress)));
        Ok(log)
    }

    /// Why nothing should be admitted now, if so; cheap.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.progress.problem()
    }

    /// Why it is not ready, if so: as [`Self::problem`], and the brokers must have answered once. Cheap.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        self.progress.not_ready()
    }

    /// Bytes that requests under way have reserved.
    #[must_use]
    pub fn reserved_bytes(&self) -> usize {
        self.queue_bytes.saturating_sub(self.room.available_permits() * ROOM_UNIT)
    }

    /// Returns once the brokers refused a record as too large: no record is, so the topic may be closed.
    pub(crate) async fn refused_as_closed(&self) {
        self.progress.closed.notified().await;
    }

    /// Asks for the topic's metadata; blocks for at most `patience`. Good when every partition has a leader and the client has
    /// not met an error that ends it.
    pub(crate) fn ask_brokers(&self, patience: Duration) -> Result<(), String> {
        if let Some((code, reason)) = self.producer.client().fatal_error() {
            return Err(format!("the client has ended, restart the process: {reason} ({code})"));
        }
        let answer = self.producer.client().fetch_metadata(Some(&self.topic), patience);
        let metadata = answer.map_err(|error| error.to_string())?;
        let partitions = metadata.topics().first().map(MetadataTopic::partitions).unwrap_or_default();
        if partitions.len() != self.open.len() {
            return Err(format!("the topic has {} partitions instead of {}", partitions.len(), self.open.len()));
        }
        match partitions.iter().find(|partition| partition.leader() < 0) {
            Some(partition) => Err(format!("partition {} has no leader", partition.id())),
            None => Ok(()),
        }
    }

    /// Reserves room for about `bytes` of events; never waits.
    ///
    /// # Errors
    /// [`LogError::NoRoom`].
    pub fn admit(&self, bytes: usize) -> Result<Room, LogError> {
        if self.progress.waiting_bytes() >= self.queue_bytes {
            return Err(LogError::NoRoom);
        }
        let units = u32::try_from(bytes / ROOM_UNIT + 1).unwrap_or(u32::MAX);
        let held = Arc::clone(&self.room).try_acquire_many_owned(units).map_err(|_| LogError::NoRoom)?;
        Ok(Room { _held: held })
    }

    /// Writes every row of `batch`; returns once the brokers hold all of them (I1).
    ///
    /// # Errors
    /// [`LogError`]; see the table above for what was kept.
    pub async fn append(&self, batch: &EventBatch) -> Result<(), LogError> {
        let mut receipts = Vec::with_capacity(self.open.len());
        for (partition, rows) in self.rows_by_partition(&batch.ids).into_iter().enumerate() {
            self.append_rows(partition, &rows, batch, &mut receipts);
        }
        settle(receipts).await
    }

    /// Writes a void, to the partition of its event, so that both meet in order.
    ///
    /// # Errors
    /// As [`LogProducer::append`].
    pub async fn append_void(
        &self,
        organization: OrganizationId,
        transaction_id: &str,
        accepted_at: Timestamp,
    ) -> Result<(), LogError> {
        let id = EventId::derive(organization, transaction_id);
        let partition = usize::from(partition_of(id, self.partitions()));
        let receipt = {
            let mut record = lock(&self.open[partition]);
            log_line::write_void(&mut record.lines, organization, transaction_id, accepted_at);
            record.count += 1;
            record.outcome.subscribe()
        };
        self.first_line.notify_one();
        settle(vec![receipt]).await
    }

    /// Sends what is open and waits until every record is acknowledged or failed.
    ///
    /// # Errors
    /// When some are still unacknowledged after `patience`; their requests hear `MaybeKept`.
    pub async fn close(self: &Arc<Self>, patience: Duration) -> Result<(), KafkaError> {
        self.send_all();
        let log = Arc::clone(self);
        let flushed = tokio::task::spawn_blocking(move || log.producer.flush(patience)).await;
        flushed.unwrap_or(Err(KafkaError::Canceled))
    }

    fn partitions(&self) -> u16 {
        // `start` took the number as a u16.
        u16::try_from(self.open.len()).unwrap_or(u16::MAX)
    }

    fn rows_by_partition(&self, ids: &[EventId]) -> Vec<Vec<usize>> {
        let mut rows = vec![Vec::new(); self.open.len()];
        for (row, id) in ids.iter().enumerate() {
            rows[usize::from(partition_of(*id, self.partitions()))].push(row);
        }
        rows
    }

    fn append_rows(&self, partition: usize, rows: &[usize], batch: &EventBatch, receipts: &mut Vec<Receipt>) {
        if rows.is_empty() {
            return;
        }
        let mut record = lock(&self.open[partition]);
        let was_empty = record.lines.is_empty();
        for row in rows {
            log_line::write_event(&mut record.lines, batch, *row);
            record.count += 1;
            if record.lines.len() >= MAX_RECORD_BYTES {
                receipts.push(record.outcome.subscribe());
                self.send(partition, &mut record);
            }
        }
        if !record.lines.is_empty() {
            receipts.push(record.outcome.subscribe());
            if was_empty {
                self.first_line.notify_one();
            }
        }
    }

    /// Hands the open record to librdkafka and opens the next; the order within a partition is the order of the lock.
    fn send(&self, partition: usize, record: &mut OpenRecord) {
        if record.lines.is_empty() {
            return;
        }
        let OpenRecord { lines, count, outcome } = std::mem::replace(record, OpenRecord::fresh());
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        self.progress.sent(lines.len());
        metrics::counter!("tollgate_log_records_produced_total").increment(1);
        metrics::counter!("tollgate_log_events_produced_total").increment(count);
        metrics::counter!("tollgate_log_bytes_produced_total").increment(lines.len() as u64);
        let progress = Arc::clone(&self.progress);
        let underway = Underway { outcome, progress, bytes: lines.len(), lines: count, sent_at: Instant::now() };
        let message: BaseRecord<'_, (), [u8], Box<Underway>> =
            BaseRecord::with_opaque_to(&self.topic, Box::new(underway)).partition(number).payload(&lines);
        if let Err((error, refused)) = self.producer.send(message) {
            tracing::warn!(%error, partition, "librdkafka refused a record");
            refused.delivery_opaque.settle(Outcome::Refused(error.to_string()));
        }
    }

    fn send_all(&self) {
        for (partition, open) in self.open.iter().enumerate() {
            self.send(partition, &mut lock(open));
        }
    }
}

/// A panic while a record was open left whole lines in it or none of the last: writing a line cannot panic half-way.
fn lock(open: &Mutex<OpenRecord>) -> MutexGuard<'_, OpenRecord> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send_when_linger_is_over(log: Weak<LogProducer>, first_line: Arc<Notify>, linger: Duration) {
    loop {
        first_line.notified().await;
        tokio::time::sleep(linger).await;
        let Some(log) = log.upgrade() else { return };
        log.send_all();
    }
}

impl Drop for LogProducer {
    fn drop(&mut self) {
        // Wakes the sending task, which finds the producer gone and ends.
        self.first_line.notify_one();
    }
}

async fn settle(receipts: Vec<Receipt>) -> Result<(), LogError> {
    let (mut kept, mut refused, mut failed) = (0_usize, None, None);
    for mut receipt in receipts {
        // The sender lives in librdkafka until its delivery report, which always comes.
        let outcome = receipt.wait_for(|outcome| !matches!(outcome, Outcome::Waiting)).await;
        match outcome.as_deref() {
            Ok(Outcome::Acknowledged) => kept += 1,
            Ok(Outcome::Refused(reason)) => refused = Some(reason.clone()),
            Ok(Outcome::Failed(reason)) => failed = Some(reason.clone()),
            Ok(Outcome::Waiting) | Err(_) => failed = Some("its delivery was never reported".into()),
        }
    }
    match (failed, refused) {
        (None, None) => Ok(()),
        (None, Some(reason)) if kept == 0 => Err(LogError::NotKept(reason)),
        (Some(reason), _) | (None, Some(reason)) => Err(LogError::MaybeKept(reason)),
    }
}

/// Receives delivery reports on librdkafka's polling thread.
#[derive(Default)]
struct Acknowledgements {
    complaints: Complaints,
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.complaints.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<Underway>;

    fn delivery(&self, report: &DeliveryResult<'_>, underway: Self::DeliveryOpaque) {
        match report {
            Ok(record) => {
                tracing::trace!(partition = record.partition(), offset = record.offset(), "acknowledged");
                underway.settle(Outcome::Acknowledged);
            }
            Err((error, _)) => {
                if matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)) {
                    underway.progress.closed.notify_one();
                }
                underway.settle(Outcome::Failed(error.to_string()));
            }
        }
    }
}
