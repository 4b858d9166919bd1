//! A set of event numbers: one bit each, 12.5 MB for 100 million events.

/// A set of numbers from 0, growing as needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        let (word, bit) = place(number);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }

    /// Whether it is in.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// All numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().zip(0_u64..).flat_map(|(word, index)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| index * 64 + bit)
        })
    }
}

fn place(number: u64) -> (usize, u64) {
    // Memory ends long before a word's index leaves usize on the 64-bit machines this runs on.
    (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in prop::collection::vec(0_u64..2_000, 0..300)) {
            let set: BTreeSet<u64> = numbers.iter().copied().collect();
            let mut bits = Bits::default();
            numbers.iter().for_each(|number| bits.insert(*number));
            prop_assert_eq!(bits.iter().collect::<Vec<_>>(), set.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(bits.len(), set.len() as u64);
            prop_assert_eq!(bits.is_empty(), set.is_empty());
            prop_assert!((0..2_100).all(|number| bits.contains(number) == set.contains(&number)));
        }
    }
}
