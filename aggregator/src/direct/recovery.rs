//! What an interrupted insert left, set right before the next one (I1, I2).
//!
//! `event_ids` is the commit record: one insert is one part of it, all or nothing. Rows of `events` beyond its last offset come
//! from inserts that nobody was answered for. They stay (a client may have given up: the event did happen) and get
//! their id rows, so that the retry finds its ids known. After that the two tables agree, whatever was cut where:
//!
//! | interrupted | events | event_ids | after recovery |
//! |---|---|---|---|
//! | before or in `events` | none or part | – | that part has ids |
//! | before `event_ids` | all | – | all have ids |
//! | before the answer | all | all | nothing to do; the retry is a duplicate |
//!
//! First of all it makes sure that no insert of an earlier writer is still running: an insert that lands after recovery
//! looked would store its ids a second time.

use super::commit::{WRITTEN_TABLES, query_id};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::native::IdColumns;
use clickhouse::Row;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, EventId, witness};
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::time::Timestamp;
use serde::Deserialize;
use std::time::Duration;
use uuid::Uuid;

/// Pause between two looks at the running inserts.
const STILL_RUNNING_PAUSE: Duration = Duration::from_millis(100);
/// Id rows written at once, or those of one insert number if it has more.
const ROWS_PER_INSERT: usize = 50_000;

/// What the store holds once the tables agree.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The next insert's number.
    pub(super) next_offset: u64,
    /// Ids that got their id row just now.
    pub(super) ids: Vec<EventId>,
}

/// Brings the tables to agreement.
///
/// # Errors
/// Engine errors, and [`StoreError::Corrupt`] for a row whose columns do not fit its id or witness.
pub(super) async fn recover(connection: &Connection) -> Result<Recovered, StoreError> {
    wait_for_running_inserts(connection).await?;
    let committed = last_offset(connection, "event_ids").await?;
    let ids = complete_ids(connection, committed).await?;
    let mut next_offset = 0;
    for table in WRITTEN_TABLES {
        next_offset = next_offset.max(last_offset(connection, table).await?.map_or(0, |last| last + 1));
    }
    // Offset 0 is never given out: a cut at 0 is "before everything".
    Ok(Recovered { next_offset: next_offset.max(1), ids })
}

async fn wait_for_running_inserts(connection: &Connection) -> Result<(), StoreError> {
    for table in WRITTEN_TABLES {
        let id = query_id(connection, table);
        let mut waits = 0_u32;
        while connection.is_running(&id).await? {
            if waits == 0 {
                tracing::warn!(
                    table,
                    "an insert of an earlier writer is still running; cancelling it and waiting for its end"
                );
                connection.kill(&id).await;
            }
            waits = waits.saturating_add(1);
            tokio::time::sleep(STILL_RUNNING_PAUSE).await;
        }
    }
    Ok(())
}

#[derive(Row, Deserialize)]
struct LastOffset {
    rows: u64,
    last: u64,
}

/// The greatest offset of direct mode in a table; `None` without rows.
async fn last_offset(connection: &Connection, table: &str) -> Result<Option<u64>, StoreError> {
    let statement =
        format!("SELECT count() AS rows, max(offset) AS last FROM {table} WHERE epoch = 0 AND partition = 0");
    let found: LastOffset = connection.fetch_one(&statement).await?;
    Ok((found.rows > 0).then_some(found.last))
}

#[derive(Row, Deserialize)]
struct UncommittedRow {
    #[serde(with = "clickhouse::serde::uuid")]
    organization: Uuid,
    id: u128,
    transaction_id: String,
    code: String,
    customer: String,
    subscription: String,
    at: i64,
    properties: String,
    precise_total: String,
    witness: u64,
    offset: u64,
    line: u32,
}

/// Writes the id rows of events beyond the last committed offset, a stretch of whole insert numbers at a time: the greatest
/// offset in the id table says that all before it is complete, also when recovery itself is interrupted.
async fn complete_ids(connection: &Connection, committed: Option<u64>) -> Result<Vec<EventId>, StoreError> {
    let beyond = committed.map_or("1".to_owned(), |last| format!("offset > {last}"));
    let statement = format!(
        "SELECT organization, id, transaction_id, code, customer, subscription, \
         toUnixTimestamp64Micro(timestamp) AS at, properties, precise_total, witness, offset, line \
         FROM events WHERE epoch = 0 AND partition = 0 AND {beyond} ORDER BY offset, line"
    );
    let mut rows = connection.fetch::<UncommittedRow>(&statement)?;
    let mut recovered = Vec::new();
    let mut columns = IdColumns::new();
    let mut last_added = None;
    while let Some(row) = rows.next().await? {
        let begins_an_insert_number = last_added != Some(row.offset);
        if begins_an_insert_number && columns.rows() >= ROWS_PER_INSERT {
            insert_ids(connection, std::mem::take(&mut columns)).await?;
        }
        recovered.push(add(&mut columns, &row)?);
        last_added = Some(row.offset);
    }
    if columns.rows() > 0 {
        insert_ids(connection, columns).await?;
    }
    if !recovered.is_empty() {
        tracing::warn!(events = recovered.len(), "events of interrupted inserts were kept and got their id rows");
        metrics::counter!("tollgate_store_recovered_events_total").increment(recovered.len() as u64);
    }
    Ok(recovered)
}

async fn insert_ids(connection: &Connection, columns: IdColumns) -> Result<(), StoreError> {
    connection.insert_block("event_ids", &query_id(connection, "event_ids"), columns.into_block()).await
}

/// Derives id, series and content anew from what was stored.
fn add(columns: &mut IdColumns, row: &UncommittedRow) -> Result<EventId, StoreError> {
    let timestamp = Timestamp(row.at);
    let mut batch = EventBatch::new(OrganizationId(row.organization), timestamp);
    batch.push(&EventRow {
        transaction_id: &row.transaction_id,
        timestamp,
        content: Content {
            code: &row.code,
            customer: &row.customer,
            subscription: &row.subscription,
            properties: &row.properties,
            precise_total_amount_cents: &row.precise_total,
        },
    });
    if batch.ids[0].0 != row.id || witness(batch.contents[0], timestamp) != row.witness {
        return Err(StoreError::Corrupt(format!("event {} does not fit its id or witness", EventId(row.id))));
    }
    let position = Position { epoch: 0, partition: 0, offset: row.offset, index: row.line };
    columns.push((&batch, 0), position);
    Ok(batch.ids[0])
}
