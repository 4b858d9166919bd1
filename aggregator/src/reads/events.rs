//! Single events, lists and hourly counts. Always of one organization (I8).
//!
//! By id the way leads through `event_ids`: it holds the committed first version's whole sorting key, so one event costs one
//! small granule there and one in `events`. Lists and counts read `events`; rows of an insert that was never confirmed may show
//! there, which a sender that heard no answer must expect anyway (I1).

use super::types::{Direction, EventFilter, EventPage, HourCount, OrderBy, OrderField, PageRequest};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use clickhouse::Row;
use domain::event::StoredEvent;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Position;
use domain::time::Timestamp;
use serde::Deserialize;

/// The columns of [`EventColumnsRead`], in order.
pub(super) const EVENT_COLUMNS: &str = "organization, id, transaction_id, customer, subscription, code, timestamp, \
    properties, precise_total, ingested_at, epoch, partition, offset, line";

/// Ids asked for in one query: 10,000 × 42 characters = 420 kB of query text.
const IDS_PER_QUERY: usize = 10_000;

/// Microseconds in an hour.
const HOUR: i64 = 3_600 * domain::time::MICROS_PER_SECOND;

/// One row of `events` as it is read.
#[derive(Row, Deserialize)]
pub(crate) struct EventColumnsRead {
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) organization: uuid::Uuid,
    pub(crate) id: u128,
    pub(crate) transaction_id: String,
    pub(crate) customer: String,
    pub(crate) subscription: String,
    pub(crate) code: String,
    pub(crate) timestamp: i64,
    pub(crate) properties: String,
    pub(crate) precise_total: String,
    pub(crate) ingested_at: i64,
    pub(crate) epoch: u16,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    pub(crate) line: u32,
}

impl From<EventColumnsRead> for StoredEvent {
    fn from(row: EventColumnsRead) -> Self {
        StoredEvent {
            organization: OrganizationId(row.organization),
            id: EventId(row.id),
            transaction_id: row.transaction_id,
            external_customer_id: row.customer,
            external_subscription_id: row.subscription,
            code: row.code,
            timestamp: Timestamp(row.timestamp),
            properties: row.properties,
            precise_total_amount_cents: row.precise_total,
            ingested_at: Timestamp(row.ingested_at),
            position: Position { epoch: row.epoch, partition: row.partition, offset: row.offset, index: row.line },
        }
    }
}

/// The stored (first) versions of `ids`, in any order; unknown ids are left out.
pub(crate) async fn by_ids(
    connection: &Connection,
    organization: OrganizationId,
    ids: &[EventId],
) -> Result<Vec<StoredEvent>, StoreError> {
    let mut found = Vec::new();
    for some in ids.chunks(IDS_PER_QUERY) {
        let rows: Vec<EventColumnsRead> = connection.fetch_all(&statement_by_ids(organization, some)).await?;
        found.extend(rows.into_iter().map(StoredEvent::from));
    }
    Ok(found)
}

fn statement_by_ids(organization: OrganizationId, ids: &[EventId]) -> String {
    // Quoted numbers: a bare one beyond 64 bits would be read as a float.
    let wanted = sql::list(ids.iter().map(|id| format!("'{}'", id.0)));
    format!(
        "SELECT {EVENT_COLUMNS} FROM events WHERE organization = {organization} AND (code, series, timestamp, id) IN \
         (SELECT code, series, timestamp, id FROM event_ids WHERE organization = {organization} AND id IN {wanted}) \
         ORDER BY id, epoch, partition, offset, line LIMIT 1 BY id",
        organization = sql::organization(organization),
    )
}

/// A page of the events that match, and how many match in all.
pub(crate) async fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &EventFilter,
    order: OrderBy,
    page: PageRequest,
) -> Result<EventPage, StoreError> {
    let condition = condition(organization, filter);
    let total = connection.fetch_one(&format!("SELECT count() FROM events WHERE {condition}")).await?;
    let statement = format!(
        "SELECT {EVENT_COLUMNS} FROM events WHERE {condition} ORDER BY {} LIMIT {} OFFSET {}",
        ordering(order),
        page.limit,
        page.skip
    );
    let rows: Vec<EventColumnsRead> = connection.fetch_all(&statement).await?;
    Ok(EventPage { events: rows.into_iter().map(StoredEvent::from).collect(), total })
}

/// Events per UTC hour, oldest first; hours without events are absent.
pub(crate) async fn volume(
    connection: &Connection,
    organization: OrganizationId,
    filter: &EventFilter,
) -> Result<Vec<HourCount>, StoreError> {
    let statement = format!(
        "SELECT intDiv(toUnixTimestamp64Micro(timestamp), {HOUR}) * {HOUR} AS hour, count() AS events FROM events \
         WHERE {} GROUP BY hour ORDER BY hour",
        condition(organization, filter)
    );
    let rows: Vec<(i64, u64)> = connection.fetch_all(&statement).await?;
    Ok(rows.into_iter().map(|(hour, events)| HourCount { hour: Timestamp(hour), events }).collect())
}

/// The codes with most events, and how many each has.
pub(crate) async fn busiest_codes(
    connection: &Connection,
    organization: OrganizationId,
    filter: &EventFilter,
    limit: u64,
) -> Result<Vec<(String, u64)>, StoreError> {
    let statement = format!(
        "SELECT code, count() AS events FROM events WHERE {} GROUP BY code ORDER BY events DESC, code LIMIT {limit}",
        condition(organization, filter)
    );
    connection.fetch_all(&statement).await
}

fn condition(organization: OrganizationId, filter: &EventFilter) -> String {
    let mut parts = vec![format!("organization = {}", sql::organization(organization))];
    let texts = [
        ("code", &filter.code),
        ("customer", &filter.external_customer_id),
        ("subscription", &filter.external_subscription_id),
    ];
    for (column, wanted) in texts {
        if let Some(value) = wanted {
            parts.push(format!("{column} = {}", sql::text(value)));
        }
    }
    if let Some(from) = filter.from {
        parts.push(format!("timestamp >= {}", sql::time(from)));
    }
    if let Some(to) = filter.to {
        parts.push(format!("timestamp <= {}", sql::time(to)));
    }
    parts.join(" AND ")
}

fn ordering(order: OrderBy) -> String {
    let column = match order.field {
        OrderField::Timestamp => "timestamp",
        OrderField::IngestedAt => "ingested_at",
        OrderField::Code => "code",
        OrderField::Customer => "customer",
        OrderField::TransactionId => "transaction_id",
    };
    let direction = match order.direction {
        Direction::Ascending => "ASC",
        Direction::Descending => "DESC",
    };
    format!("{column} {direction}, id {direction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_names_the_organization_first() {
        let organization = OrganizationId::random();
        let filter = EventFilter { code: Some("a' OR '1".into()), from: Some(Timestamp(5)), ..EventFilter::default() };
        let expected = format!(
            "organization = toUUID('{organization}') AND code = 'a\\' OR \\'1' AND timestamp >= \
             fromUnixTimestamp64Micro(5, 'UTC')"
        );
        assert_eq!(condition(organization, &filter), expected);
    }

    #[test]
    fn every_order_is_made_total_by_the_id() {
        let order = OrderBy { field: OrderField::IngestedAt, direction: Direction::Descending };
        assert_eq!(ordering(order), "ingested_at DESC, id DESC");
    }
}
