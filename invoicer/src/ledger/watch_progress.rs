//! Up to where events were looked at, by those who follow usage as it comes in: moved only from where the writer believed it to be, in
//! the transaction that writes what was found (I4).

use super::LedgerError;
use domain::position::Cut;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// The table, with a row for each that follows.
pub(super) const MIGRATION: &str = "
CREATE TABLE watch_progress (
    what TEXT NOT NULL PRIMARY KEY,
    positions TEXT NOT NULL,
    version BIGINT NOT NULL
);
INSERT INTO watch_progress (what, positions, version) VALUES ('thresholds', '[]', 0), ('alerts', '[]', 0);
";

/// The passes that bill by thresholds.
pub const THRESHOLDS: &str = "thresholds";
/// The passes that fire usage alerts.
pub const ALERTS: &str = "alerts";

/// Up to where events were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events up to here.
    pub cut: Cut,
    /// Counts the moves; 0: nothing was ever looked at.
    pub version: i64,
}

/// Reads how far events were looked at.
///
/// # Errors
/// As the database.
pub async fn progress(connection: &mut AnyConnection, what: &'static str) -> Result<Progress, LedgerError> {
    let sql = "SELECT positions, version FROM watch_progress WHERE what = $1";
    let row = sqlx::query(sql).bind(what).fetch_one(connection).await?;
    Ok(Progress { cut: serde_json::from_str(row.try_get("positions")?)?, version: row.try_get("version")? })
}

/// Moves on to `cut`, and holds the row until the transaction ends; answers false when another was first: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn advance(
    connection: &mut AnyConnection,
    what: &'static str,
    from: &Progress,
    cut: &Cut,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE watch_progress SET positions = $1, version = version + 1 WHERE what = $2 AND version = $3";
    let query = sqlx::query(sql).bind(serde_json::to_string(cut)?).bind(what).bind(from.version);
    Ok(query.execute(connection).await?.rows_affected() == 1)
}

/// Shares the row of thresholds until the transaction ends; answers whether any were ever looked at.
///
/// # Errors
/// As the database.
pub async fn share(connection: &mut AnyConnection, row_lock: &str) -> Result<bool, LedgerError> {
    let share = if row_lock.is_empty() { "" } else { " FOR SHARE" };
    let sql = format!("SELECT version FROM watch_progress WHERE what = $1{share}");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(THRESHOLDS).fetch_one(connection).await?;
    let version: i64 = row.try_get("version")?;
    Ok(version > 0)
}
