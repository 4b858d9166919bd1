//! What was accepted and is not billed as it was sent: restamped and conflicting copies, voided events, unusable values (I9).
//!
//! | reason | where it is kept | `rejected_at` |
//! |---|---|---|
//! | restamped, conflict | `losers`, one row per distinct copy | when the copy was accepted |
//! | voided | `voids`, shown with its event once that is known | when the void was accepted |
//! | dead_letter | `dead_letters`, one row per line of the log; the tenant as far as the line tells it | when its record was written |
//! | invalid_value | the event itself, by the state its value was found in | when the event was accepted |

use super::events::{EVENT_COLUMNS, EventColumnsRead};
use super::types::{PageRequest, Rejection, RejectionFilter, RejectionReason};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::ValueState;
use crate::sql;
use clickhouse::Row;
use domain::event::StoredEvent;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use serde::Deserialize;

/// Every reason the store knows; the union of [`union_of`] calls them by their names.
const REASONS: [RejectionReason; 5] = [
    RejectionReason::Restamped,
    RejectionReason::Conflict,
    RejectionReason::Voided,
    RejectionReason::InvalidValue,
    RejectionReason::DeadLetter,
];

#[derive(Row, Deserialize)]
struct RejectedRow {
    why: String,
    rejected_at: i64,
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

/// A page of rejections, newest first, and how many match in all.
pub(crate) async fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &RejectionFilter,
    page: PageRequest,
) -> Result<(Vec<Rejection>, u64), StoreError> {
    let rejected = format!("FROM ({}) WHERE {}", union_of(organization), condition(filter));
    let total = connection.fetch_one(&format!("SELECT count() {rejected}")).await?;
    let statement = format!(
        "SELECT * {rejected} ORDER BY rejected_at DESC, why, id, timestamp LIMIT {} OFFSET {}",
        page.limit, page.skip
    );
    let rows: Vec<RejectedRow> = connection.fetch_all(&statement).await?;
    let rejections = rows.into_iter().map(rejection).collect::<Result<_, _>>()?;
    Ok((rejections, total))
}

/// How many of each reason; a reason without any is left out.
pub(crate) async fn counts(
    connection: &Connection,
    organization: OrganizationId,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
) -> Result<Vec<(RejectionReason, u64)>, StoreError> {
    let filter = RejectionFilter { reason: None, from, to };
    let statement = format!(
        "SELECT why, count() AS copies FROM ({}) WHERE {} GROUP BY why ORDER BY why",
        union_of(organization),
        condition(&filter)
    );
    let rows: Vec<(String, u64)> = connection.fetch_all(&statement).await?;
    rows.into_iter().map(|(why, copies)| Ok((reason_named(&why)?, copies))).collect()
}

/// All rejections of one organization under the columns of [`RejectedRow`].
fn union_of(organization: OrganizationId) -> String {
    let organization = sql::organization(organization);
    let unusable = ValueState::Unusable as u8;
    format!(
        "SELECT toString(reason) AS why, ingested_at AS rejected_at, {EVENT_COLUMNS} FROM losers FINAL \
         WHERE organization = {organization} \
         UNION ALL SELECT 'invalid_value' AS why, ingested_at AS rejected_at, {EVENT_COLUMNS} FROM events \
         WHERE organization = {organization} AND value_state = {unusable} \
         UNION ALL SELECT 'dead_letter' AS why, rejected_at, organization, toUInt128(0) AS id, '' AS transaction_id, \
         '' AS customer, '' AS subscription, '' AS code, rejected_at AS timestamp, \
         concat('{{\"reason\":', toJSONString(reason), ',\"line\":', toJSONString(toValidUTF8(bytes)), '}}') AS properties, \
         '' AS precise_total, rejected_at AS ingested_at, epoch, partition, offset, line FROM dead_letters FINAL \
         WHERE organization = {organization} \
         UNION ALL SELECT 'voided' AS why, first_voided_at AS rejected_at, organization, id, voided_transaction AS transaction_id, \
         customer, subscription, code, timestamp, properties, precise_total, ingested_at, epoch, partition, offset, line FROM \
         (SELECT organization, id, any(transaction_id) AS voided_transaction, min(voided_at) AS first_voided_at FROM voids \
         WHERE organization = {organization} GROUP BY organization, id) AS voided \
         LEFT JOIN (SELECT {EVENT_COLUMNS} FROM events WHERE organization = {organization} AND (code, series, timestamp, id) IN \
         (SELECT code, series, timestamp, id FROM event_ids WHERE organization = {organization} AND id IN \
         (SELECT id FROM voids WHERE organization = {organization}))) AS event USING (organization, id)"
    )
}

fn condition(filter: &RejectionFilter) -> String {
    let mut parts = vec!["1".to_owned()];
    if let Some(reason) = filter.reason {
        parts.push(format!("why = {}", sql::text(reason.name())));
    }
    if let Some(from) = filter.from {
        parts.push(format!("rejected_at >= {}", sql::time(from)));
    }
    if let Some(to) = filter.to {
        parts.push(format!("rejected_at <= {}", sql::time(to)));
    }
    parts.join(" AND ")
}

fn reason_named(name: &str) -> Result<RejectionReason, StoreError> {
    let known = REASONS.into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| StoreError::Corrupt(format!("a loser with the unknown reason '{name}'")))
}

fn rejection(row: RejectedRow) -> Result<Rejection, StoreError> {
    let reason = reason_named(&row.why)?;
    let rejected_at = Timestamp(row.rejected_at);
    let event = StoredEvent::from(EventColumnsRead {
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
    });
    Ok(Rejection { reason, rejected_at, event })
}
