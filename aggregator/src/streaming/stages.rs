//! The stages between the log and the inserts, each alone: for the benchmark, so that it measures what the writer runs.

use super::claims::Claim;
use super::group::{Group, Stored};
use super::partition::Owned;
use crate::writing::decode::{DecodedRecord, decode};
use crate::writing::encode;
use crate::writing::known::Filter;
use crate::writing::plans::Plans;
use crate::writing::rows::Rows;
use bytes::Bytes;
use domain::snapshot::SnapshotCell;
use event_log::consumer::Record;
use std::sync::Arc;

/// Records as the writer holds them.
#[derive(Clone)]
pub struct Decoded(Vec<Arc<DecodedRecord>>);

/// A group of new events.
pub struct Collected(Rows);

/// What the writer of one partition knows.
pub struct Judge {
    owned: Owned,
    plans: Plans,
}

impl Decoded {
    /// Lines to rows, with the hashes that name them.
    #[must_use]
    pub fn of(records: Vec<Record>) -> Self {
        Self(records.into_iter().map(|record| Arc::new(decode(record))).collect())
    }
}

impl Judge {
    /// With room for as many ids as `known_ids` in the filter, of which it holds none yet.
    #[must_use]
    pub fn new(catalog: SnapshotCell, known_ids: usize) -> Self {
        let claim = Claim { number: 1, step: 1, floor: 0 };
        Self { owned: Owned::new(Filter::with_room_for(known_ids), claim, usize::MAX), plans: Plans::new(catalog) }
    }

    /// What is asked of every event before its group is made: may its id be in the store? Answers how many may.
    #[must_use]
    pub fn maybe_known(&self, decoded: &Decoded) -> usize {
        let keys = decoded.0.iter().flat_map(|record| (0..record.rows.len()).map(|row| record.rows.key(row)));
        keys.filter(|key| self.owned.recent.get(key.id).is_none() && self.owned.filter.may_hold(key.id)).count()
    }

    /// The group of these records.
    #[must_use]
    pub fn collect(&mut self, decoded: Decoded) -> Collected {
        let mut group = Group::new(1);
        for record in decoded.0 {
            group.add(1, record, &mut self.owned, &mut self.plans, &Stored::default());
        }
        Collected(group.rows)
    }
}

impl Collected {
    /// Events in it.
    #[must_use]
    pub fn events(&self) -> usize {
        self.0.events.len()
    }

    /// The block of `events`: sorted, extracted, as columns.
    #[must_use]
    pub fn event_block(&self) -> Vec<Bytes> {
        encode::events(&self.0)
    }

    /// The block of `event_ids`.
    #[must_use]
    pub fn id_block(&self) -> Vec<Bytes> {
        encode::ids(&self.0)
    }
}
