//! Which copy of which event travels in the n-th place of the stream.
//!
//! Without repeats, place n carries event n. With repeats, the stream is cut into blocks; each holds its fresh events plus a
//! tenth as many repeats of events, all shuffled: some repeats come before their original, half of them carry a new
//! timestamp. A quarter of the repeats is of the block before, a quarter of one far back (half the way to the start): a
//! client that retries at once, after a while, and much later.
//!
//! Pure arithmetic, no state: place → copy in a few nanoseconds, in any order, from any thread. Each event has at most one
//! repeat, so that the number of restamped copies has one right answer whoever arrives first.

use super::facts::mix;

/// What travels in one place of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Number of the event.
    pub seq: u64,
    /// Which of its copies.
    pub form: Form,
}

/// Which of an event's copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The event itself.
    Original,
    /// The same once more, to the byte.
    Repeat,
    /// The same with a later timestamp.
    Restamped,
}

/// Layout of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Slots {
    /// Place n carries event n.
    Fresh,
    /// Blocks of this many fresh events and a tenth as many repeats. A multiple of 80.
    Repeating {
        /// Fresh events of a block.
        block: u64,
    },
}

impl Slots {
    /// Blocks for batches of `batch` events: they span at least ten requests, so that copies travel in different ones.
    #[must_use]
    pub fn repeating(batch: u64) -> Self {
        // 80 = 8 residue classes × 10 fresh events for each repeat: every count below divides evenly.
        let block = (batch * 10).max(8_000).next_multiple_of(80);
        Slots::Repeating { block }
    }

    /// The copy in place `place` of the stream that `seed` shuffles.
    #[must_use]
    pub fn at(self, seed: u64, place: u64) -> Copy {
        let Slots::Repeating { block } = self else { return Copy { seq: place, form: Form::Original } };
        let size = block + block / 10;
        let (index, within) = (place / size, place % size);
        let shuffled = Shuffle::new(mix(seed ^ mix(index)), size).apply(within);
        if shuffled < block {
            return Copy { seq: index * block + shuffled, form: Form::Original };
        }
        repeat(seed, block, index, shuffled - block)
    }

    /// Numbers of events below which every event of the first `places` places lies.
    #[must_use]
    pub fn events_within(self, places: u64) -> u64 {
        match self {
            Slots::Fresh => places,
            Slots::Repeating { block } => places.div_ceil(block + block / 10) * block,
        }
    }
}

/// Where a repeat takes its event from: a residue class of a block that no other repeat uses.
struct Source {
    block: u64,
    residue: u64,
    step: u64,
}

/// The `nth` repeat of block `index`: the first half of them repeat the block itself, a quarter the one before, a quarter one
/// far back.
fn repeat(seed: u64, block: u64, index: u64, nth: u64) -> Copy {
    let quarter = block / 40;
    let (source, rank) = match nth / quarter {
        0 | 1 => (Source { block: index, residue: 0, step: 2 }, nth),
        // The first block has none before it and repeats itself, in a class of its own.
        2 if index == 0 => (Source { block: 0, residue: 5, step: 8 }, nth - 2 * quarter),
        2 => (Source { block: index - 1, residue: 1, step: 8 }, nth - 2 * quarter),
        // Blocks 2k and 2k+1 both reach back to k: a class each.
        _ => (Source { block: index / 2, residue: 3 + 4 * (index % 2), step: 8 }, nth - 3 * quarter),
    };
    let key = mix(seed ^ mix(index) ^ source.residue);
    let chosen = Shuffle::new(key, block / source.step).apply(rank);
    // Alternating: half of each kind is restamped.
    let form = if nth.is_multiple_of(2) { Form::Restamped } else { Form::Repeat };
    Copy { seq: source.block * block + source.residue + source.step * chosen, form }
}

/// A permutation of `0..size`: x → (p·x + b) mod size. A prime p above the size shares no factor with it, so that nothing
/// needs to be computed to make one: it is made anew for every event.
struct Shuffle {
    factor: u64,
    shift: u64,
    size: u64,
}

/// The eight largest primes below 2³¹: above any block, and their products with a place of a block fit a word.
const PRIMES: [u64; 8] = [
    2_147_483_647,
    2_147_483_629,
    2_147_483_587,
    2_147_483_579,
    2_147_483_563,
    2_147_483_549,
    2_147_483_543,
    2_147_483_497,
];

impl Shuffle {
    fn new(key: u64, size: u64) -> Self {
        let factor = PRIMES[usize::from(key.to_le_bytes()[0] & 7)];
        Self { factor, shift: (key >> 8) % size, size }
    }

    fn apply(&self, x: u64) -> u64 {
        (self.factor * x + self.shift) % self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn without_repeats_place_and_event_are_one() {
        assert_eq!(Slots::Fresh.at(3, 41), Copy { seq: 41, form: Form::Original });
        assert_eq!(Slots::Fresh.events_within(41), 41);
    }

    #[test]
    fn some_repeats_come_before_their_original() {
        let slots = Slots::repeating(100);
        let mut seen = HashMap::new();
        let mut early = 0;
        for place in 0..100_000 {
            let copy = slots.at(9, place);
            match copy.form {
                Form::Original => {
                    seen.insert(copy.seq, place);
                }
                _ => early += u32::from(!seen.contains_key(&copy.seq)),
            }
        }
        assert!((1_000..4_000).contains(&early), "{early}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_event_comes_once_a_tenth_twice_and_half_of_those_restamped(
            seed in any::<u64>(), batch in 1_u64..2_000, blocks in 1_u64..7,
        ) {
            let slots = Slots::repeating(batch);
            let Slots::Repeating { block } = slots else { unreachable!() };
            let places = blocks * (block + block / 10);
            let mut copies: HashMap<u64, Vec<Form>> = HashMap::new();
            for place in 0..places {
                let copy = slots.at(seed, place);
                copies.entry(copy.seq).or_default().push(copy.form);
            }
            prop_assert_eq!(copies.len() as u64, blocks * block);
            prop_assert_eq!(slots.events_within(places), blocks * block);
            let (mut repeats, mut restamped) = (0, 0);
            for (seq, mut forms) in copies {
                prop_assert!(seq < blocks * block);
                forms.sort_by_key(|form| *form as u8);
                prop_assert_eq!(forms[0], Form::Original);
                prop_assert!(forms.len() <= 2, "{} has {:?}", seq, forms);
                repeats += u64::from(forms.len() == 2);
                restamped += u64::from(forms.contains(&Form::Restamped));
            }
            prop_assert_eq!(repeats, blocks * block / 10);
            prop_assert_eq!(restamped * 2, repeats);
        }
    }
}
