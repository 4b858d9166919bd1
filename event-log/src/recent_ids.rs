//! Ids that this process wrote to the log lately: what its answers count as `duplicates`.
//!
//! It only counts, it never decides: every copy is written to the log, and the store has the last word (I2). So it may forget
//! (it is bounded), and may not know copies sent to another gateway or under way at the same instant. What it must not do is call
//! an id known that is not in the log: ids enter after their acknowledgement.

use domain::id_map::IdSet;
use domain::identity::EventId;

/// Ids of one generation: seven eighths of 2²⁰ buckets, where the table would double. 2²⁰ × 17 bytes = 17 MiB a generation,
/// two of them: the last 0.9 to 1.8 million ids, a quarter of an hour at 1,000 events a second, 4 s at 250,000.
const GENERATION: usize = 7 << 17;

/// The newest acknowledged ids, in two generations; the older one is dropped whole when the newer one is full.
#[derive(Debug)]
pub(crate) struct RecentIds {
    newer: IdSet,
    older: IdSet,
    generation: usize,
}

impl Default for RecentIds {
    fn default() -> Self {
        Self::of(GENERATION)
    }
}

impl RecentIds {
    fn of(generation: usize) -> Self {
        Self { newer: IdSet::default(), older: IdSet::default(), generation }
    }

    pub(crate) fn holds(&self, id: EventId) -> bool {
        self.newer.contains(&id.0) || self.older.contains(&id.0)
    }

    pub(crate) fn remember(&mut self, ids: &[EventId]) {
        for id in ids {
            if self.newer.len() >= self.generation {
                // The old table's memory is used again, so that growing costs nothing once both have grown.
                std::mem::swap(&mut self.newer, &mut self.older);
                self.newer.clear();
            }
            self.newer.insert(id.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(range: std::ops::Range<u128>) -> Vec<EventId> {
        range.map(EventId).collect()
    }

    #[test]
    fn the_newest_ids_are_known_and_memory_holds_two_generations_at_most() {
        let mut recent = RecentIds::of(10);
        for start in 0..10 {
            recent.remember(&ids(start * 10..start * 10 + 10));
            assert!(recent.newer.len() + recent.older.len() <= 20);
        }
        assert!((80..100).all(|id| recent.holds(EventId(id))), "the last two generations");
        assert!((0..80).all(|id| !recent.holds(EventId(id))), "older ones");
    }

    #[test]
    fn an_id_that_comes_again_and_again_stays_known() {
        let mut recent = RecentIds::of(4);
        for number in 100..200 {
            recent.remember(&[EventId(7), EventId(number)]);
            assert!(recent.holds(EventId(7)));
        }
    }
}
