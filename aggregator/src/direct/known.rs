//! Which ids are known: the question every event asks, answered from memory for nearly all of them.
//!
//! - *Recent*: the newest ids with content and timestamp, exact. Holds everything that is not yet committed, too.
//! - *Filter*: a Bloom filter over all ids ever stored. "No" is certain, "maybe" is wrong once in 10⁵ and sends the id to the
//!   id table. It grows by generations, each as large as all before it together.
//!
//! I2 rests on it: an id that was stored must never be "no". Ids enter the filter before their insert and never leave.

use domain::event_batch::EventBatch;
pub(super) use domain::id_map::IdMap;
use domain::id_map::folded;
use domain::identity::EventId;
use fastbloom::BloomFilter;

/// What tells copies of one id apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Content hash.
    pub(super) content: u64,
    /// Event time in microseconds.
    pub(super) timestamp: i64,
}

impl Version {
    pub(super) fn of(batch: &EventBatch, row: usize) -> Self {
        Self { content: batch.contents[row], timestamp: batch.timestamps[row].0 }
    }
}

/// Bits per id and hashes: with 8 hashes, 1 − e^(−8/30) = 23.4 % of the bits are set when full, 0.234⁸ = 0.9 × 10⁻⁵. Sixteen
/// hashes would need 24 bits, but each hash is a cache miss on a filter of 100 MB.
const BITS_PER_ID: usize = 30;
const HASHES: u32 = 8;
/// Least ids of a generation: 4 Mi × 30 bits = 15 MiB.
const LEAST_GENERATION: usize = 4 << 20;

struct Generation {
    filter: BloomFilter,
    room: usize,
}

/// All ids ever stored, approximately.
pub(super) struct Filter {
    generations: Vec<Generation>,
    ids: usize,
}

impl Filter {
    /// Room for `ids` and as many more.
    pub(super) fn with_room_for(ids: usize) -> Self {
        let mut filter = Self { generations: Vec::new(), ids: 0 };
        filter.grow(ids.saturating_mul(2));
        filter
    }

    fn grow(&mut self, ids: usize) {
        let room = ids.max(LEAST_GENERATION);
        let filter = BloomFilter::with_num_bits(room * BITS_PER_ID).hashes(HASHES);
        self.generations.push(Generation { filter, room });
    }

    pub(super) fn insert(&mut self, id: EventId) {
        if self.generations.last().is_none_or(|newest| newest.room == 0) {
            self.grow(self.ids);
        }
        if let Some(newest) = self.generations.last_mut() {
            newest.filter.insert_hash(folded(id));
            newest.room -= 1;
            self.ids += 1;
        }
    }

    pub(super) fn may_hold(&self, id: EventId) -> bool {
        self.generations.iter().any(|generation| generation.filter.contains_hash(folded(id)))
    }

    /// Ids inserted.
    pub(super) fn len(&self) -> usize {
        self.ids
    }
}

/// The newest ids, exact: two generations, the older one is dropped when the newer one is full and all of the older one is
/// committed.
pub(super) struct Recent {
    newer: IdMap<Version>,
    older: IdMap<Version>,
    /// The last insert number that `older` holds ids of.
    older_offset: u64,
    limit: usize,
}

impl Recent {
    pub(super) fn new(limit: usize) -> Self {
        Self { newer: IdMap::default(), older: IdMap::default(), older_offset: 0, limit }
    }

    pub(super) fn get(&self, id: EventId) -> Option<Version> {
        self.newer.get(&id.0).or_else(|| self.older.get(&id.0)).copied()
    }

    pub(super) fn insert(&mut self, id: EventId, version: Version) {
        self.newer.insert(id.0, version);
    }

    /// Makes room when it is time. `collecting` is the insert number that ids are added under now, `committed` the last one
    /// that the id table holds: an id may be forgotten here only when it is found there.
    pub(super) fn rotate_if_full(&mut self, collecting: u64, committed: u64) {
        if self.newer.len() >= self.limit && self.older_offset <= committed {
            self.older = std::mem::take(&mut self.newer);
            self.older_offset = collecting;
        }
    }

    /// Forgets everything: after a failure nobody knows which of these were stored.
    pub(super) fn clear(&mut self) {
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
    fn the_filter_never_forgets_and_is_seldom_wrong_also_past_its_first_generation() {
        let mut filter = Filter { generations: Vec::new(), ids: 0 };
        filter
            .generations
            .push(Generation { filter: BloomFilter::with_num_bits(1000 * BITS_PER_ID).hashes(HASHES), room: 1000 });
        (0..300_000).for_each(|number| filter.insert(id(number)));
        assert!(filter.generations.len() > 1);
        assert!((0..300_000).all(|number| filter.may_hold(id(number))));
        let wrong = (300_000..800_000).filter(|number| filter.may_hold(id(*number))).count();
        // Two generations at 10⁻⁵: 10 expected of half a million, the first one full.
        assert!(wrong < 40, "{wrong} false answers");
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
