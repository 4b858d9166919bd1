//! Up to where events are billed as they come in, and whose: one position for all, moved only from where the writer believed it
//! to be, in the transaction that writes the fees (I4). A payer whose fees could not be worked out keeps a position of its own.

use super::bulk::{BulkInsert, Cell, rows_in};
use super::{LedgerError, read_uuid};
use domain::ids::{OrganizationId, SubscriptionId};
use domain::position::Cut;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;

/// How far events are billed in advance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events up to here are billed, for all payers but those that are held up.
    pub cut: Cut,
    /// Counts the moves; 0 before the first.
    version: i64,
    /// Every payer known so far; those held up with the cut after which they are still owed.
    pub payers: HashMap<SubscriptionId, Option<Cut>>,
}

/// A payer as it is from now on.
#[derive(Clone, Debug)]
pub struct Payer {
    /// Whose usage.
    pub subscription: SubscriptionId,
    /// Tenant.
    pub organization: OrganizationId,
    /// Held up: events after this are still owed.
    pub owed_after: Option<Cut>,
}

/// Reads it whole.
///
/// # Errors
/// As the database.
pub async fn read(connection: &mut AnyConnection) -> Result<Progress, LedgerError> {
    let mut progress = Progress::default();
    let row = sqlx::query("SELECT positions, version FROM advance_progress WHERE id = 1")
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(row) = row {
        progress.cut = serde_json::from_str(row.try_get("positions")?)?;
        progress.version = row.try_get("version")?;
    }
    let rows = sqlx::query("SELECT subscription_id, owed_after FROM advance_payers").fetch_all(connection).await?;
    for row in rows {
        let owed_after: Option<&str> = row.try_get("owed_after")?;
        let owed_after = owed_after.map(serde_json::from_str).transpose()?;
        progress.payers.insert(SubscriptionId(read_uuid(&row, "subscription_id")?), owed_after);
    }
    Ok(progress)
}

/// Moves it on to `cut`; answers false when another was first: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn advance(connection: &mut AnyConnection, from: &Progress, cut: &Cut) -> Result<bool, LedgerError> {
    let positions = serde_json::to_string(cut)?;
    let moved = if from.version == 0 {
        let sql = "INSERT INTO advance_progress (id, positions, version) VALUES (1, $1, 1) ON CONFLICT (id) DO NOTHING";
        sqlx::query(sql).bind(positions).execute(connection).await?
    } else {
        let sql = "UPDATE advance_progress SET positions = $1, version = version + 1 WHERE id = 1 AND version = $2";
        sqlx::query(sql).bind(positions).bind(from.version).execute(connection).await?
    };
    Ok(moved.rows_affected() == 1)
}

const PAYERS: BulkInsert = BulkInsert {
    table: "advance_payers",
    columns: "subscription_id, organization_id, owed_after",
    tail: "ON CONFLICT (subscription_id) DO UPDATE SET owed_after = excluded.owed_after",
};

/// Writes down payers, new ones and those that are held up, or no longer.
///
/// # Errors
/// As the database.
pub async fn keep_payers(connection: &mut AnyConnection, payers: &[Payer]) -> Result<(), LedgerError> {
    let row = |payer: &Payer| {
        let owed_after = payer.owed_after.as_ref().map(serde_json::to_string).transpose()?;
        Ok(vec![
            Cell::Text(payer.subscription.to_string()),
            Cell::Text(payer.organization.to_string()),
            Cell::MaybeText(owed_after),
        ])
    };
    PAYERS.run(connection, payers.iter().map(row).collect::<Result<_, LedgerError>>()?).await?;
    Ok(())
}

/// Fees of these events on issued invoices, or on none, that no adjustment takes back yet.
///
/// # Errors
/// As the database.
pub async fn standing_fees_of(
    connection: &mut AnyConnection,
    events: &[domain::identity::EventId],
) -> Result<Vec<super::fees::StoredFee>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "{} WHERE f.in_advance IN ({list}) AND f.in_advance IS NOT NULL AND f.in_advance <> 'carried'
                 AND f.fee_type = 'charge' AND f.voided = 0
                 AND NOT EXISTS (SELECT 1 FROM fees a WHERE a.in_advance = f.in_advance AND a.fee_type = 'adjustment'
                     AND a.adjusted_fee_id = f.id AND a.voided = 0)
             ORDER BY f.created_at, f.id",
            super::fees::SELECT
        )
    };
    rows_in(connection, events, sql).await?.iter().map(super::fees::fee_of).collect()
}
