//! Exactly the events that a usage query counts, for proof and for `GET /v1/fees/{id}/events`: those of its windows inside its
//! cut, without the voided ones, and of an id with several rows the first.

use super::source::Source;
use super::touched::{Doubtful, organizations, voided_ids};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::reads::PageRequest;
use crate::reads::events::EventColumnsRead;
use crate::sql;
use crate::usage::{EventOfFee, UsageQuery, UsageWindow};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;

#[derive(Row, Deserialize)]
struct Member {
    slot: u32,
    fingerprint: u128,
    #[serde(with = "clickhouse::serde::uuid")]
    organization: uuid::Uuid,
    id: u128,
    transaction_id: String,
    customer: String,
    subscription: String,
    code: String,
    timestamp: i64,
    properties: String,
    precise_total: String,
    ingested_at: i64,
    epoch: u16,
    partition: u16,
    offset: u64,
    line: u32,
}

impl From<Member> for EventOfFee {
    fn from(row: Member) -> Self {
        let event = EventColumnsRead {
            organization: row.organization,
            id: row.id,
            transaction_id: row.transaction_id,
            customer: row.customer,
            subscription: row.subscription,
            code: row.code,
            timestamp: row.timestamp,
            properties: row.properties,
            precise_total: row.precise_total,
            ingested_at: row.ingested_at,
            epoch: row.epoch,
            partition: row.partition,
            offset: row.offset,
            line: row.line,
        };
        EventOfFee { slot: row.slot, stored_fingerprint: row.fingerprint, event: event.into() }
    }
}

/// Hands out every event of `windows`, in no order, with bounded memory.
pub(super) async fn each(
    connection: &Connection,
    query: &UsageQuery,
    windows: &[UsageWindow],
    doubtful: &Doubtful,
    mut on_event: impl FnMut(EventOfFee) + Send,
) -> Result<(), StoreError> {
    if windows.is_empty() {
        return Ok(());
    }
    let source = Source::prepare(connection, query, windows).await?;
    let statement = statement(query, &source, "", "");
    let mut seen = HashSet::new();
    let read = async {
        let mut cursor = connection.fetch::<Member>(&statement)?;
        while let Some(member) = cursor.next().await? {
            let member = EventOfFee::from(member);
            if counts(&member, doubtful, &mut seen) {
                on_event(member);
            }
        }
        Ok(())
    };
    let outcome = read.await;
    source.discard(connection).await;
    outcome
}

/// Whether this row is the one of its id that counts, in its slot. Only ids with several rows are remembered.
fn counts(member: &EventOfFee, doubtful: &Doubtful, seen: &mut HashSet<(u32, u128)>) -> bool {
    let event = &member.event;
    match doubtful.first.get(&event.id.0) {
        None => true,
        // The same row may be there twice: a log that was read again writes it at the same position.
        Some(first) => *first == event.position && seen.insert((member.slot, event.id.0)),
    }
}

/// A page of the same, ordered by (timestamp, id).
pub(super) async fn page(
    connection: &Connection,
    query: &UsageQuery,
    doubtful: &Doubtful,
    page: PageRequest,
) -> Result<Vec<EventOfFee>, StoreError> {
    if query.windows.is_empty() {
        return Ok(Vec::new());
    }
    let source = Source::prepare(connection, query, &query.windows).await?;
    let (only_first, once) =
        if doubtful.first.is_empty() { (String::new(), "") } else { (first_rows(query), " LIMIT 1 BY slot, id") };
    let tail = format!(" ORDER BY e.timestamp, e.id{once} LIMIT {} OFFSET {}", page.limit, page.skip);
    let rows = connection.fetch_all::<Member>(&statement(query, &source, &only_first, &tail)).await;
    source.discard(connection).await;
    Ok(rows?.into_iter().map(EventOfFee::from).collect())
}

/// The condition that an id has one row, or this is the first of them inside the cut.
fn first_rows(query: &UsageQuery) -> String {
    let of_query = organizations(query);
    format!(
        " AND (e.id NOT IN (SELECT id FROM doubtful_ids WHERE {of_query}) OR \
         (e.id, e.epoch, e.partition, e.offset, e.line) IN (SELECT id, epoch, partition, offset, line FROM doubtful_ids \
         WHERE {of_query} AND {} ORDER BY id, epoch, partition, offset, line LIMIT 1 BY id))",
        sql::in_cut(&query.cut, "")
    )
}

fn statement(query: &UsageQuery, source: &Source, only: &str, tail: &str) -> String {
    format!(
        "SELECT {} AS slot, toUInt128(e.id * (2 * toUInt128(e.witness) + 1)) AS fingerprint, \
         e.organization AS organization, e.id AS id, e.transaction_id AS transaction_id, e.customer AS customer, \
         e.subscription AS subscription, e.code AS code, e.timestamp AS timestamp, e.properties AS properties, \
         e.precise_total AS precise_total, e.ingested_at AS ingested_at, e.epoch AS epoch, e.partition AS partition, \
         e.offset AS offset, e.line AS line FROM {} AND e.id NOT IN ({}){only}{tail}",
        source.slot,
        source.joined(query),
        voided_ids(query)
    )
}
