//! Questions to the id table: is this id stored, and which version of it?

use super::known::{IdMap, Version};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use clickhouse::Row;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Position;
use serde::Deserialize;
use std::collections::BTreeSet;

/// Ids asked about in one query: 10,000 × 42 characters = 420 kB of query text.
const IDS_PER_QUERY: usize = 10_000;

/// What the id table holds of one id: its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRow {
    pub(crate) content: u64,
    pub(crate) timestamp: i64,
    pub(crate) series: u128,
    pub(crate) position: Position,
}

impl IdRow {
    pub(crate) fn version(&self) -> Version {
        Version { content: self.content, timestamp: self.timestamp }
    }
}

#[derive(Row, Deserialize)]
struct FoundRow {
    id: u128,
    content: u64,
    at: i64,
    series: u128,
    epoch: u16,
    partition: u16,
    offset: u64,
    line: u32,
}

/// The stored ones among these ids, whose rows meet `condition`.
pub(crate) async fn stored_ids(
    connection: &Connection,
    ids: &[(OrganizationId, EventId)],
    condition: &str,
) -> Result<IdMap<IdRow>, StoreError> {
    let mut found = IdMap::default();
    for some in ids.chunks(IDS_PER_QUERY) {
        for row in connection.fetch_all(&statement(some, condition)).await? {
            keep_first(&mut found, &row);
        }
    }
    Ok(found)
}

fn statement(ids: &[(OrganizationId, EventId)], condition: &str) -> String {
    let organizations: BTreeSet<OrganizationId> = ids.iter().map(|(organization, _)| *organization).collect();
    let organizations = sql::list(organizations.into_iter().map(sql::organization));
    // Quoted numbers: a bare one beyond 64 bits would be read as a float, a conversion each would be evaluated each.
    let ids = sql::list(ids.iter().map(|(_, id)| format!("'{}'", id.0)));
    format!(
        "SELECT id, content, toUnixTimestamp64Micro(timestamp) AS at, series, epoch, partition, offset, line \
         FROM event_ids WHERE organization IN {organizations} AND id IN {ids} AND ({condition})"
    )
}

fn keep_first(found: &mut IdMap<IdRow>, row: &FoundRow) {
    let position = Position { epoch: row.epoch, partition: row.partition, offset: row.offset, index: row.line };
    let candidate = IdRow { content: row.content, timestamp: row.at, series: row.series, position };
    let kept = found.entry(row.id).or_insert(candidate);
    if candidate.position < kept.position {
        *kept = candidate;
    }
}

#[derive(Row, Deserialize)]
struct VoidedRow {
    id: u128,
    epoch: u16,
    partition: u16,
    offset: u64,
    line: u32,
}

/// The voided ones among these ids, with the position of their first void.
pub(crate) async fn stored_voids(
    connection: &Connection,
    ids: &[(OrganizationId, EventId)],
) -> Result<IdMap<Position>, StoreError> {
    let organizations = sql::list(ids.iter().map(|(organization, _)| sql::organization(*organization)));
    let list = sql::list(ids.iter().map(|(_, id)| format!("'{}'", id.0)));
    let statement = format!(
        "SELECT id, epoch, partition, offset, line FROM voids WHERE organization IN {organizations} AND id IN {list}"
    );
    let mut found: IdMap<Position> = IdMap::default();
    let rows: Vec<VoidedRow> = connection.fetch_all(&statement).await?;
    for row in rows {
        let position = Position { epoch: row.epoch, partition: row.partition, offset: row.offset, index: row.line };
        let kept = found.entry(row.id).or_insert(position);
        *kept = position.min(*kept);
    }
    Ok(found)
}
