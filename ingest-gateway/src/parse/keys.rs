//! Names seen in the objects that are open, so that a repeated one is refused.
//!
//! Exact: two names are the same when their decoded texts are. A signature of 64 bits, cheap and no hash, spares most
//! comparisons; names made to share signatures cost a comparison of texts each, in objects beyond [`PAIRWISE`] names after
//! sorting, so that an object of n names costs n log n whatever they are.

use std::borrow::Cow;

/// Up to so many names of one object are compared pair by pair: 16 × 15 / 2 = 120 comparisons of integers, 40 ns.
const PAIRWISE: usize = 16;

#[derive(Clone)]
pub(super) struct Key<'a> {
    signature: u64,
    name: Cow<'a, str>,
}

impl<'a> Key<'a> {
    #[inline]
    pub(super) fn new(name: Cow<'a, str>) -> Self {
        Self { signature: signature(name.as_bytes()), name }
    }
}

/// Names of all open objects, the innermost object's last.
pub(super) struct Keys<'a> {
    open: Vec<Key<'a>>,
}

impl Default for Keys<'_> {
    /// With room for a usual event: growing to it cost an NDJSON line three allocations.
    fn default() -> Self {
        Self { open: Vec::with_capacity(PAIRWISE) }
    }
}

impl<'a> Keys<'a> {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    #[inline]
    pub(super) fn push(&mut self, key: Key<'a>) {
        self.open.push(key);
    }

    /// Forgets the names from `start` on and returns one that stood there twice.
    #[inline]
    pub(super) fn repeated_since(&mut self, start: usize) -> Option<Cow<'a, str>> {
        let names = self.open.get_mut(start..)?;
        let repeated = if names.len() <= PAIRWISE { find_pair(names) } else { find_neighbours(names) };
        let name = repeated.map(|index| names[index].name.clone());
        self.open.truncate(start);
        name
    }
}

#[inline]
fn find_pair(names: &[Key<'_>]) -> Option<usize> {
    for (index, key) in names.iter().enumerate().skip(1) {
        if names[..index].iter().any(|earlier| same(earlier, key)) {
            return Some(index);
        }
    }
    None
}

fn find_neighbours(names: &mut [Key<'_>]) -> Option<usize> {
    names.sort_unstable_by(|a, b| a.signature.cmp(&b.signature).then_with(|| a.name.cmp(&b.name)));
    names.windows(2).position(|pair| same(&pair[0], &pair[1]))
}

#[inline]
fn same(one: &Key<'_>, other: &Key<'_>) -> bool {
    one.signature == other.signature && one.name == other.name
}

/// Equal for equal names: from the length and the first and last eight bytes (all bytes, for names up to 16).
#[inline]
fn signature(name: &[u8]) -> u64 {
    let length = (name.len() as u64) << 56;
    let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    if let (Some(first), Some(last)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        return word(first) ^ word(last).rotate_left(29) ^ length;
    }
    if let (Some(first), Some(last)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        return half(first) ^ (half(last) << 24) ^ length;
    }
    name.iter().fold(length, |sum, &byte| (sum << 8) ^ u64::from(byte) ^ length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn has_repeated(names: &[String]) -> bool {
        let mut keys = Keys::default();
        keys.push(Key::new(Cow::Borrowed("outer")));
        for name in names {
            keys.push(Key::new(Cow::Borrowed(name)));
        }
        let found = keys.repeated_since(1).is_some();
        assert_eq!(keys.len(), 1, "the names of an outer object are kept");
        found
    }

    proptest! {
        #[test]
        fn a_name_is_repeated_exactly_when_a_set_of_them_is_smaller(
            names in prop::collection::vec("[ab]{0,3}|[ab]{14,18}|key[0-9]{1,4}|\\PC{0,4}", 0..40),
        ) {
            let distinct: HashSet<&String> = names.iter().collect();
            prop_assert_eq!(has_repeated(&names), distinct.len() < names.len());
        }
    }

    #[test]
    fn names_with_one_signature_are_still_told_apart() {
        let names: Vec<String> = (0..2_000).map(|number| format!("prefix--{number:06}--suffix--")).collect();
        assert_eq!(signature(names[0].as_bytes()), signature(names[1].as_bytes()));
        assert!(!has_repeated(&names));
        assert!(has_repeated(&[names.clone(), vec![names[77].clone()]].concat()));
    }
}
