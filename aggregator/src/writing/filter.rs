//! Which ids may have been stored: a Bloom filter whose sixteen bits of an id lie in one cache line.
//!
//! A filter of a hundred million ids is 400 MB: each line that is touched is a cache miss, and a filter that spreads its bits over
//! all of it has one for each bit of an id. Measured on 200,000 ids in a filter for ten million: 232 ns an id with the bits spread
//! (the `fastbloom` library), see `benches/stages.rs` for what is left of it.
//!
//! "No" is certain. "Maybe" is wrong 2 × 10⁻⁶ of the time when full: a line holds 16 ids on average, sometimes 30, and then most of its bits
//! are set. Each wrong one is a question to the store while everything behind it waits: with half as many bits an id it was 1.7 × 10⁻⁵, and in a
//! store of 90 M ids a stream of 150,000 events/s asked ten times a second. It grows by generations, each as large as all before it together.

use domain::id_map::folded;
use domain::identity::EventId;

/// Two bits an id in each of the words: 512 bits are a cache line.
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

/// The bits of an id in each word of its line, six bits of two numbers each. The line is chosen by the upper bits of the folded id,
/// the bits by all of it.
fn bits(folded_id: u64) -> [u64; WORDS] {
    // The fractions of the golden ratio and of √2 times 2⁶⁴, made odd: multiplying carries every bit into the upper ones, of which 48 are used.
    let one = folded_id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let other = folded_id.wrapping_mul(0x6a09_e667_f3bc_c909);
    std::array::from_fn(|word| {
        let shift = 16 + 6 * word;
        1 << (one >> shift & 63) | 1 << (other >> shift & 63)
    })
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
        for (word, both) in self.lines[place].0.iter_mut().zip(bits(folded_id)) {
            *word |= both;
        }
        self.room -= 1;
    }

    fn may_hold(&self, folded_id: u64) -> bool {
        let line = &self.lines[self.place(folded_id)];
        line.0.iter().zip(bits(folded_id)).all(|(word, both)| word & both == both)
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
    fn a_full_filter_is_wrong_twice_in_a_million() {
        let mut filter = Filter { generations: vec![Generation::with_room_for(100_000)], ids: 0 };
        (0..100_000).for_each(|number| filter.insert(id(number)));
        assert_eq!(filter.generations.len(), 1);
        // 2 × 10⁻⁶ of four million: 8, give or take three.
        let wrong = wrong(&filter, 100_000..4_100_000);
        assert!((1..30).contains(&wrong), "{wrong} false answers");
    }

    #[test]
    fn an_empty_filter_knows_nothing() {
        let filter = Filter::with_room_for(0);
        assert_eq!(wrong(&filter, 0..1_000), 0);
    }
}
