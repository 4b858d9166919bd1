//! ClickHouse's Native block, written column by column: the form in which events travel from memory to the engine.
//!
//! A block is `columns, rows` as varints, then for each column its name, its type and its data (over HTTP without a
//! client revision: no further framing). Numbers are little endian; a text is a varint length and bytes; a UUID is its two
//! halves, high first, each little endian; `LowCardinality(String)` is a version, flags, the distinct texts, and an index
//! each row. One own writer, because the row formats cost the engine three times as much to parse.
//!
//! [`block`] and [`dictionary`] know the encoding, [`columns`] and [`rows`] know the tables. It refuses to talk to the engine.

mod block;
mod columns;
mod dictionary;
mod rows;

pub use columns::{EventColumns, IdColumns, LoserColumns};
pub use rows::{DeadLetterRow, VoidRow, WindowRow, dead_letter_block, void_block, window_block};
