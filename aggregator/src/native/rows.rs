//! Blocks of the small tables, from rows: `voids`, `dead_letters`, `rating_windows`.

use super::block::{Column, block_bytes};
use crate::usage::UsageWindow;
use bytes::Bytes;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::time::Timestamp;
use uuid::Uuid;

/// One void on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidRow {
    /// Tenant.
    pub organization: OrganizationId,
    /// The voided event.
    pub id: EventId,
    /// The client's own id of it.
    pub transaction_id: String,
    /// Its series; 0 when the event is not known yet.
    pub series: u128,
    /// When the client asked.
    pub voided_at: Timestamp,
    /// Where the void stands in the log.
    pub position: Position,
}

/// A block for `voids`.
#[must_use]
pub fn void_block(rows: &[VoidRow]) -> Vec<Bytes> {
    let mut organization = Column::new("organization", "UUID");
    let mut id = Column::new("id", "UInt128");
    let mut transaction_id = Column::new("transaction_id", "String");
    let mut series = Column::new("series", "UInt128");
    let mut voided_at = Column::new("voided_at", "DateTime64(6, 'UTC')");
    let mut epoch = Column::new("epoch", "UInt16");
    let mut partition = Column::new("partition", "UInt16");
    let mut offset = Column::new("offset", "UInt64");
    let mut line = Column::new("line", "UInt32");
    for row in rows {
        organization.push_uuid(row.organization.0);
        id.push_u128(row.id.0);
        transaction_id.push_text(&row.transaction_id);
        series.push_u128(row.series);
        voided_at.push_i64(row.voided_at.0);
        epoch.push_u16(row.position.epoch);
        partition.push_u16(row.position.partition);
        offset.push_u64(row.position.offset);
        line.push_u32(row.position.index);
    }
    let columns = vec![organization, id, transaction_id, series, voided_at, epoch, partition, offset, line];
    block_bytes(columns, rows.len())
}

/// One line of the log that could not be read, on its way into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    /// Tenant as far as it could be made out; else the nil one.
    pub organization: OrganizationId,
    /// Why it could not be read.
    pub reason: String,
    /// The line itself.
    pub line: Vec<u8>,
    /// When its record was written to the log.
    pub rejected_at: Timestamp,
    /// Where it stands.
    pub position: Position,
}

/// A block for `dead_letters`.
#[must_use]
pub fn dead_letter_block(rows: &[DeadLetterRow]) -> Vec<Bytes> {
    let mut organization = Column::new("organization", "UUID");
    let mut reason = Column::new("reason", "String");
    let mut bytes = Column::new("bytes", "String");
    let mut rejected_at = Column::new("rejected_at", "DateTime64(6, 'UTC')");
    let mut epoch = Column::new("epoch", "UInt16");
    let mut partition = Column::new("partition", "UInt16");
    let mut offset = Column::new("offset", "UInt64");
    let mut line = Column::new("line", "UInt32");
    for row in rows {
        organization.push_uuid(row.organization.0);
        reason.push_text(&row.reason);
        bytes.push_bytes(&row.line);
        rejected_at.push_i64(row.rejected_at.0);
        epoch.push_u16(row.position.epoch);
        partition.push_u16(row.position.partition);
        offset.push_u64(row.position.offset);
        line.push_u32(row.position.index);
    }
    block_bytes(vec![organization, reason, bytes, rejected_at, epoch, partition, offset, line], rows.len())
}

/// One uploaded window: the caller's, and what its scope expects of stored values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Whose usage, when, under which number.
    pub window: UsageWindow,
    /// `ExtractionPlan::value_of` of its scope.
    pub value_of: u64,
}

/// A block for `rating_windows`.
#[must_use]
pub fn window_block(run: Uuid, rows: &[WindowRow]) -> Vec<Bytes> {
    let mut run_column = Column::new("run", "UUID");
    let mut series = Column::new("series", "UInt128");
    let mut from = Column::new("from", "Int64");
    let mut to = Column::new("to", "Int64");
    let mut slot = Column::new("slot", "UInt32");
    let mut value_of = Column::new("value_of", "UInt64");
    for row in rows {
        run_column.push_uuid(run);
        series.push_u128(row.window.series.0);
        from.push_i64(row.window.from.0);
        to.push_i64(row.window.to.0);
        slot.push_u32(row.window.slot);
        value_of.push_u64(row.value_of);
    }
    block_bytes(vec![run_column, series, from, to, slot, value_of], rows.len())
}
