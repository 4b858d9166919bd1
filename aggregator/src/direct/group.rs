//! One group commit under construction: requests that share an insert, and which of their rows are new.

use super::known::{Filter, IdMap, Recent, Version};
use super::lookup::IdRow;
use super::plans::Plans;
use super::types::{AcceptError, Accepted, DuplicateKind, DuplicateRow, Voided};
use crate::extract::ExtractionPlan;
use crate::native::{LoserColumns, VoidRow};
use crate::reads::RejectionReason;
use domain::event_batch::EventBatch;
use domain::ids::OrganizationId;
use domain::position::Position;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How a request learns what became of it.
pub(super) type Answer<T> = oneshot::Sender<Result<T, AcceptError>>;

/// A request whose answer waits for the group's commit.
enum Waiting {
    Batch { accepted: Accepted, rows: u64, answer: Answer<Accepted> },
    Void(Voided, Answer<Voided>),
}

/// One new event of a group: where it lies, and where it will stand in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRow {
    /// Place in `Group::batches`.
    pub(super) batch: u32,
    /// Row of that batch.
    pub(super) row: u32,
    /// `Position::index`.
    pub(super) line: u32,
    /// Place in `Group::metrics`.
    pub(super) metric: u32,
}

/// One (organization, code) of a group, with what is to be extracted from its events.
pub(super) struct MetricOfGroup {
    pub(super) organization: OrganizationId,
    pub(super) code: String,
    pub(super) plan: Arc<ExtractionPlan>,
}

/// Rows of one insert number. Events stay where they came in; [`super::encode`] puts them in order.
pub(super) struct Group {
    /// The insert's number: `Position::offset` of its rows.
    pub(super) offset: u64,
    pub(super) batches: Vec<Arc<EventBatch>>,
    pub(super) events: Vec<NewRow>,
    pub(super) metrics: Vec<MetricOfGroup>,
    pub(super) losers: LoserColumns,
    pub(super) voids: Vec<VoidRow>,
    places: HashMap<(OrganizationId, String), u32>,
    bytes: usize,
    waiting: Vec<Waiting>,
    lines: u32,
}

/// What the writer knows, as a group needs it.
pub(super) struct Knowledge<'a> {
    pub(super) recent: &'a mut Recent,
    pub(super) filter: &'a mut Filter,
    pub(super) plans: &'a mut Plans,
    /// Answers of the id table for the ids it was asked about.
    pub(super) stored: &'a IdMap<IdRow>,
}

impl Group {
    pub(super) fn new(offset: u64) -> Self {
        Self {
            offset,
            batches: Vec::new(),
            events: Vec::new(),
            metrics: Vec::new(),
            losers: LoserColumns::new(),
            voids: Vec::new(),
            places: HashMap::new(),
            bytes: 0,
            waiting: Vec::new(),
            lines: 0,
        }
    }

    /// Whether nobody waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Rows of all tables.
    pub(super) fn rows(&self) -> usize {
        self.events.len() + self.losers.rows() + self.voids.len()
    }

    /// Bytes of the batches it holds.
    pub(super) fn byte_size(&self) -> usize {
        self.bytes
    }

    fn next_position(&mut self) -> Position {
        let index = self.lines;
        // A group is limited far below 2³² rows.
        self.lines = self.lines.saturating_add(1);
        Position { epoch: 0, partition: 0, offset: self.offset, index }
    }

    /// Adds a batch: rows that are new become events, known ones losers or nothing.
    pub(super) fn add_batch(
        &mut self,
        batch: Arc<EventBatch>,
        answer: Answer<Accepted>,
        knowledge: &mut Knowledge<'_>,
    ) {
        let mut accepted = Accepted::default();
        let mut metric_of_run: Option<(&str, u32)> = None;
        let place = count(self.batches.len());
        for row in 0..batch.len() {
            if let Some(kind) = self.duplicate(&batch, row, knowledge) {
                accepted.duplicates.push(DuplicateRow { row: count(row), kind });
                continue;
            }
            let code = batch.codes.get(row);
            let metric = match metric_of_run {
                Some((of, metric)) if of == code => metric,
                _ => self.metric(&batch, code, knowledge),
            };
            metric_of_run = Some((code, metric));
            let line = self.next_position().index;
            self.events.push(NewRow { batch: place, row: count(row), line, metric });
        }
        self.bytes += batch.byte_size();
        self.waiting.push(Waiting::Batch { accepted, rows: batch.len() as u64, answer });
        self.batches.push(batch);
    }

    fn metric(&mut self, batch: &EventBatch, code: &str, knowledge: &mut Knowledge<'_>) -> u32 {
        let key = (batch.organization, code.to_owned());
        if let Some(place) = self.places.get(&key) {
            return *place;
        }
        let place = count(self.metrics.len());
        let plan = knowledge.plans.plan(batch.organization, code);
        self.metrics.push(MetricOfGroup { organization: batch.organization, code: key.1.clone(), plan });
        self.places.insert(key, place);
        place
    }

    /// Decides I2 for one row, and lists it when it lost.
    fn duplicate(&mut self, batch: &EventBatch, row: usize, knowledge: &mut Knowledge<'_>) -> Option<DuplicateKind> {
        let (id, own) = (batch.ids[row], Version::of(batch, row));
        let known = knowledge.recent.get(id).or_else(|| knowledge.stored.get(&id.0).map(IdRow::version));
        let Some(first) = known else {
            knowledge.recent.insert(id, own);
            knowledge.filter.insert(id);
            return None;
        };
        if first == own {
            return Some(DuplicateKind::Exact);
        }
        let (kind, reason) = if first.content == own.content {
            (DuplicateKind::Restamped, RejectionReason::Restamped)
        } else {
            (DuplicateKind::Conflict, RejectionReason::Conflict)
        };
        let position = self.next_position();
        self.losers.push((batch, row), position, reason);
        Some(kind)
    }

    /// Adds a void; one that stands already only waits for the answer.
    pub(super) fn add_void(&mut self, mut row: VoidRow, first: Option<Position>, answer: Answer<Voided>) {
        let voided = match first {
            Some(position) => Voided { position, repeated: true },
            None => {
                row.position = self.next_position();
                self.voids.push(row.clone());
                Voided { position: row.position, repeated: false }
            }
        };
        self.waiting.push(Waiting::Void(voided, answer));
    }

    /// Requests that wait for its commit.
    pub(super) fn requests(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the answers out, so that the rows can be sent.
    pub(super) fn take_waiting(&mut self) -> Answers {
        Answers(std::mem::take(&mut self.waiting))
    }
}

/// A place or number inside one group: it is limited far below 2³² rows.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The requests of one group.
pub(super) struct Answers(Vec<Waiting>);

impl Answers {
    /// Requests among them.
    pub(super) fn requests(&self) -> usize {
        self.0.len()
    }

    /// All rows are durable (I1). A requester that went away needs no answer.
    pub(super) fn confirm(self) {
        self.count();
        for waiting in self.0 {
            match waiting {
                Waiting::Batch { accepted, answer, .. } => drop(answer.send(Ok(accepted))),
                Waiting::Void(voided, answer) => drop(answer.send(Ok(voided))),
            }
        }
    }

    fn count(&self) {
        let mut repeats = [
            (DuplicateKind::Exact, "exact", 0),
            (DuplicateKind::Restamped, "restamped", 0),
            (DuplicateKind::Conflict, "conflict", 0),
        ];
        let mut stored = 0;
        for waiting in &self.0 {
            let Waiting::Batch { accepted, rows, .. } = waiting else { continue };
            stored += *rows - accepted.duplicates.len() as u64;
            for (kind, _, count) in &mut repeats {
                *count += accepted.duplicates.iter().filter(|repeat| repeat.kind == *kind).count() as u64;
            }
        }
        metrics::counter!("tollgate_store_events_total").increment(stored);
        for (_, kind, count) in repeats {
            metrics::counter!("tollgate_store_repeats_total", "kind" => kind).increment(count);
        }
    }

    pub(super) fn refuse(self, error: &AcceptError) {
        for waiting in self.0 {
            match waiting {
                Waiting::Batch { answer, .. } => drop(answer.send(Err(error.clone()))),
                Waiting::Void(_, answer) => drop(answer.send(Err(error.clone()))),
            }
        }
    }
}
