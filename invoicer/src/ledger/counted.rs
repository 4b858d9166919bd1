//! What subscriptions were billed, as far as it counts towards a minimum commitment.

use super::bulk::{LISTED_AT_ONCE, placeholders, query_with};
use super::{LedgerError, read_uuid};
use crate::commitment::Billed;
use domain::ids::SubscriptionId;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row};

/// Flat fees and usage of these subscriptions whose stretch begins at or after `since`, voided ones left out.
///
/// # Errors
/// As the database.
pub async fn read(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
    since: Timestamp,
) -> Result<Billed, LedgerError> {
    let mut billed = Billed::default();
    for some in subscriptions.chunks(LISTED_AT_ONCE) {
        let list = placeholders(0, some.len());
        let sql = format!(
            "SELECT subscription_id, period_start, amount_cents FROM fees WHERE subscription_id IN ({list})
                 AND fee_type IN ('subscription', 'charge') AND voided = 0 AND period_start >= ${}",
            some.len() + 1
        );
        let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
        for row in query_with(sql, &ids).bind(since.0).fetch_all(&mut *connection).await? {
            let subscription = SubscriptionId(read_uuid(&row, "subscription_id")?);
            let (from, amount) = (row.try_get("period_start")?, row.try_get("amount_cents")?);
            billed.note(subscription, Timestamp(from), MinorUnits(amount));
        }
    }
    Ok(billed)
}
