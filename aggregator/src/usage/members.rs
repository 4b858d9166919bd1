//! Exactly the events that a usage query counts, for proof and for `GET /v1/fees/{id}/events`.

use super::source::Source;
use super::touched::voided_ids;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::reads::PageRequest;
use crate::reads::events::EventColumnsRead;
use crate::usage::{EventOfFee, UsageQuery, UsageWindow};
use clickhouse::Row;
use serde::Deserialize;

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

/// Hands out every event of `windows`, in no order; voided ones are left out, and of an id with several rows the first counts.
pub(super) async fn each(
    connection: &Connection,
    query: &UsageQuery,
    windows: &[UsageWindow],
    mut on_event: impl FnMut(EventOfFee) + Send,
) -> Result<(), StoreError> {
    if windows.is_empty() {
        return Ok(());
    }
    let source = Source::prepare(connection, query, windows).await?;
    let read = async {
        let mut cursor = connection.fetch::<Member>(&statement(query, &source, ""))?;
        while let Some(member) = cursor.next().await? {
            on_event(member.into());
        }
        Ok(())
    };
    let outcome = read.await;
    source.discard(connection).await?;
    outcome
}

/// A page of the same, ordered by (timestamp, id).
pub(super) async fn page(
    connection: &Connection,
    query: &UsageQuery,
    page: PageRequest,
) -> Result<Vec<EventOfFee>, StoreError> {
    if query.windows.is_empty() {
        return Ok(Vec::new());
    }
    let source = Source::prepare(connection, query, &query.windows).await?;
    let ordered = format!(" ORDER BY timestamp, id LIMIT {} OFFSET {}", page.limit, page.skip);
    let rows = connection.fetch_all::<Member>(&statement(query, &source, &ordered)).await;
    source.discard(connection).await?;
    Ok(rows?.into_iter().map(EventOfFee::from).collect())
}

fn statement(query: &UsageQuery, source: &Source, tail: &str) -> String {
    // The first row of each id counts: only an id with several rows makes a difference between this and all rows.
    format!(
        "SELECT * FROM (SELECT w.slot AS slot, e.id * (2 * toUInt128(e.witness) + 1) AS fingerprint, \
         e.organization AS organization, e.id AS id, e.transaction_id AS transaction_id, e.customer AS customer, \
         e.subscription AS subscription, toString(e.code) AS code, e.timestamp AS timestamp, e.properties AS properties, \
         e.precise_total AS precise_total, e.ingested_at AS ingested_at, e.epoch AS epoch, e.partition AS partition, \
         e.offset AS offset, e.line AS line FROM {} AND (e.organization, e.id) NOT IN ({}) \
         ORDER BY organization, id, epoch, partition, offset, line LIMIT 1 BY organization, id){tail}",
        source.joined(query),
        voided_ids(query)
    )
}
