//! `LowCardinality(String)`: the distinct texts of a block, and an index each row.

use super::block::{Column, push_varint};
use std::collections::HashMap;

/// Serialization with the keys inside the block.
const KEYS_VERSION: u64 = 1;
/// Indexes are `UInt32`.
const INDEX_U32: u64 = 2;
/// The keys follow.
const HAS_ADDITIONAL_KEYS: u64 = 1 << 9;
/// They are new to the reader.
const NEEDS_UPDATE: u64 = 1 << 10;

/// Place of a text in the dictionary of a column.
#[derive(Clone, Copy, Debug)]
pub struct Term(u32);

/// A column of few distinct texts.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    places: HashMap<String, u32>,
    texts: Vec<String>,
    rows: Vec<u32>,
}

impl Dictionary {
    /// Appends a row.
    pub(super) fn push(&mut self, term: Term) {
        self.rows.push(term.0);
    }

    /// The place of a text, made when it has none. Looked up once for many rows: hashing a text for each costs 30 ns an event.
    pub(super) fn term(&mut self, text: &str) -> Term {
        Term(self.places.get(text).copied().unwrap_or_else(|| self.insert(text)))
    }

    fn insert(&mut self, text: &str) -> u32 {
        // A group holds far fewer than 2³² rows, so fewer texts.
        let place = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        self.texts.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    /// Rows pushed.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The encoded column.
    #[must_use]
    pub(super) fn column(&self, name: &'static str) -> Column {
        let mut data = Vec::with_capacity(64 + self.rows.len() * 4);
        data.extend_from_slice(&KEYS_VERSION.to_le_bytes());
        if !self.rows.is_empty() {
            data.extend_from_slice(&(INDEX_U32 | HAS_ADDITIONAL_KEYS | NEEDS_UPDATE).to_le_bytes());
            data.extend_from_slice(&(self.texts.len() as u64).to_le_bytes());
            for text in &self.texts {
                push_varint(&mut data, text.len() as u64);
                data.extend_from_slice(text.as_bytes());
            }
            data.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
            for row in &self.rows {
                data.extend_from_slice(&row.to_le_bytes());
            }
        }
        let mut column = Column::new(name, "LowCardinality(String)");
        column.extend(&data);
        column
    }
}
