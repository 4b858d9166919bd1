//! Who executes a run: its holder, and a beat that the holder moves for as long as it works.
//!
//! No clock is kept here: whoever waits for a holder that died counts how long the beat stood still by its own clock, so the
//! clocks of machines need not agree.

use super::LedgerError;
use domain::ids::BillingRunId;
use sqlx::{AnyConnection, Row};

/// Added to the table of runs.
pub(super) const MIGRATION: &str = "
ALTER TABLE billing_runs ADD COLUMN lease_holder TEXT;
ALTER TABLE billing_runs ADD COLUMN lease_beat BIGINT NOT NULL DEFAULT 0;
";

/// Who has a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The process, absent when none has it.
    pub holder: Option<String>,
    /// Grows with every change of holder and while one works.
    pub beat: i64,
}

/// Who has the run; `None` when it has ended.
///
/// # Errors
/// As the database.
pub async fn read(connection: &mut AnyConnection, run: BillingRunId) -> Result<Option<Held>, LedgerError> {
    let sql = "SELECT lease_holder, lease_beat FROM billing_runs WHERE id = $1 AND active_key IS NOT NULL";
    let row = sqlx::query(sql).bind(run.to_string()).fetch_optional(connection).await?;
    row.map(|row| Ok(Held { holder: row.try_get("lease_holder")?, beat: row.try_get("lease_beat")? })).transpose()
}

/// Makes `holder` the one that has the run, if its beat is still `seen`: of any number that try, one succeeds.
///
/// # Errors
/// As the database.
pub async fn take(
    connection: &mut AnyConnection,
    run: BillingRunId,
    seen: i64,
    holder: &str,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE billing_runs SET lease_holder = $1, lease_beat = lease_beat + 1
               WHERE id = $2 AND lease_beat = $3 AND active_key IS NOT NULL";
    let taken = sqlx::query(sql).bind(holder.to_owned()).bind(run.to_string()).bind(seen).execute(connection).await?;
    Ok(taken.rows_affected() == 1)
}

/// Moves the beat; false when another has the run, or it has ended.
///
/// # Errors
/// As the database.
pub async fn beat(connection: &mut AnyConnection, run: BillingRunId, holder: &str) -> Result<bool, LedgerError> {
    let sql = "UPDATE billing_runs SET lease_beat = lease_beat + 1
               WHERE id = $1 AND lease_holder = $2 AND active_key IS NOT NULL";
    let moved = sqlx::query(sql).bind(run.to_string()).bind(holder.to_owned()).execute(connection).await?;
    Ok(moved.rows_affected() == 1)
}

/// Gives the run up, unless another has it: the next that looks may take it at once.
///
/// # Errors
/// As the database.
pub async fn release(connection: &mut AnyConnection, run: BillingRunId, holder: &str) -> Result<(), LedgerError> {
    let sql = "UPDATE billing_runs SET lease_holder = NULL, lease_beat = lease_beat + 1
               WHERE id = $1 AND lease_holder = $2";
    sqlx::query(sql).bind(run.to_string()).bind(holder.to_owned()).execute(connection).await?;
    Ok(())
}
