//! What late usage is measured against: up to where subscriptions have been looked at, and what was billed for their usage.

use super::LedgerError;
use super::bulk::{LISTED_AT_ONCE, placeholders, query_with, rows_in};
use super::fees::{SELECT, StoredFee, fee_of};
use domain::ids::{OrganizationId, SubscriptionId};
use domain::position::Cut;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row};
use std::collections::HashSet;

/// The oldest cut up to which the usage of any of these subscriptions was looked at, and the end of the newest stretch of it that is
/// billed; absent when none was ever billed.
///
/// # Errors
/// As the database.
pub async fn looked_at(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<Option<(Cut, Timestamp)>, LedgerError> {
    let (mut oldest, mut until): (Option<String>, Option<i64>) = (None, None);
    for some in subscriptions.chunks(LISTED_AT_ONCE) {
        let list = placeholders(0, some.len());
        // Ids of cuts grow with time.
        let sql = format!(
            "SELECT MIN(NULLIF(cut_id, '')) AS oldest, MAX(until_at) AS latest FROM billing_frontiers
             WHERE part = 'usage' AND subscription_id IN ({list})"
        );
        let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
        let row = query_with(sql, &ids).fetch_one(&mut *connection).await?;
        oldest = [oldest, row.try_get("oldest")?].into_iter().flatten().min();
        until = until.max(row.try_get("latest")?);
    }
    let Some((oldest, until)) = oldest.zip(until) else { return Ok(None) };
    let row = sqlx::query("SELECT positions FROM rating_cuts WHERE id = $1").bind(oldest).fetch_one(connection).await?;
    Ok(Some((serde_json::from_str(row.try_get("positions")?)?, Timestamp(until))))
}

/// What was billed for the usage of these subscriptions for good: fees on issued invoices; then adjustments, oldest first. Of these
/// also those on drafts, and those taken back with an invoice that may still be made again: who takes an invoice back gives up its lines.
///
/// # Errors
/// As the database.
pub async fn issued_usage(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<Vec<StoredFee>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "{SELECT} WHERE f.subscription_id IN ({list}) AND f.in_advance IS NULL AND (
                 f.fee_type = 'charge' AND f.voided = 0
                     AND f.invoice_id IN (SELECT id FROM invoices WHERE status IN ('finalized', 'paid'))
                 OR {STANDING_ADJUSTMENT})
             ORDER BY CASE f.fee_type WHEN 'charge' THEN 0 ELSE 1 END, f.created_at, f.id"
        )
    };
    rows_in(connection, subscriptions, sql).await?.iter().map(fee_of).collect()
}

/// An adjustment that is billed, or comes back when its invoice is made again; made again, its copy is the one.
const STANDING_ADJUSTMENT: &str = "f.fee_type = 'adjustment' AND (f.voided = 0
    OR NOT EXISTS (SELECT 1 FROM invoices again WHERE again.regenerated_from = f.invoice_id))";

/// The stretches of these subscriptions that are adjusted, by their first instants.
///
/// # Errors
/// As the database.
pub async fn adjusted_stretches(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<HashSet<(SubscriptionId, Timestamp)>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "SELECT DISTINCT f.subscription_id, f.period_start FROM fees f
             WHERE f.subscription_id IN ({list}) AND f.in_advance IS NULL AND {STANDING_ADJUSTMENT}"
        )
    };
    let rows = rows_in(connection, subscriptions, sql).await?;
    let stretch = |row: &sqlx::any::AnyRow| {
        Ok((SubscriptionId(super::read_uuid(row, "subscription_id")?), Timestamp(row.try_get("period_start")?)))
    };
    rows.iter().map(stretch).collect()
}

/// The cuts at which usage on an organization's issued invoices was rated, each with the end of the newest stretch of it.
///
/// # Errors
/// As the database.
pub async fn cuts(
    connection: &mut AnyConnection,
    organization: OrganizationId,
) -> Result<Vec<(Cut, Timestamp)>, LedgerError> {
    let sql = "SELECT c.positions, MAX(f.period_end) AS until FROM fees f JOIN rating_cuts c ON c.id = f.cut_id
               WHERE f.organization_id = $1 AND f.fee_type = 'charge' AND f.in_advance IS NULL AND f.voided = 0
                   AND f.invoice_id IN (SELECT id FROM invoices WHERE organization_id = $1 AND status IN ('finalized', 'paid'))
               GROUP BY c.id, c.positions";
    let rows = sqlx::query(sql).bind(organization.to_string()).fetch_all(connection).await?;
    let cut = |row: &sqlx::any::AnyRow| {
        Ok((serde_json::from_str(row.try_get("positions")?)?, Timestamp(row.try_get("until")?)))
    };
    rows.iter().map(cut).collect()
}
