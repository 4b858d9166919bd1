//! Which ids are known: the question every event asks, answered from memory for nearly all of them.
//!
//! - *Recent*: the newest ids with content and timestamp, exact. Holds everything that is not yet committed, too.
//! - [`Filter`]: approximate, over all ids ever stored. "No" is certain, "maybe" is wrong twice in 10⁶ and sends the id to the
//!   id table.
//!
//! I2 rests on it: an id that was stored must never be "no". Ids enter the filter before their insert and never leave.

pub(crate) use super::filter::Filter;
pub(crate) use domain::id_map::IdMap;
use domain::identity::EventId;

/// What tells copies of one id apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Content hash.
    pub(crate) content: u64,
    /// Event time in microseconds.
    pub(crate) timestamp: i64,
}

/// The newest ids, exact: two generations, the older one is dropped when the newer one is full and all of the older one is
/// committed.
pub(crate) struct Recent {
    newer: IdMap<Version>,
    older: IdMap<Version>,
    /// The last insert number that `older` holds ids of.
    older_offset: u64,
    limit: usize,
}

impl Recent {
    pub(crate) fn new(limit: usize) -> Self {
        Self { newer: IdMap::default(), older: IdMap::default(), older_offset: 0, limit }
    }

    pub(crate) fn get(&self, id: EventId) -> Option<Version> {
        self.newer.get(&id.0).or_else(|| self.older.get(&id.0)).copied()
    }

    pub(crate) fn insert(&mut self, id: EventId, version: Version) {
        self.newer.insert(id.0, version);
    }

    /// Makes room when it is time. `collecting` is the insert number that ids are added under now, `committed` the last one
    /// that the id table holds: an id may be forgotten here only when it is found there.
    pub(crate) fn rotate_if_full(&mut self, collecting: u64, committed: u64) {
        if self.newer.len() >= self.limit && self.older_offset <= committed {
            // Emptied and not made anew: a map that grows to its size again and again is copied and faulted in each time.
            std::mem::swap(&mut self.older, &mut self.newer);
            self.newer.clear();
            self.older_offset = collecting;
        }
    }

    /// Forgets everything: after a failure nobody knows which of these were stored.
    pub(crate) fn clear(&mut self) {
        self.newer.clear();
        self.older.clear();
        self.older_offset = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> EventId {
        EventId(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
    }

    #[test]
    fn recent_ids_are_forgotten_only_once_they_are_committed() {
        let mut recent = Recent::new(1);
        let version = Version { content: 1, timestamp: 2 };
        recent.insert(id(1), version);
        recent.rotate_if_full(7, 6);
        recent.insert(id(2), version);
        recent.rotate_if_full(8, 6);
        assert_eq!((recent.get(id(1)), recent.get(id(2))), (Some(version), Some(version)), "7 is not committed");
        recent.rotate_if_full(8, 7);
        assert_eq!((recent.get(id(1)), recent.get(id(2))), (None, Some(version)));
    }
}
