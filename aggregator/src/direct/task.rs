//! The one writer task: collects while the previous group is being inserted, then commits what it has.
//!
//! With nothing under way a request is committed at once; under load the groups grow by themselves to what arrives while the
//! groups before them take their steps.

use super::commit::{CommitError, Committer};
use super::departure::Departure;
use super::group::{Answers, Group, Knowledge};
use super::handle::Request;
use super::known::{Filter, IdMap, Recent};
use super::load;
use super::lookup::{IdRow, stored_ids, stored_voids};
use super::plans::Plans;
use super::pressure::Pressure;
use super::recovery::{Recovered, recover};
use super::types::{AcceptError, DirectConfig, WriterState};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::native::VoidRow;
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::snapshot::SnapshotCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::Instant;

/// Pauses between two attempts to reach a store that failed: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a client is told then.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// A group of 50,000 events is inserted in a fifth of a second.
const STUCK_AFTER: Duration = Duration::from_secs(30);
/// Groups on their way at once: one in each step of [`super::commit`].
const GROUPS_UNDER_WAY: usize = 3;
/// A group of more rows does not wait for company.
const LARGE_GROUP: usize = 5_000;

/// What handle and task share.
pub(super) struct Shared {
    state: ArcSwap<WriterState>,
    /// Since when the insert under way is under way.
    inserting_since: ArcSwapOption<Instant>,
    watcher: AbortHandle,
}

impl Shared {
    /// Ready means progress: an insert that does not end is as bad as one that fails.
    pub(super) fn state(&self) -> WriterState {
        match self.inserting_since.load().as_deref() {
            Some(since) if since.elapsed() > STUCK_AFTER => {
                WriterState::NotReady(format!("an insert is under way for {} s", since.elapsed().as_secs()))
            }
            _ => WriterState::clone(&self.state.load()),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Recovers, loads the filter, and starts the task.
pub(super) async fn start(
    connection: Connection,
    config: DirectConfig,
    catalog: SnapshotCell,
    inbox: mpsc::UnboundedReceiver<Request>,
) -> Result<Arc<Shared>, StoreError> {
    let Recovered { next_offset, .. } = recover(&connection).await?;
    let filter = load::filter(&connection).await?;
    let pressure = Arc::new(Pressure::default());
    let watched = (Arc::clone(&pressure), connection.clone());
    let watcher = tokio::spawn(async move { watched.0.watch(watched.1).await }).abort_handle();
    let shared = Arc::new(Shared {
        state: ArcSwap::from_pointee(WriterState::Ready),
        inserting_since: ArcSwapOption::empty(),
        watcher,
    });
    let task = WriterTask {
        committer: Committer::new(connection.clone()),
        plans: Plans::new(catalog),
        recent: Recent::new(config.recent_ids),
        filter,
        pressure,
        group: Group::new(next_offset),
        departure: Departure::default(),
        under_way: VecDeque::new(),
        committed: next_offset - 1,
        closing: false,
        closed: Vec::new(),
        shared: Arc::clone(&shared),
        connection,
        config,
        inbox,
    };
    tokio::spawn(task.run());
    Ok(shared)
}

struct WriterTask {
    connection: Connection,
    config: DirectConfig,
    inbox: mpsc::UnboundedReceiver<Request>,
    committer: Committer,
    plans: Plans,
    recent: Recent,
    filter: Filter,
    pressure: Arc<Pressure>,
    shared: Arc<Shared>,
    /// Being collected.
    group: Group,
    /// What a small group waits for.
    departure: Departure,
    /// On their way into the store, oldest first.
    under_way: VecDeque<UnderWay>,
    /// The last insert number known to be durable.
    committed: u64,
    closing: bool,
    closed: Vec<oneshot::Sender<()>>,
}

/// A group on its way into the store.
struct UnderWay {
    offset: u64,
    started: Instant,
    commit: JoinHandle<Result<(), CommitError>>,
    answers: Answers,
}

/// What happened while collecting.
enum Event {
    Arrived(Request),
    Committed(Result<(), CommitError>),
    LingerOver,
    HandlesGone,
}

impl WriterTask {
    async fn run(mut self) {
        while !self.is_done() {
            self.send_when_due();
            let outcome = match self.next_event().await {
                Event::Arrived(request) => self.collect(request).await,
                Event::Committed(result) => self.finish(result),
                Event::LingerOver => Ok(()),
                Event::HandlesGone => {
                    self.closing = true;
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                self.fail(error).await;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.closing && self.under_way.is_empty() && self.group.is_empty()
    }

    fn send_when_due(&mut self) {
        let now = Instant::now();
        let due = self.closing || self.departure.is_due(self.group.requests(), now);
        if self.under_way.len() >= self.may_be_under_way() || self.group.is_empty() || !due {
            return;
        }
        // A group of repeats alone takes no insert number, but waits its turn: what it repeats is durable by then.
        let next_offset = self.group.offset + u64::from(self.group.rows() > 0);
        let mut group = std::mem::replace(&mut self.group, Group::new(next_offset));
        self.departure.clear();
        let (offset, answers) = (group.offset, group.take_waiting());
        if self.under_way.is_empty() {
            self.note_progress(true);
        }
        let commit = self.committer.start(group);
        self.under_way.push_back(UnderWay { offset, started: now, commit, answers });
    }

    /// Small groups go one by one, so that requests meanwhile share an insert; large ones overlap.
    fn may_be_under_way(&self) -> usize {
        if self.group.rows() < LARGE_GROUP { 1 } else { GROUPS_UNDER_WAY }
    }

    /// Something was committed, or begun after a pause.
    fn note_progress(&self, more_under_way: bool) {
        let since = more_under_way.then(|| Arc::new(Instant::now()));
        self.shared.inserting_since.store(since);
    }

    async fn next_event(&mut self) -> Event {
        let collect = !self.closing && self.has_room();
        let Self { under_way, inbox, departure, group, .. } = self;
        let may_go = under_way.is_empty() && !group.is_empty();
        let linger_until = departure.next_look(Instant::now()).filter(|_| may_go);
        let committed = async {
            match under_way.front_mut() {
                Some(oldest) => joined((&mut oldest.commit).await),
                None => std::future::pending().await,
            }
        };
        let linger_over = async {
            match linger_until {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = committed => Event::Committed(result),
            () = linger_over => Event::LingerOver,
            request = inbox.recv(), if collect => request.map_or(Event::HandlesGone, Event::Arrived),
        }
    }

    fn has_room(&self) -> bool {
        self.group.rows() < self.config.max_group_rows && self.group.byte_size() < self.config.max_group_bytes
    }

    /// Answers the requests of the oldest group.
    fn finish(&mut self, result: Result<(), CommitError>) -> Result<(), StoreError> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        self.note_progress(!self.under_way.is_empty());
        match result {
            Ok(()) => {
                self.committed = oldest.offset;
                let now = Instant::now();
                let expected = self.group.requests() + oldest.answers.requests();
                self.departure.expect(expected, now - oldest.started, now);
                oldest.answers.confirm();
                Ok(())
            }
            Err(CommitError::Failed(error)) => {
                let reason = error.to_string();
                oldest.answers.refuse(&AcceptError::MaybeKept { reason, retry_after: RETRY_AFTER });
                Err(error)
            }
            Err(CommitError::NotTried) => {
                let error = StoreError::Engine("an earlier insert failed".into());
                oldest.answers.refuse(&unavailable(&error));
                Err(error)
            }
        }
    }

    /// Adds a request and all others that are waiting, as far as the group has room.
    async fn collect(&mut self, first: Request) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut rows = self.group.rows();
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Close(done) => {
                    self.closing = true;
                    self.closed.push(done);
                    break;
                }
                Request::Batch(..) | Request::Void(..) => {
                    rows += request.rows();
                    requests.push(request);
                }
            }
            next = if rows < self.config.max_group_rows { self.inbox.try_recv().ok() } else { None };
        }
        self.add(requests).await
    }

    async fn add(&mut self, requests: Vec<Request>) -> Result<(), StoreError> {
        self.plans.refresh();
        self.recent.rotate_if_full(self.group.offset, self.committed);
        let looked_up = self.look_up(&requests).await;
        let (stored, voided) = match looked_up {
            Ok(found) => found,
            Err(error) => {
                requests.into_iter().for_each(|request| request.refuse(&unavailable(&error)));
                return Err(error);
            }
        };
        let before = self.group.is_empty();
        for request in requests {
            self.add_one(request, &stored, &voided);
        }
        if before && self.group.rows() < LARGE_GROUP {
            self.departure.press(self.pressure.linger(), Instant::now());
        } else if self.group.rows() >= LARGE_GROUP {
            self.departure.clear();
        }
        Ok(())
    }

    /// Asks the id table about every id that memory cannot decide.
    async fn look_up(&self, requests: &[Request]) -> Result<(IdMap<IdRow>, IdMap<Position>), StoreError> {
        let mut doubtful: Vec<(OrganizationId, EventId)> = Vec::new();
        let mut voids = Vec::new();
        for request in requests {
            match request {
                Request::Batch(batch, _) => {
                    let maybe = |id: &&EventId| self.recent.get(**id).is_none() && self.filter.may_hold(**id);
                    doubtful.extend(batch.ids.iter().filter(maybe).map(|id| (batch.organization, *id)));
                }
                Request::Void(organization, transaction_id, ..) => {
                    voids.push((*organization, EventId::derive(*organization, transaction_id)));
                }
                Request::Close(_) => {}
            }
        }
        doubtful.extend(&voids);
        metrics::counter!("tollgate_store_id_lookups_total").increment(doubtful.len() as u64);
        let stored =
            if doubtful.is_empty() { IdMap::default() } else { stored_ids(&self.connection, &doubtful).await? };
        let voided = if voids.is_empty() { IdMap::default() } else { stored_voids(&self.connection, &voids).await? };
        Ok((stored, voided))
    }

    fn add_one(&mut self, request: Request, stored: &IdMap<IdRow>, voided: &IdMap<Position>) {
        match request {
            Request::Batch(batch, answer) => {
                let Self { recent, filter, plans, group, .. } = self;
                group.add_batch(batch, answer, &mut Knowledge { recent, filter, plans, stored });
            }
            Request::Void(organization, transaction_id, voided_at, answer) => {
                let id = EventId::derive(organization, &transaction_id);
                let series = stored.get(&id.0).map_or(0, |row| row.series);
                let position = Position { epoch: 0, partition: 0, offset: self.group.offset, index: 0 };
                let row = VoidRow { organization, id, transaction_id, series, voided_at, position };
                self.group.add_void(row, voided.get(&id.0).copied(), answer);
            }
            Request::Close(done) => self.closed.push(done),
        }
    }

    /// Refuses what waits, and takes nothing until the store answers and is in order again.
    async fn fail(&mut self, error: StoreError) {
        tracing::error!(%error, "event store failed; recovering");
        metrics::counter!("tollgate_store_failures_total").increment(1);
        self.shared.state.store(Arc::new(WriterState::NotReady(format!("the event store failed: {error}"))));
        while let Some(oldest) = self.under_way.front_mut() {
            let result = joined((&mut oldest.commit).await);
            // A further failure is the same outage; its requests are told.
            let _ = self.finish(result);
        }
        let mut group = std::mem::replace(&mut self.group, Group::new(0));
        group.take_waiting().refuse(&unavailable(&error));
        self.departure.clear();
        self.recent.clear();
        self.committer = Committer::new(self.connection.clone());
        self.recover_until_ready().await;
    }

    async fn recover_until_ready(&mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.closing {
            match recover(&self.connection).await {
                Ok(recovered) => return self.resume(recovered),
                Err(error) => {
                    tracing::error!(%error, "event store is still not usable");
                    self.refuse_for(pause, &error).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    fn resume(&mut self, recovered: Recovered) {
        recovered.ids.into_iter().for_each(|id| self.filter.insert(id));
        self.committed = recovered.next_offset - 1;
        self.group = Group::new(recovered.next_offset);
        self.shared.state.store(Arc::new(WriterState::Ready));
        tracing::info!(next_insert = recovered.next_offset, "event store is usable again");
    }

    /// Answers requests with "not available" for the length of a pause.
    async fn refuse_for(&mut self, pause: Duration, error: &StoreError) {
        let until = Instant::now() + pause;
        while let Ok(request) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            match request {
                Some(Request::Close(done)) => {
                    self.closing = true;
                    self.closed.push(done);
                }
                Some(request) => request.refuse(&unavailable(error)),
                None => self.closing = true,
            }
            if self.closing {
                return;
            }
        }
    }
}

impl Drop for WriterTask {
    fn drop(&mut self) {
        self.shared.state.store(Arc::new(WriterState::NotReady("the writer has stopped".into())));
        // Whoever asked for the end may have gone; the work is done either way.
        for done in self.closed.drain(..) {
            let _ = done.send(());
        }
    }
}

fn joined(result: Result<Result<(), CommitError>, JoinError>) -> Result<(), CommitError> {
    result.unwrap_or_else(|error| {
        Err(CommitError::Failed(StoreError::Engine(format!("the insert was cut off: {error}"))))
    })
}

fn unavailable(error: &StoreError) -> AcceptError {
    AcceptError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER }
}
