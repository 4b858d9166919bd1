//! What went in and out of a wallet.

use super::{LedgerError, read_uuid};
use domain::ids::InvoiceId;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// Microseconds of a day of UTC.
const DAY: i64 = 86_400_000_000;

/// One movement: an entry of the account, or a top-up that waits for its payment or failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Its id.
    pub id: Uuid,
    /// `granted`, `purchased`, `applied`, `given_back`, `voided`, `expired`, `transferred_in` or `transferred_out`.
    pub kind: String,
    /// `manual`, `interval`, `threshold`, or what else it came from.
    pub source: String,
    /// `settled`, `pending` or `failed`.
    pub status: String,
    /// Signed minor units.
    pub cents: i64,
    /// Which invoice it paid, or which pays for it.
    pub invoice: Option<InvoiceId>,
    /// When.
    pub at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Movements of a wallet, newest first.
///
/// # Errors
/// As the database.
pub async fn movements(
    connection: &mut AnyConnection,
    wallet: Uuid,
    (skip, limit): (i64, i64),
) -> Result<Vec<Movement>, LedgerError> {
    let rows = sqlx::query(
        "SELECT id, kind, source, status, cents, invoice_id, created_at, updated_at FROM (
             SELECT id, kind, source, 'settled' AS status, amount AS cents, invoice_id, created_at,
                 created_at AS updated_at, sequence AS place FROM credit_entries WHERE account_id = $1
             UNION ALL SELECT id, 'purchased', source, status, cents, invoice_id, created_at, updated_at, 9223372036854775807
                 FROM wallet_top_ups WHERE wallet_id = $1 AND status <> 'settled') AS movements
         ORDER BY created_at DESC, place DESC, id DESC LIMIT $2 OFFSET $3",
    )
    .bind(wallet.to_string())
    .bind(limit)
    .bind(skip)
    .fetch_all(connection)
    .await?;
    rows.iter().map(movement_of).collect()
}

fn movement_of(row: &AnyRow) -> Result<Movement, LedgerError> {
    let has_invoice = row.try_get::<Option<&str>, _>("invoice_id")?.is_some();
    Ok(Movement {
        id: read_uuid(row, "id")?,
        kind: row.try_get("kind")?,
        source: row.try_get("source")?,
        status: row.try_get("status")?,
        cents: row.try_get("cents")?,
        invoice: has_invoice.then(|| read_uuid(row, "invoice_id").map(InvoiceId)).transpose()?,
        at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

/// A day of UTC on which something moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// Its first instant.
    pub start: Timestamp,
    /// What came in.
    pub inbound: MinorUnits,
    /// What went out.
    pub outbound: MinorUnits,
    /// What was left as it ended.
    pub balance: MinorUnits,
}

/// The days in `[from, to]` on which something moved, oldest first.
///
/// # Errors
/// As the database.
pub async fn days(
    connection: &mut AnyConnection,
    wallet: Uuid,
    (from, to): (Timestamp, Timestamp),
) -> Result<Vec<Day>, LedgerError> {
    let before = sqlx::query(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) AS cents FROM credit_entries
         WHERE account_id = $1 AND created_at < $2",
    )
    .bind(wallet.to_string())
    .bind(from.0)
    .fetch_one(&mut *connection)
    .await?;
    let mut balance: i64 = before.try_get("cents")?;
    let sql = format!(
        "SELECT created_at / {DAY} AS day, CAST(SUM(CASE WHEN amount > 0 THEN amount ELSE 0 END) AS BIGINT) AS inbound,
             CAST(SUM(CASE WHEN amount < 0 THEN -amount ELSE 0 END) AS BIGINT) AS outbound FROM credit_entries
         WHERE account_id = $1 AND created_at >= $2 AND created_at <= $3 GROUP BY created_at / {DAY}
         ORDER BY created_at / {DAY}"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(wallet.to_string()).bind(from.0).bind(to.0);
    let mut days = Vec::new();
    for row in query.fetch_all(connection).await? {
        let (day, inbound, outbound): (i64, i64, i64) =
            (row.try_get("day")?, row.try_get("inbound")?, row.try_get("outbound")?);
        balance += inbound - outbound;
        days.push(Day {
            start: Timestamp(day * DAY),
            inbound: MinorUnits(inbound),
            outbound: MinorUnits(outbound),
            balance: MinorUnits(balance),
        });
    }
    Ok(days)
}

/// What a wallet paid of invoices since `from`, less what it got back.
///
/// # Errors
/// As the database.
pub async fn paid_since(
    connection: &mut AnyConnection,
    wallet: Uuid,
    from: Timestamp,
) -> Result<MinorUnits, LedgerError> {
    let row = sqlx::query(
        "SELECT CAST(COALESCE(-SUM(amount), 0) AS BIGINT) AS cents FROM credit_entries
         WHERE account_id = $1 AND invoice_id IS NOT NULL AND created_at >= $2",
    )
    .bind(wallet.to_string())
    .bind(from.0)
    .fetch_one(connection)
    .await?;
    Ok(MinorUnits(row.try_get("cents")?))
}
