//! Id rows for stored events that have none: an interrupted insert left them (I1, I2).

use super::lane::Lane;
use super::row::EventKey;
use crate::error::StoreError;
use crate::native::IdColumns;
use clickhouse::Row;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, EventId, witness};
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::time::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

/// Id rows written at once, or those of one offset if it has more.
const ROWS_PER_INSERT: usize = 50_000;

#[derive(Row, Deserialize)]
struct EventWithoutId {
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
    epoch: u16,
    partition: u16,
    offset: u64,
    line: u32,
}

/// Writes the id rows of the events that meet `condition`, in the order of their positions and never splitting an offset: what is
/// the greatest offset in the id table says that all before it is complete, also when this is interrupted in turn. Answers
/// the ids with their partitions.
///
/// # Errors
/// Engine errors, and [`StoreError::Corrupt`] for a row whose columns do not fit its id or witness.
pub(crate) async fn complete(lane: &Lane, condition: &str) -> Result<Vec<(u16, EventId)>, StoreError> {
    let statement = format!(
        "SELECT organization, id, transaction_id, code, customer, subscription, \
         toUnixTimestamp64Micro(timestamp) AS at, properties, precise_total, witness, epoch, partition, offset, line \
         FROM events WHERE {condition} ORDER BY epoch, partition, offset, line"
    );
    let mut rows = lane.connection().fetch::<EventWithoutId>(&statement)?;
    let mut completed = Vec::new();
    let mut columns = IdColumns::default();
    let mut last_added = None;
    while let Some(row) = rows.next().await? {
        let place = (row.partition, row.offset);
        if last_added != Some(place) && columns.rows() >= ROWS_PER_INSERT {
            lane.insert("event_ids", Some(std::mem::take(&mut columns).into_block())).await?;
        }
        completed.push((row.partition, add(&mut columns, &row)?));
        last_added = Some(place);
    }
    if columns.rows() > 0 {
        lane.insert("event_ids", Some(columns.into_block())).await?;
    }
    if !completed.is_empty() {
        tracing::warn!(events = completed.len(), "events of interrupted inserts were kept and got their id rows");
        metrics::counter!("tollgate_store_recovered_events_total").increment(completed.len() as u64);
    }
    Ok(completed)
}

/// Derives id, series and content anew from what was stored.
fn add(columns: &mut IdColumns, row: &EventWithoutId) -> Result<EventId, StoreError> {
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
    let position = Position { epoch: row.epoch, partition: row.partition, offset: row.offset, index: row.line };
    let code = columns.term(&row.code);
    columns.push(&EventKey::of(&batch, 0), code, position);
    Ok(batch.ids[0])
}
