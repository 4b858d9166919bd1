//! The writer's task: collects while earlier groups are on their way, sends what it has, and hears of rebalances at any time.
//!
//! Behind, groups grow to the limit; with nothing more to read, a group waits a moment for company and goes. Failures and
//! rebalances are in [`super::ownership`].

use super::dead;
use super::group::{Counts, Group, Stored, reach};
use super::offsets::Offsets;
use super::partition::Owned;
use super::session::Session;
use super::shared::Shared;
use super::types::StreamingConfig;
use crate::connection::Connection;
use crate::direct::WriterState;
use crate::error::StoreError;
use crate::sql;
use crate::writing::commit::{CommitError, joined};
use crate::writing::decode::{DecodedRecord, decode};
use crate::writing::lane::within;
use crate::writing::lookup::{stored_ids, stored_voids};
use crate::writing::plans::Plans;
use crate::writing::pressure::Pressure;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::snapshot::SnapshotCell;
use domain::time::Timestamp;
use event_log::consumer::{Delivery, LogConsumer, Record};
use event_log::dead_letters::DeadLetters;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

/// Groups on their way at once: one in each step of [`crate::writing::commit`].
const GROUPS_UNDER_WAY: usize = 3;
/// A smaller group goes only when nothing is on its way: it would gain nothing but parts to be merged.
const LARGE_GROUP: usize = 20_000;
/// A group is sent after this also while the log goes on giving: events must not wait for the limit to be reached.
const LONGEST_WAIT: Duration = Duration::from_millis(400);
/// Behind, a group may take a quarter of what its first record is late already: an insert of 50,000 events costs the engine
/// twice as much an event as one of 200,000 (6.0 and 2.7 µs, merges included), so large inserts are what catches up.
const SHARE_OF_LATENESS: u32 = 4;
/// More than the largest group takes to collect; a producer whose clock is hours slow must not hold events back.
const LONGEST_WAIT_BEHIND: Duration = Duration::from_secs(5);
/// A group that has so many rows when its linger is over comes from a stream of 40,000 events a second or more: it waits
/// [`LINGER_OF_MANY`], for the same reason, and is still visible within a second.
const MANY_ROWS: usize = 2_000;
const LINGER_OF_MANY: Duration = Duration::from_millis(250);
/// Records decoded and asked about together: 4 MiB are some 16,000 events, two questions to the id table at most.
const BUNCH_BYTES: usize = 4 << 20;
/// Decoding less than this takes less than a thread costs.
const DECODED_AT_ONCE: usize = 64 << 10;
/// For an answer about known ids.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What the task is made of.
pub(super) struct Parts {
    pub(super) connection: Connection,
    pub(super) config: StreamingConfig,
    pub(super) catalog: SnapshotCell,
    pub(super) log: LogConsumer,
    pub(super) dead_letters: DeadLetters,
    pub(super) epoch: u16,
    pub(super) partitions: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) closing: mpsc::Receiver<oneshot::Sender<()>>,
}

pub(super) fn start(parts: Parts) {
    let pressure = Arc::new(Pressure::default());
    let watched = (Arc::clone(&pressure), parts.connection.clone());
    let watchers = [
        tokio::spawn(async move { watched.0.watch(watched.1).await }).abort_handle(),
        tokio::spawn(super::lag::watch(Arc::clone(&parts.shared))).abort_handle(),
    ];
    let offsets = Offsets::start(parts.log.offsets());
    let task = WriterTask {
        plans: Plans::new(parts.catalog),
        connection: parts.connection,
        config: parts.config,
        log: parts.log,
        dead_letters: parts.dead_letters,
        epoch: parts.epoch,
        partitions: parts.partitions,
        shared: parts.shared,
        close_requests: parts.closing,
        offsets,
        pressure,
        watchers,
        session: None,
        former_sessions: Vec::new(),
        assigned: BTreeSet::new(),
        owned: BTreeMap::new(),
        backlog: VecDeque::new(),
        group: Group::new(1),
        under_way: VecDeque::new(),
        unstored: Vec::new(),
        last_stored_group: 0,
        floors_moved_at: Instant::now(),
        closing: false,
        closed: Vec::new(),
    };
    tokio::spawn(task.run());
}

pub(super) struct WriterTask {
    pub(super) connection: Connection,
    pub(super) config: StreamingConfig,
    pub(super) log: LogConsumer,
    dead_letters: DeadLetters,
    pub(super) epoch: u16,
    /// Of the topic.
    pub(super) partitions: u16,
    pub(super) shared: Arc<Shared>,
    pub(super) close_requests: mpsc::Receiver<oneshot::Sender<()>>,
    pub(super) offsets: Offsets,
    plans: Plans,
    pressure: Arc<Pressure>,
    watchers: [AbortHandle; 2],
    pub(super) session: Option<Session>,
    pub(super) former_sessions: Vec<uuid::Uuid>,
    /// What the group gave us; those that are not in `owned` are still to be taken over.
    pub(super) assigned: BTreeSet<u16>,
    pub(super) owned: BTreeMap<u16, Owned>,
    /// Read and not judged yet, oldest first.
    pub(super) backlog: VecDeque<Arc<DecodedRecord>>,
    /// Being collected.
    pub(super) group: Group,
    /// On their way into the store, oldest first.
    pub(super) under_way: VecDeque<UnderWay>,
    /// Of groups that failed.
    pub(super) unstored: Vec<Arc<DecodedRecord>>,
    /// The number of the last group known to be durable.
    last_stored_group: u64,
    pub(super) floors_moved_at: Instant,
    pub(super) closing: bool,
    pub(super) closed: Vec<oneshot::Sender<()>>,
}

/// A group on its way into the store.
pub(super) struct UnderWay {
    number: u64,
    pub(super) records: Vec<Arc<DecodedRecord>>,
    counts: Counts,
    pub(super) commit: JoinHandle<Result<(), CommitError>>,
}

/// What happened while collecting.
enum Event {
    Log(Option<Delivery>),
    Committed(Result<(), CommitError>),
    LingerOver,
    Close(Option<oneshot::Sender<()>>),
}

impl WriterTask {
    async fn run(mut self) {
        while !self.is_done() {
            if let Err(error) = self.step().await {
                self.recover(error).await;
            }
        }
        self.leave().await;
        self.log.leave().await;
    }

    fn is_done(&self) -> bool {
        self.closing && self.under_way.is_empty() && self.group.is_empty()
    }

    async fn step(&mut self) -> Result<(), StoreError> {
        self.send_when_full();
        if !self.backlog.is_empty() && !self.closing && self.has_room() {
            return self.judge_backlog().await;
        }
        match self.next_event().await {
            Event::Committed(result) => self.finish(result).await,
            Event::Log(Some(Delivery::Record(record))) => self.read(record).await,
            Event::Log(Some(Delivery::Assigned(partitions))) => self.take_over(partitions).await,
            Event::Log(Some(Delivery::Revoked(partitions, handover))) => self.hand_over(partitions, handover).await,
            Event::Log(None) => {
                tracing::error!("the log's reader ended");
                self.closing = true;
                Ok(())
            }
            Event::LingerOver => {
                self.send();
                Ok(())
            }
            Event::Close(done) => {
                self.begin_close(done);
                Ok(())
            }
        }
    }

    pub(super) fn begin_close(&mut self, done: Option<oneshot::Sender<()>>) {
        self.closing = true;
        self.closed.extend(done);
    }

    fn has_room(&self) -> bool {
        self.group.rows.len() < self.config.max_group_rows && self.group.rows.byte_size() < self.config.max_group_bytes
    }

    fn may_send(&self) -> bool {
        let at_once = if self.group.rows.len() < LARGE_GROUP { 1 } else { GROUPS_UNDER_WAY };
        !self.group.is_empty() && self.under_way.len() < at_once
    }

    fn longest_wait(&self) -> Duration {
        let stamped_at = self.group.records.first().map_or(Timestamp(0), |record| record.stamped_at);
        let late_micros = Timestamp::now().0.saturating_sub(stamped_at.0);
        // Negative where the producer's clock is ahead of ours.
        let late = Duration::from_micros(u64::try_from(late_micros).unwrap_or(0));
        (late / SHARE_OF_LATENESS).clamp(LONGEST_WAIT, LONGEST_WAIT_BEHIND)
    }

    /// How long the group waits for company while the log has nothing to give.
    fn linger(&self) -> Duration {
        let own =
            if self.group.rows.len() < MANY_ROWS { self.config.linger } else { self.config.linger.max(LINGER_OF_MANY) };
        own + self.pressure.linger()
    }

    fn send_when_full(&mut self) {
        let waited_long = self.group.since.is_some_and(|since| since.elapsed() >= self.longest_wait());
        if self.may_send() && (self.closing || waited_long || !self.has_room()) {
            self.send();
        }
    }

    /// Sends the group, if it holds anything. Partitions in it are owned, so there is a session.
    pub(super) fn send(&mut self) {
        let Some(session) = self.session.as_mut().filter(|_| !self.group.is_empty()) else { return };
        let next = Group::new(self.group.number + 1);
        let Group { number, rows, records, counts, .. } = std::mem::replace(&mut self.group, next);
        self.under_way.push_back(UnderWay { number, records, counts, commit: session.committer.start(rows) });
    }

    async fn next_event(&mut self) -> Event {
        let linger_until = self.group.since.filter(|_| self.may_send()).map(|since| since + self.linger());
        let collect = !self.closing && self.backlog.is_empty() && self.has_room();
        let Self { under_way, log, close_requests, closing, .. } = self;
        let committed = async {
            match under_way.front_mut() {
                Some(oldest) => joined((&mut oldest.commit).await),
                None => std::future::pending().await,
            }
        };
        let delivery = async { if collect { log.next().await } else { log.next_change().await } };
        let linger_over = async {
            match linger_until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = committed => Event::Committed(result),
            done = close_requests.recv(), if !*closing => Event::Close(done),
            delivery = delivery => Event::Log(delivery),
            () = linger_over => Event::LingerOver,
        }
    }

    /// Decodes a record and all that are at hand.
    async fn read(&mut self, first: Record) -> Result<(), StoreError> {
        self.shared.note_work();
        let mut bytes = first.lines.len();
        let mut records = vec![first];
        while bytes < BUNCH_BYTES {
            let Some(record) = self.log.record_at_hand() else { break };
            bytes += record.lines.len();
            records.push(record);
        }
        let decode_all = move || records.into_iter().map(|record| Arc::new(decode(record))).collect::<Vec<_>>();
        let decoded = if bytes < DECODED_AT_ONCE {
            decode_all()
        } else {
            let decoded = tokio::task::spawn_blocking(decode_all).await;
            // Only a runtime that is being shut down cancels it, and then nothing goes on.
            decoded.map_err(|error| StoreError::Engine(format!("records were not decoded: {error}")))?
        };
        self.backlog.extend(decoded);
        Ok(())
    }

    /// Moves records from the backlog into the group, as far as it has room.
    async fn judge_backlog(&mut self) -> Result<(), StoreError> {
        let mut room = self.config.max_group_rows.saturating_sub(self.group.rows.len());
        let mut records = Vec::new();
        while let Some(record) = self.backlog.front().filter(|_| room > 0) {
            room = room.saturating_sub(record.rows.len());
            records.extend(self.backlog.pop_front());
        }
        match self.judge(&records).await {
            Ok(()) => Ok(()),
            Err(error) => {
                records.into_iter().rev().for_each(|record| self.backlog.push_front(record));
                Err(error)
            }
        }
    }

    async fn judge(&mut self, records: &[Arc<DecodedRecord>]) -> Result<(), StoreError> {
        self.plans.refresh();
        let (number, stored_group) = (self.group.number, self.last_stored_group);
        self.owned.values_mut().for_each(|owned| owned.recent.rotate_if_full(number, stored_group));
        let stored = within(ANSWER_WITHIN, "known ids", self.look_up(records)).await?;
        dead::publish(&self.connection, &self.dead_letters, self.epoch, records).await?;
        for record in records {
            // The log hands out records of owned partitions only, and the backlog is purged of lost ones.
            let Some(owned) = self.owned.get_mut(&record.partition) else { continue };
            self.group.add(self.epoch, Arc::clone(record), owned, &mut self.plans, &stored);
        }
        Ok(())
    }

    /// Asks the id table about every id that memory cannot decide.
    async fn look_up(&self, records: &[Arc<DecodedRecord>]) -> Result<Stored, StoreError> {
        let mut doubtful: Vec<(OrganizationId, EventId)> = Vec::new();
        let mut voids = Vec::new();
        let mut partitions = BTreeSet::new();
        for record in records {
            let Some(owned) = self.owned.get(&record.partition) else { continue };
            let doubtful_before = doubtful.len();
            for row in 0..record.rows.len() {
                let key = record.rows.key(row);
                if owned.filter.may_hold(key.id) && owned.recent.get(key.id).is_none() {
                    doubtful.push((key.organization, key.id));
                }
            }
            voids.extend(record.voids.iter().map(|void| (void.organization, void.id)));
            if doubtful.len() > doubtful_before || !record.voids.is_empty() {
                partitions.insert(record.partition);
            }
        }
        doubtful.extend(&voids);
        metrics::counter!("tollgate_store_id_lookups_total").increment(doubtful.len() as u64);
        let mut stored = Stored::default();
        if !doubtful.is_empty() {
            stored.ids = stored_ids(&self.connection, &doubtful, &places_of(self.epoch, &partitions)).await?;
        }
        if !voids.is_empty() {
            stored.voids = stored_voids(&self.connection, &voids).await?;
        }
        Ok(stored)
    }

    /// Notes what became of the oldest group.
    pub(super) async fn finish(&mut self, result: Result<(), CommitError>) -> Result<(), StoreError> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        if let Err(error) = result {
            self.unstored.extend(oldest.records);
            return Err(match error {
                CommitError::Failed(error) => error,
                CommitError::NotTried => StoreError::Engine("an earlier insert failed".into()),
            });
        }
        self.last_stored_group = oldest.number;
        oldest.counts.publish();
        for (partition, (below, stamp)) in reach(&oldest.records) {
            let Some(owned) = self.owned.get_mut(&partition) else { continue };
            owned.stored_below = below;
            owned.stored_stamp = Some(stamp);
            self.offsets.store([(partition, below - 1)]);
        }
        super::lag::note_stored(&self.shared, &oldest.records, &oldest.counts);
        self.shared.note_stored(&self.owned);
        self.shared.note_progress(!(self.under_way.is_empty() && self.group.is_empty() && self.backlog.is_empty()));
        self.move_floors_when_due().await;
        Ok(())
    }
}

/// Where ids that come in these partitions may have been stored: an id has its one partition in each epoch. The engine passes over the
/// parts of all others, which is most of what a question costs.
fn places_of(epoch: u16, partitions: &BTreeSet<u16>) -> String {
    let partitions = sql::list(partitions.iter().map(ToString::to_string));
    format!("epoch != {epoch} OR partition IN {partitions}")
}

impl Drop for WriterTask {
    fn drop(&mut self) {
        self.watchers.iter().for_each(AbortHandle::abort);
        self.shared.set_state(WriterState::NotReady("the writer has stopped".into()));
        // Whoever asked for the end may have gone; the work is done either way.
        for done in self.closed.drain(..) {
            let _ = done.send(());
        }
    }
}
