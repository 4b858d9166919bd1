//! The one writer task: collects while the previous group is being inserted, then commits what it has.
//!
//! With nothing under way a request is committed at once; under load the groups grow by themselves to what arrives while the
//! groups before them take their steps.

use super::departure::Departure;
use super::failure::{put_in_order, unavailable};
use super::group::Group;
use super::handle::Request;
use super::journal::Journal;
use super::lanes::{Ended, LARGE_GROUP, Lanes};
use super::progress::Progress;
use super::shared::Shared;
use super::types::{DirectConfig, WriterState};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::native::VoidRow;
use crate::usage::cut;
use crate::writing::commit::Committer;
use crate::writing::judge::Knowledge;
use crate::writing::known::{Filter, IdMap, Recent};
use crate::writing::lane::{Lane, wait_for_direct_inserts};
use crate::writing::load;
use crate::writing::lookup::{IdRow, stored_ids, stored_voids};
use crate::writing::plans::Plans;
use crate::writing::pressure::Pressure;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::snapshot::SnapshotCell;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Recovers, loads the filter, and starts the task.
pub(super) async fn start(
    connection: Connection,
    config: DirectConfig,
    catalog: SnapshotCell,
    inbox: mpsc::UnboundedReceiver<Request>,
) -> Result<Arc<Shared>, StoreError> {
    let lane = Lane::direct(connection.clone());
    let mut plans = Plans::new(catalog);
    let mut journal = match &config.journal {
        Some(file) => Some(Journal::open(file).await?),
        None => None,
    };
    // Before the filter is loaded: an insert that lands later would be missing in it.
    wait_for_direct_inserts(&connection).await?;
    let mut filter = load::filter(&connection, "1").await?;
    let next_offset = put_in_order(&lane, journal.as_mut(), &mut filter, &mut plans).await?;

    let pressure = Arc::new(Pressure::default());
    let watched = (Arc::clone(&pressure), connection.clone());
    let watcher = tokio::spawn(async move { watched.0.watch(watched.1).await }).abort_handle();
    let others = cut::of_logs(&connection).await?;
    let shared = Arc::new(Shared::new(Progress::new(next_offset - 1, others), watcher));
    let task = WriterTask {
        plans,
        recent: Recent::new(config.recent_ids),
        filter,
        pressure,
        group: Group::new(next_offset, journal.is_some()),
        departure: Departure::default(),
        lanes: Lanes::new(Committer::new(lane), journal, Arc::clone(&shared)),
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

pub(super) struct WriterTask {
    pub(super) connection: Connection,
    config: DirectConfig,
    pub(super) inbox: mpsc::UnboundedReceiver<Request>,
    pub(super) plans: Plans,
    pub(super) recent: Recent,
    pub(super) filter: Filter,
    pressure: Arc<Pressure>,
    pub(super) shared: Arc<Shared>,
    /// Being collected.
    pub(super) group: Group,
    /// What a small group waits for.
    pub(super) departure: Departure,
    /// Where groups are that have left.
    pub(super) lanes: Lanes,
    pub(super) closing: bool,
    pub(super) closed: Vec<oneshot::Sender<()>>,
}

/// What happened while collecting.
enum Event {
    Arrived(Request),
    Ended(Ended),
    Wanted,
    TimeOver,
    HandlesGone,
}

impl WriterTask {
    async fn run(mut self) {
        while !self.is_done() {
            self.send_what_is_due();
            let outcome = match self.next_event().await {
                Event::Arrived(request) => self.collect(request).await,
                Event::Ended(ended) => self.finish(ended).await,
                Event::Wanted => {
                    self.lanes.pending.want();
                    Ok(())
                }
                Event::TimeOver => Ok(()),
                Event::HandlesGone => {
                    self.closing = true;
                    Ok(())
                }
            };
            if let Err(error) = outcome {
                self.fail(error).await;
            }
        }
        self.lanes.close().await;
    }

    fn is_done(&self) -> bool {
        self.closing && self.group.is_empty() && self.lanes.are_empty()
    }

    fn send_what_is_due(&mut self) {
        let now = Instant::now();
        let is_due = self.closing || self.departure.is_due(self.group.requests(), now);
        if is_due && !self.group.is_empty() && self.lanes.are_free_for(&self.group) {
            let next = Group::new(self.group.next_offset(), self.lanes.is_journaling());
            let group = std::mem::replace(&mut self.group, next);
            self.departure.clear();
            self.lanes.send(group, now);
        }
        let closing = self.closing && self.group.is_empty();
        self.lanes.send_pending(now, self.pressure.linger(), self.config.max_group_rows, closing);
    }

    async fn next_event(&mut self) -> Event {
        let collect = !self.closing && self.has_room();
        let Self { lanes, inbox, departure, group, shared, pressure, .. } = self;
        let may_go = !group.is_empty() && lanes.are_free_for(group);
        let departure = departure.next_look(Instant::now()).filter(|_| may_go);
        let next_look = [departure, lanes.next_look(pressure.linger())].into_iter().flatten().min();
        let time_over = async {
            match next_look {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = lanes.ended() => Event::Ended(ended),
            () = time_over => Event::TimeOver,
            () = shared.progress.is_wanted() => Event::Wanted,
            request = inbox.recv(), if collect => request.map_or(Event::HandlesGone, Event::Arrived),
        }
    }

    /// What was answered and waits for the store counts too: memory is bounded.
    fn has_room(&self) -> bool {
        let (group, pending) = (&self.group.rows, self.lanes.pending.rows());
        group.len() + pending.len() < 2 * self.config.max_group_rows
            && group.len() < self.config.max_group_rows
            && group.byte_size() + pending.byte_size() < self.config.max_group_bytes
    }

    /// Answers the requests of what came to an end.
    pub(super) async fn finish(&mut self, ended: Ended) -> Result<(), StoreError> {
        let through = match ended {
            Ended::Journaled(Ok(())) => self.lanes.journaled(),
            Ended::Inserted(Ok(())) => self.lanes.inserted().await,
            failed => return Err(self.refuse_failed(failed)),
        };
        let Some(through) = through else { return Ok(()) };
        if through.answers.requests() > 0 {
            let expected = self.group.requests() + through.answers.requests();
            self.departure.expect(expected, through.took, Instant::now());
        }
        through.answers.confirm();
        Ok(())
    }

    /// Adds a request and all others that are waiting, as far as the group has room.
    async fn collect(&mut self, first: Request) -> Result<(), StoreError> {
        let mut requests = Vec::new();
        let mut rows = self.group.rows.len();
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
        self.recent.rotate_if_full(self.group.offset, self.shared.progress.stored());
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
        // Of what goes through the journal, the store feels nothing but what is pending.
        if before && self.group.rows.len() < LARGE_GROUP && !self.lanes.is_journaling() {
            self.departure.press(self.pressure.linger(), Instant::now());
        } else if self.group.rows.len() >= LARGE_GROUP {
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
            if doubtful.is_empty() { IdMap::default() } else { stored_ids(&self.connection, &doubtful, "1").await? };
        let voided = if voids.is_empty() { IdMap::default() } else { stored_voids(&self.connection, &voids).await? };
        Ok((stored, voided))
    }

    fn add_one(&mut self, request: Request, stored: &IdMap<IdRow>, voided: &IdMap<Position>) {
        match request {
            Request::Batch(batch, answer) => {
                let Self { recent, filter, plans, group, .. } = self;
                group.add_batch(batch, answer, &mut Knowledge { recent, filter, stored }, plans);
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
}

impl Drop for WriterTask {
    fn drop(&mut self) {
        self.shared.set_state(WriterState::NotReady("the writer has stopped".into()));
        // Whoever asked for the end may have gone; the work is done either way.
        for done in self.closed.drain(..) {
            let _ = done.send(());
        }
    }
}
