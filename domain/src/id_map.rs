//! Maps and sets keyed by event id. An id is a cryptographic hash already: hashing it again would cost more than the look-up.

use crate::identity::EventId;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// 64 bits of an id, evenly spread: the exclusive or of its halves loses none of the 122 random bits' spread.
#[must_use]
pub fn folded(id: EventId) -> u64 {
    let (high, low) = uuid::Uuid::from_u128(id.0).as_u64_pair();
    high ^ low
}

/// Takes the folded id as its hash.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = folded(EventId(value));
    }
}

/// A map by event id.
pub type IdMap<T> = HashMap<u128, T, BuildHasherDefault<IdHasher>>;

/// A set of event ids.
pub type IdSet = HashSet<u128, BuildHasherDefault<IdHasher>>;
