//! Records that share an insert, and which of their lines are new.

use super::partition::Owned;
use super::types::position;
use crate::direct::DuplicateKind;
use crate::native::{DeadLetterRow, VoidRow};
use crate::writing::decode::DecodedRecord;
use crate::writing::judge::{Knowledge, Verdict};
use crate::writing::known::IdMap;
use crate::writing::lookup::IdRow;
use crate::writing::plans::Plans;
use crate::writing::row::Source;
use crate::writing::rows::Rows;
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What the store answered about the lines of some records.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) ids: IdMap<IdRow>,
    pub(super) voids: IdMap<Position>,
}

/// What became of the lines of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) stored: u64,
    pub(super) again: u64,
    pub(super) exact: u64,
    pub(super) restamped: u64,
    pub(super) conflict: u64,
    pub(super) voids: u64,
    pub(super) dead: u64,
}

/// Whole records, in the order they were read.
pub(super) struct Group {
    /// Counts groups; what the memory of recent ids is measured in.
    pub(super) number: u64,
    pub(super) rows: Rows,
    pub(super) records: Vec<Arc<DecodedRecord>>,
    pub(super) counts: Counts,
    /// When its first record came.
    pub(super) since: Option<Instant>,
}

impl Group {
    pub(super) fn new(number: u64) -> Self {
        Self { number, rows: Rows::new(), records: Vec::new(), counts: Counts::default(), since: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Adds a record: what is new becomes rows, what is known nothing or a loser.
    pub(super) fn add(
        &mut self,
        epoch: u16,
        record: Arc<DecodedRecord>,
        owned: &mut Owned,
        plans: &mut Plans,
        stored: &Stored,
    ) {
        self.since.get_or_insert_with(Instant::now);
        let at = |line: u32| position(epoch, record.partition, record.offset, line);
        let source = self.rows.add_source(Source::Record(Arc::clone(&record.rows)));
        let mut knowledge = Knowledge { recent: &mut owned.recent, filter: &mut owned.filter, stored: &stored.ids };
        for row in 0..record.rows.len() {
            let key = record.rows.key(row);
            let position = at(record.rows.line(row));
            match knowledge.judge(&key, Some(position)) {
                Verdict::New => {
                    self.counts.stored += 1;
                    let metric = (key.organization, record.rows.code(row));
                    self.rows.add_event((source, row), metric, position, plans);
                }
                Verdict::Again => self.counts.again += 1,
                Verdict::Copy(kind) => {
                    self.count_copy(kind);
                    self.rows.add_copy((source, row), position, kind);
                }
            }
        }
        for void in &record.voids {
            self.counts.voids += 1;
            if stored.voids.contains_key(&void.id.0) {
                continue;
            }
            self.rows.voids.push(VoidRow {
                organization: void.organization,
                id: void.id,
                transaction_id: void.transaction_id.clone(),
                // 0: not stored yet. Reads find the series by the id then.
                series: stored.ids.get(&void.id.0).map_or(0, |row| row.series),
                voided_at: void.accepted_at,
                position: at(void.line),
            });
        }
        for dead in &record.dead {
            self.counts.dead += 1;
            self.rows.dead_letters.push(DeadLetterRow {
                organization: dead.organization.unwrap_or(OrganizationId(uuid::Uuid::nil())),
                reason: dead.reason.clone(),
                line: dead.bytes.clone(),
                rejected_at: record.stamped_at,
                position: at(dead.line),
            });
        }
        self.records.push(record);
    }

    fn count_copy(&mut self, kind: DuplicateKind) {
        match kind {
            DuplicateKind::Exact => self.counts.exact += 1,
            DuplicateKind::Restamped => self.counts.restamped += 1,
            DuplicateKind::Conflict => self.counts.conflict += 1,
        }
    }
}

/// How far a group of records reaches: per partition the offset behind its last record, and that record's stamp.
pub(super) fn reach(records: &[Arc<DecodedRecord>]) -> BTreeMap<u16, (u64, Timestamp)> {
    let mut reach = BTreeMap::new();
    for record in records {
        reach.insert(record.partition, (record.offset + 1, record.stamped_at));
    }
    reach
}

impl Counts {
    /// Lines in all.
    pub(super) fn lines(&self) -> u64 {
        let Self { stored, again, exact, restamped, conflict, voids, dead } = *self;
        stored + again + exact + restamped + conflict + voids + dead
    }

    /// Tells the metrics of what is durable now.
    pub(super) fn publish(&self) {
        let Self { stored, again, exact, restamped, conflict, voids, dead } = *self;
        metrics::counter!("tollgate_aggregator_consumed_total").increment(self.lines());
        metrics::counter!("tollgate_store_events_total").increment(stored);
        for (kind, number) in [("exact", exact), ("restamped", restamped), ("conflict", conflict), ("again", again)] {
            metrics::counter!("tollgate_store_repeats_total", "kind" => kind).increment(number);
        }
        metrics::counter!("tollgate_aggregator_dead_letters_total").increment(dead);
        metrics::counter!("tollgate_aggregator_voids_total").increment(voids);
    }
}
