//! Columns of the tables on the event path, filled row by row from batches: `events`, `event_ids`, `losers`.
//!
//! Column names and types repeat those of the schema; a test inserts a block into every table and reads it back.

use super::block::{Column, block_bytes};
use super::dictionary::{Dictionary, Term};
use crate::extract::Extracted;
use crate::reads::RejectionReason;
use crate::writing::row::{EventKey, EventRef};
use bytes::Bytes;
use domain::identity::witness;
use domain::position::Position;

const TIME: &str = "DateTime64(6, 'UTC')";

/// What rating sorts and joins by.
#[derive(Clone, Debug)]
struct KeyColumns {
    organization: Column,
    code: Dictionary,
    series: Column,
    timestamp: Column,
    id: Column,
}

impl KeyColumns {
    fn new(rows: usize) -> Self {
        Self {
            organization: Column::new("organization", "UUID").with_room(16 * rows),
            code: Dictionary::default(),
            series: Column::new("series", "UInt128").with_room(16 * rows),
            timestamp: Column::new("timestamp", TIME).with_room(8 * rows),
            id: Column::new("id", "UInt128").with_room(16 * rows),
        }
    }

    fn push(&mut self, key: &EventKey, code: Term) {
        self.organization.push_uuid(key.organization.0);
        self.code.push(code);
        self.series.push_u128(key.series.0);
        self.timestamp.push_i64(key.timestamp.0);
        self.id.push_u128(key.id.0);
    }

    fn into_columns(self) -> [Column; 5] {
        let code = self.code.column("code");
        [self.organization, code, self.series, self.timestamp, self.id]
    }
}

/// Where a row stands in the log.
#[derive(Clone, Debug)]
struct PositionColumns {
    epoch: Column,
    partition: Column,
    offset: Column,
    line: Column,
}

impl PositionColumns {
    fn new(rows: usize) -> Self {
        Self {
            epoch: Column::new("epoch", "UInt16").with_room(2 * rows),
            partition: Column::new("partition", "UInt16").with_room(2 * rows),
            offset: Column::new("offset", "UInt64").with_room(8 * rows),
            line: Column::new("line", "UInt32").with_room(4 * rows),
        }
    }

    fn push(&mut self, position: Position) {
        self.epoch.push_u16(position.epoch);
        self.partition.push_u16(position.partition);
        self.offset.push_u64(position.offset);
        self.line.push_u32(position.index);
    }

    fn into_columns(self) -> [Column; 4] {
        [self.epoch, self.partition, self.offset, self.line]
    }
}

/// What the client sent besides the key.
#[derive(Clone, Debug)]
struct ContentColumns {
    transaction_id: Column,
    customer: Column,
    subscription: Column,
    properties: Column,
    precise_total: Column,
    ingested_at: Column,
}

impl ContentColumns {
    fn new(rows: usize, properties_bytes: usize) -> Self {
        Self {
            transaction_id: Column::new("transaction_id", "String"),
            customer: Column::new("customer", "String"),
            subscription: Column::new("subscription", "String"),
            properties: Column::new("properties", "String").with_room(properties_bytes),
            precise_total: Column::new("precise_total", "String"),
            ingested_at: Column::new("ingested_at", TIME).with_room(8 * rows),
        }
    }

    fn push(&mut self, event: &EventRef<'_>) {
        self.transaction_id.push_text(event.transaction_id);
        self.customer.push_text(event.customer);
        self.subscription.push_text(event.subscription);
        self.properties.push_text(event.properties);
        self.precise_total.push_text(event.precise_total);
        self.ingested_at.push_i64(event.ingested_at.0);
    }

    fn into_columns(self) -> [Column; 6] {
        [self.transaction_id, self.customer, self.subscription, self.properties, self.precise_total, self.ingested_at]
    }
}

/// A block for `events`.
#[derive(Clone, Debug)]
pub struct EventColumns {
    key: KeyColumns,
    content: ContentColumns,
    position: PositionColumns,
    value: Column,
    value_state: Column,
    value_of: Column,
    text: Column,
    dimensions: Column,
    dimensions_of: Column,
    witness: Column,
}

impl EventColumns {
    /// An empty block with room for so many rows, and about so many bytes of properties.
    #[must_use]
    pub fn with_room(rows: usize, properties_bytes: usize) -> Self {
        Self {
            key: KeyColumns::new(rows),
            content: ContentColumns::new(rows, properties_bytes),
            position: PositionColumns::new(rows),
            value: Column::new("value", "Decimal(38, 18)").with_room(16 * rows),
            value_state: Column::new("value_state", "UInt8").with_room(rows),
            value_of: Column::new("value_of", "UInt64").with_room(8 * rows),
            text: Column::new("text", "String"),
            dimensions: Column::new("dimensions", "String"),
            dimensions_of: Column::new("dimensions_of", "UInt64").with_room(8 * rows),
            witness: Column::new("witness", "UInt64").with_room(8 * rows),
        }
    }

    /// What rows of this block name a code by.
    pub fn term(&mut self, code: &str) -> Term {
        self.key.code.term(code)
    }

    /// Appends one event with what was extracted from it; `names` are the plan's `value_of` and `dimensions_of`.
    pub fn push(
        &mut self,
        event: &EventRef<'_>,
        code: Term,
        position: Position,
        extracted: &Extracted<'_>,
        dimensions: &str,
        names: (u64, u64),
    ) {
        self.key.push(&event.key, code);
        self.content.push(event);
        self.position.push(position);
        self.value.push_i128(extracted.value);
        self.value_state.push_u8(extracted.state as u8);
        self.value_of.push_u64(names.0);
        self.text.push_text(&extracted.text);
        self.dimensions.push_text(dimensions);
        self.dimensions_of.push_u64(names.1);
        self.witness.push_u64(witness(event.key.content, event.key.timestamp));
    }

    /// Events in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.key.code.len()
    }

    /// The encoded block.
    #[must_use]
    pub fn into_block(self) -> Vec<Bytes> {
        let rows = self.rows();
        let mut columns: Vec<Column> = Vec::with_capacity(22);
        columns.extend(self.key.into_columns());
        columns.extend(self.content.into_columns());
        columns.extend(self.position.into_columns());
        columns.extend([self.value, self.value_state, self.value_of, self.text, self.dimensions]);
        columns.extend([self.dimensions_of, self.witness]);
        block_bytes(columns, rows)
    }
}

/// A block for `event_ids`.
#[derive(Clone, Debug)]
pub struct IdColumns {
    key: KeyColumns,
    position: PositionColumns,
    content: Column,
}

impl IdColumns {
    /// An empty block with room for so many rows.
    #[must_use]
    pub fn with_room(rows: usize) -> Self {
        Self {
            key: KeyColumns::new(rows),
            position: PositionColumns::new(rows),
            content: Column::new("content", "UInt64").with_room(8 * rows),
        }
    }

    /// What rows of this block name a code by.
    pub fn term(&mut self, code: &str) -> Term {
        self.key.code.term(code)
    }

    /// Appends the id row of one event.
    pub fn push(&mut self, key: &EventKey, code: Term, position: Position) {
        self.key.push(key, code);
        self.position.push(position);
        self.content.push_u64(key.content);
    }

    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.key.code.len()
    }

    /// The encoded block.
    #[must_use]
    pub fn into_block(self) -> Vec<Bytes> {
        let rows = self.rows();
        let mut columns: Vec<Column> = self.key.into_columns().into();
        columns.extend(self.position.into_columns());
        columns.push(self.content);
        block_bytes(columns, rows)
    }
}

impl Default for IdColumns {
    fn default() -> Self {
        Self::with_room(0)
    }
}

/// A block for `losers`: copies that are listed and never billed.
#[derive(Clone, Debug)]
pub struct LoserColumns {
    key: KeyColumns,
    content: ContentColumns,
    position: PositionColumns,
    reason: Column,
    content_hash: Column,
}

impl LoserColumns {
    /// An empty block with room for so many rows, and about so many bytes of properties.
    #[must_use]
    pub fn with_room(rows: usize, properties_bytes: usize) -> Self {
        Self {
            key: KeyColumns::new(rows),
            content: ContentColumns::new(rows, properties_bytes),
            position: PositionColumns::new(rows),
            reason: Column::new("reason", "String"),
            content_hash: Column::new("content", "UInt64").with_room(8 * rows),
        }
    }

    /// Appends one copy.
    pub fn push(&mut self, event: &EventRef<'_>, position: Position, reason: RejectionReason) {
        let code = self.key.code.term(event.code);
        self.key.push(&event.key, code);
        self.content.push(event);
        self.position.push(position);
        self.reason.push_text(reason.name());
        self.content_hash.push_u64(event.key.content);
    }

    /// Copies in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.key.code.len()
    }

    /// The encoded block.
    #[must_use]
    pub fn into_block(self) -> Vec<Bytes> {
        let rows = self.rows();
        let mut columns: Vec<Column> = Vec::with_capacity(17);
        columns.extend(self.key.into_columns());
        columns.extend(self.content.into_columns());
        columns.extend(self.position.into_columns());
        columns.extend([self.reason, self.content_hash]);
        block_bytes(columns, rows)
    }
}
