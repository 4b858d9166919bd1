//! One group commit under construction: requests that share an insert, and which of their rows are new.

use super::types::{AcceptError, Accepted, DuplicateKind, DuplicateRow, Voided};
use crate::native::VoidRow;
use crate::writing::judge::{Knowledge, Verdict};
use crate::writing::plans::Plans;
use crate::writing::row::{EventKey, Source};
use crate::writing::rows::{Rows, count};
use domain::event_batch::EventBatch;
use domain::log_line;
use domain::position::Position;
use std::sync::Arc;
use tokio::sync::oneshot;

/// How a request learns what became of it.
pub(super) type Answer<T> = oneshot::Sender<Result<T, AcceptError>>;

/// A request whose answer waits for the group's commit.
enum Waiting {
    Batch { accepted: Accepted, rows: u64, answer: Answer<Accepted> },
    Void(Voided, Answer<Voided>),
}

/// Rows of one insert number, and who waits for them.
pub(super) struct Group {
    /// The insert's number: `Position::offset` of its rows.
    pub(super) offset: u64,
    pub(super) rows: Rows,
    waiting: Vec<Waiting>,
    next_index: u32,
    /// What the journal will keep of it: the line at a position's index is the event there.
    lines: Option<Vec<u8>>,
}

impl Group {
    pub(super) fn new(offset: u64, is_journaled: bool) -> Self {
        let lines = is_journaled.then(Vec::new);
        Self { offset, rows: Rows::new(), waiting: Vec::new(), next_index: 0, lines }
    }

    /// Whether nobody waits for it.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The insert number of the group behind it.
    pub(super) fn next_offset(&self) -> u64 {
        self.offset + u64::from(self.rows.len() > 0)
    }

    fn next_position(&mut self) -> Position {
        let index = self.next_index;
        // A group is limited far below 2³² rows.
        self.next_index = self.next_index.saturating_add(1);
        Position { epoch: 0, partition: 0, offset: self.offset, index }
    }

    /// Adds a batch: rows that are new become events, known ones losers or nothing.
    pub(super) fn add_batch(
        &mut self,
        batch: Arc<EventBatch>,
        answer: Answer<Accepted>,
        knowledge: &mut Knowledge<'_>,
        plans: &mut Plans,
    ) {
        let mut accepted = Accepted::default();
        let source = self.rows.add_source(Source::Request(Arc::clone(&batch)));
        for row in 0..batch.len() {
            let key = EventKey::of(&batch, row);
            let kind = match knowledge.judge(&key, None) {
                Verdict::New => {
                    let position = self.next_position();
                    let metric = (key.organization, batch.codes.get(row));
                    self.rows.add_event((source, row), metric, position, plans);
                    self.write_line(&batch, row);
                    continue;
                }
                Verdict::Again => DuplicateKind::Exact,
                Verdict::Copy(kind) => kind,
            };
            if kind != DuplicateKind::Exact {
                let position = self.next_position();
                self.rows.add_copy((source, row), position, kind);
                self.write_line(&batch, row);
            }
            accepted.duplicates.push(DuplicateRow { row: count(row), kind });
        }
        self.waiting.push(Waiting::Batch { accepted, rows: batch.len() as u64, answer });
    }

    fn write_line(&mut self, batch: &EventBatch, row: usize) {
        if let Some(lines) = &mut self.lines {
            log_line::write_event(lines, batch, row);
        }
    }

    /// Adds a void; one that stands already only waits for the answer.
    pub(super) fn add_void(&mut self, mut row: VoidRow, first: Option<Position>, answer: Answer<Voided>) {
        let voided = match first {
            Some(position) => Voided { position, repeated: true },
            None => {
                row.position = self.next_position();
                self.rows.voids.push(row.clone());
                Voided { position: row.position, repeated: false }
            }
        };
        self.waiting.push(Waiting::Void(voided, answer));
    }

    /// Requests that wait for its commit.
    pub(super) fn requests(&self) -> usize {
        self.waiting.len()
    }

    /// Takes it apart, so that each part can go its way: rows, answers, and lines for the journal.
    pub(super) fn into_parts(self) -> (Rows, Answers, Option<Vec<u8>>) {
        (self.rows, Answers(self.waiting), self.lines)
    }
}

/// The requests of one group.
#[derive(Default)]
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
