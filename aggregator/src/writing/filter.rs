//! Which ids may have been stored: a Bloom filter whose eight bits of an id lie in one cache line.
//!
//! A filter of a hundred million ids is 400 MB: each line that is touched is a cache miss, and a filter that spreads its bits over
//! all of it has eight of them an id. Measured on 200,000 ids in a filter for ten million: 232 ns an id with the bits spread
//! (the `fastbloom` library), see `benches/stages.rs` for what is left of it.
//!
//! "No" is certain. "Maybe" is wrong 1.7 × 10⁻⁵ of the time when full: a line holds 16 ids on average, sometimes 30, and then each of
//! its eight words has a third of its bits set. It grows by generations, each as large as all before it together.

use domain::id_map::folded;
use domain::identity::EventId;

/// One bit an id in each of the words: 512 bits are a cache line.
const WORDS: usize = 8;
/// 32 bits an id.
const IDS_PER_LINE: usize = 16;
/// Least ids of a generation: 1 Mi × 32 bits = 4 MiB, of which a writer of the log has one for each partition.
const LEAST_GENERATION: usize = 1 << 20;

/// Aligned, so that no line of the filter straddles two of the cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([u64; WORDS]);

struct Generation {
    lines: Vec<Line>,
    room: usize,
}

/// All ids ever stored, approximately.
pub(crate) struct Filter {
    generations: Vec<Generation>,
    ids: usize,
}

impl Line {
    const EMPTY: Self = Self([0; WORDS]);
}

/// The bit of an id in each word of its line, six bits of a number each. The line is chosen by the upper bits of the folded id,
/// the bits by all of it.
fn bits(folded_id: u64) -> [u64; WORDS] {
    // The golden ratio times 2⁶⁴, made odd: multiplying carries every bit into the upper ones, of which 48 are used.
    let spread = folded_id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::array::from_fn(|word| 1 << (spread >> (16 + 6 * word) & 63))
}

impl Generation {
    fn with_room_for(ids: usize) -> Self {
        Self { lines: vec![Line::EMPTY; ids.div_ceil(IDS_PER_LINE)], room: ids }
    }

    fn place(&self, folded_id: u64) -> usize {
        // The upper half of id × lines is below the number of lines, which is a usize.
        #[allow(clippy::cast_possible_truncation)]
        let place = ((u128::from(folded_id) * self.lines.len() as u128) >> 64) as usize;
        place
    }

    fn insert(&mut self, folded_id: u64) {
        let place = self.place(folded_id);
        for (word, bit) in self.lines[place].0.iter_mut().zip(bits(folded_id)) {
            *word |= bit;
        }
        self.room -= 1;
    }

    fn may_hold(&self, folded_id: u64) -> bool {
        let line = &self.lines[self.place(folded_id)];
        line.0.iter().zip(bits(folded_id)).all(|(word, bit)| word & bit != 0)
    }
}

impl Filter {
    /// Room for `ids` and as many more.
    pub(crate) fn with_room_for(ids: usize) -> Self {
        let mut filter = Self { generations: Vec::new(), ids: 0 };
        filter.grow(ids.saturating_mul(2));
        filter
    }

    fn grow(&mut self, ids: usize) {
        self.generations.push(Generation::with_room_for(ids.max(LEAST_GENERATION)));
    }

    pub(crate) fn insert(&mut self, id: EventId) {
        if self.generations.last().is_none_or(|newest| newest.room == 0) {
            self.grow(self.ids);
        }
        if let Some(newest) = self.generations.last_mut() {
            newest.insert(folded(id));
            self.ids += 1;
        }
    }

    pub(crate) fn may_hold(&self, id: EventId) -> bool {
        self.generations.iter().any(|generation| generation.may_hold(folded(id)))
    }

    /// Ids inserted.
    pub(crate) fn len(&self) -> usize {
        self.ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> EventId {
        EventId(xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes()))
    }

    /// Of so many others, how many are taken for known.
    fn wrong(filter: &Filter, others: std::ops::Range<u64>) -> usize {
        others.filter(|number| filter.may_hold(id(*number))).count()
    }

    #[test]
    fn the_filter_never_forgets_also_past_its_first_generation() {
        let mut filter = Filter { generations: vec![Generation::with_room_for(1_000)], ids: 0 };
        (0..300_000).for_each(|number| filter.insert(id(number)));
        assert!(filter.generations.len() > 1);
        assert!((0..300_000).all(|number| filter.may_hold(id(number))));
        assert_eq!(filter.len(), 300_000);
    }

    #[test]
    fn a_full_filter_is_wrong_once_in_sixty_thousand() {
        let mut filter = Filter { generations: vec![Generation::with_room_for(100_000)], ids: 0 };
        (0..100_000).for_each(|number| filter.insert(id(number)));
        assert_eq!(filter.generations.len(), 1);
        // 1.7 × 10⁻⁵ of two million: 34, give or take six.
        let wrong = wrong(&filter, 100_000..2_100_000);
        assert!((10..70).contains(&wrong), "{wrong} false answers");
    }

    #[test]
    fn an_empty_filter_knows_nothing() {
        let filter = Filter::with_room_for(0);
        assert_eq!(wrong(&filter, 0..1_000), 0);
    }
}
