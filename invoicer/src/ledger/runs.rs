//! Billing runs as rows: started once per scope and instant, with figures that grow with what they wrote.

use super::invoices::PageOf;
use super::write::Written;
use super::{LedgerError, read_uuid};
use crate::due::Reach;
use domain::ids::{BillingRunId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::position::Cut;
use domain::time::Timestamp;
use serde::{Serialize, Serializer};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::BTreeMap;
use std::str::FromStr;

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// Until every event accepted before it began is in the store.
    WaitingForEvents,
    /// Working out what is due and rating it.
    Rating,
    /// Writing invoices.
    Invoicing,
    /// Everything due is billed.
    Completed,
    /// Something is not billed; the reason is kept. What was billed stays.
    Failed,
}

impl RunStatus {
    /// The text in the ledger and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::WaitingForEvents => "waiting_for_events",
            RunStatus::Rating => "rating",
            RunStatus::Invoicing => "invoicing",
            RunStatus::Completed => "completed",
            RunStatus::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, RunStatus::Completed | RunStatus::Failed)
    }
}

impl FromStr for RunStatus {
    type Err = LedgerError;
    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let all = [Self::WaitingForEvents, Self::Rating, Self::Invoicing, Self::Completed, Self::Failed];
        let found = all.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| LedgerError::corrupt("billing_runs.status", text))
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What to bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunScope {
    /// One organization, or all.
    pub organization: Option<OrganizationId>,
    /// Everything due up to and with this instant.
    pub as_of: Timestamp,
    /// Work it out and write nothing.
    pub dry_run: bool,
    /// How far back.
    pub reach: Reach,
}

impl RunScope {
    /// Names the scope: of runs with one name only one is active.
    fn active_key(&self) -> String {
        let organization = self.organization.map_or("all".to_owned(), |id| id.to_string());
        format!("{organization}|{}|{}|{}", self.as_of.0, self.dry_run, reach_text(self.reach))
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its id.
    pub id: BillingRunId,
    /// What it bills.
    pub scope: RunScope,
    /// What it is doing.
    pub status: RunStatus,
    /// Up to where it rates, once it knows.
    pub cut: Option<(String, Cut)>,
    /// Subscriptions with anything due.
    pub subscriptions_total: i64,
    /// Of them billed.
    pub subscriptions_done: i64,
    /// Invoices written (dry: that would be).
    pub invoices_created: i64,
    /// Σ of their totals.
    pub totals: BTreeMap<Currency, MinorUnits>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
}

/// Starts a run, or finds the active one of the same scope; true when it is new.
///
/// # Errors
/// As the database.
pub async fn start(
    connection: &mut AnyConnection,
    id: BillingRunId,
    scope: &RunScope,
    now: Timestamp,
) -> Result<(BillingRunId, bool), LedgerError> {
    let sql = "INSERT INTO billing_runs (id, organization_id, as_of, dry_run, reach, status, active_key,
                   subscriptions_total, subscriptions_done, invoices_created, started_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, $8)
               ON CONFLICT (active_key) DO NOTHING";
    loop {
        let inserted = sqlx::query(sql)
            .bind(id.to_string())
            .bind(scope.organization.map(|organization| organization.to_string()))
            .bind(scope.as_of.0)
            .bind(i64::from(scope.dry_run))
            .bind(reach_text(scope.reach))
            .bind(RunStatus::WaitingForEvents.as_str())
            .bind(scope.active_key())
            .bind(now.0)
            .execute(&mut *connection)
            .await?;
        if inserted.rows_affected() == 1 {
            return Ok((id, true));
        }
        let active = sqlx::query("SELECT id FROM billing_runs WHERE active_key = $1").bind(scope.active_key());
        // It may have ended since: then the next insert succeeds.
        if let Some(row) = active.fetch_optional(&mut *connection).await? {
            return Ok((BillingRunId(read_uuid(&row, "id")?), false));
        }
    }
}

/// Keeps the cut a run rates at; a run that is resumed finds it and rates the same (I3).
///
/// # Errors
/// As the database, or when the cut cannot be written as JSON.
pub async fn keep_cut(connection: &mut AnyConnection, run: BillingRunId, cut: &Cut) -> Result<String, LedgerError> {
    let cut_id = keep_positions(connection, cut).await?;
    sqlx::query("UPDATE billing_runs SET cut_id = $1 WHERE id = $2")
        .bind(cut_id.clone())
        .bind(run.to_string())
        .execute(connection)
        .await?;
    Ok(cut_id)
}

/// Keeps a cut under a new id.
///
/// # Errors
/// As [`keep_cut`].
pub async fn keep_positions(connection: &mut AnyConnection, cut: &Cut) -> Result<String, LedgerError> {
    let id = uuid::Uuid::now_v7().to_string();
    let positions = serde_json::to_string(cut)?;
    sqlx::query("INSERT INTO rating_cuts (id, positions) VALUES ($1, $2)")
        .bind(id.clone())
        .bind(positions)
        .execute(connection)
        .await?;
    Ok(id)
}

/// Says what a run is doing.
///
/// # Errors
/// As the database.
pub async fn set_status(
    connection: &mut AnyConnection,
    run: BillingRunId,
    status: RunStatus,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE billing_runs SET status = $1 WHERE id = $2")
        .bind(status.as_str())
        .bind(run.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Says how many subscriptions have anything due: those done before a resumption and those `open` now.
///
/// # Errors
/// As the database.
pub async fn set_open(connection: &mut AnyConnection, run: BillingRunId, open: i64) -> Result<(), LedgerError> {
    sqlx::query("UPDATE billing_runs SET subscriptions_total = subscriptions_done + $1 WHERE id = $2")
        .bind(open)
        .bind(run.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

/// Adds what a batch wrote (or, dry, would have written).
///
/// # Errors
/// As the database.
pub async fn add_progress(
    connection: &mut AnyConnection,
    run: BillingRunId,
    written: &Written,
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE billing_runs SET invoices_created = invoices_created + $1, subscriptions_done = subscriptions_done + $2
         WHERE id = $3",
    )
    .bind(written.invoices)
    .bind(written.subscriptions)
    .bind(run.to_string())
    .execute(&mut *connection)
    .await?;
    for (currency, cents) in &written.totals {
        sqlx::query(
            "INSERT INTO billing_run_totals (run_id, currency, total_cents) VALUES ($1, $2, $3)
             ON CONFLICT (run_id, currency)
             DO UPDATE SET total_cents = billing_run_totals.total_cents + excluded.total_cents",
        )
        .bind(run.to_string())
        .bind(currency.code().to_owned())
        .bind(cents.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Ends a run, well or with a reason; it is no longer the active one of its scope. Only who has it may ([`super::run_leases`]):
/// false when that is another process, or the run has ended.
///
/// # Errors
/// As the database.
pub async fn finish(
    connection: &mut AnyConnection,
    run: BillingRunId,
    holder: &str,
    error: Option<&str>,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let status = if error.is_some() { RunStatus::Failed } else { RunStatus::Completed };
    let sql = "UPDATE billing_runs SET status = $1, error = $2, finished_at = $3, active_key = NULL
               WHERE id = $4 AND lease_holder = $5 AND active_key IS NOT NULL";
    let ended = sqlx::query(sql)
        .bind(status.as_str())
        .bind(error.map(str::to_owned))
        .bind(now.0)
        .bind(run.to_string())
        .bind(holder.to_owned())
        .execute(connection)
        .await?;
    Ok(ended.rows_affected() == 1)
}

const SELECT: &str = "SELECT r.id, r.organization_id, r.as_of, r.dry_run, r.reach, r.status, r.cut_id, c.positions,
        r.subscriptions_total, r.subscriptions_done, r.invoices_created, r.started_at, r.finished_at, r.error
    FROM billing_runs r LEFT JOIN rating_cuts c ON c.id = r.cut_id";

/// One run of `organization`, or of any when that is absent.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
    id: BillingRunId,
) -> Result<Option<RunRecord>, LedgerError> {
    let sql = format!("{SELECT} WHERE r.id = $1");
    let row = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string()).fetch_optional(&mut *connection).await?;
    let Some(mut record) = row.as_ref().map(record_of).transpose()? else { return Ok(None) };
    if organization.is_some() && record.scope.organization != organization {
        return Ok(None);
    }
    record.totals = totals_of(connection, id).await?;
    Ok(Some(record))
}

/// A page of runs, and the number of all: of one organization, or of every scope.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
    page: &PageOf,
) -> Result<(Vec<RunRecord>, i64), LedgerError> {
    // One text for both scopes: without an organization the first condition holds for every row.
    let condition = "WHERE ($1 = '' OR r.organization_id = $1)";
    let scope = organization.map(|id| id.to_string()).unwrap_or_default();
    let sql = format!("{SELECT} {condition} ORDER BY {} LIMIT $2 OFFSET $3", page.order_in("r"));
    let query = sqlx::query(AssertSqlSafe(sql)).bind(scope.clone()).bind(page.limit).bind(page.skip);
    let rows = query.fetch_all(&mut *connection).await?;
    let mut records = rows.iter().map(record_of).collect::<Result<Vec<_>, _>>()?;
    for record in &mut records {
        record.totals = totals_of(connection, record.id).await?;
    }
    let count = format!("SELECT COUNT(*) AS total FROM billing_runs r {condition}");
    let total = sqlx::query(AssertSqlSafe(count)).bind(scope).fetch_one(connection).await?.try_get("total")?;
    Ok((records, total))
}

/// Runs that were going on when the process ended.
///
/// # Errors
/// As the database.
pub async fn unfinished(connection: &mut AnyConnection) -> Result<Vec<RunRecord>, LedgerError> {
    let sql = format!("{SELECT} WHERE r.active_key IS NOT NULL ORDER BY r.started_at, r.id");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(record_of).collect()
}

async fn totals_of(
    connection: &mut AnyConnection,
    run: BillingRunId,
) -> Result<BTreeMap<Currency, MinorUnits>, LedgerError> {
    let query = sqlx::query("SELECT currency, total_cents FROM billing_run_totals WHERE run_id = $1");
    let rows = query.bind(run.to_string()).fetch_all(connection).await?;
    rows.iter()
        .map(|row| Ok((super::read_currency(row, "currency")?, MinorUnits(row.try_get("total_cents")?))))
        .collect()
}

fn record_of(row: &AnyRow) -> Result<RunRecord, LedgerError> {
    let organization: Option<String> = row.try_get("organization_id")?;
    let organization = organization
        .map(|text| text.parse().map_err(|_| LedgerError::corrupt("billing_runs.organization_id", &text)))
        .transpose()?;
    let cut = match (row.try_get::<Option<String>, _>("cut_id")?, row.try_get::<Option<String>, _>("positions")?) {
        (Some(id), Some(positions)) => Some((id, serde_json::from_str(&positions)?)),
        _ => None,
    };
    Ok(RunRecord {
        id: BillingRunId(read_uuid(row, "id")?),
        scope: RunScope {
            organization,
            as_of: Timestamp(row.try_get("as_of")?),
            dry_run: row.try_get::<i64, _>("dry_run")? != 0,
            reach: reach_of(row.try_get("reach")?)?,
        },
        status: row.try_get::<&str, _>("status")?.parse()?,
        cut,
        subscriptions_total: row.try_get("subscriptions_total")?,
        subscriptions_done: row.try_get("subscriptions_done")?,
        invoices_created: row.try_get("invoices_created")?,
        totals: BTreeMap::new(),
        started_at: Timestamp(row.try_get("started_at")?),
        finished_at: row.try_get::<Option<i64>, _>("finished_at")?.map(Timestamp),
        error: row.try_get("error")?,
    })
}

fn reach_text(reach: Reach) -> &'static str {
    match reach {
        Reach::Everything => "everything",
        Reach::SinceCreation => "since_creation",
    }
}

fn reach_of(text: &str) -> Result<Reach, LedgerError> {
    match text {
        "everything" => Ok(Reach::Everything),
        "since_creation" => Ok(Reach::SinceCreation),
        _ => Err(LedgerError::corrupt("billing_runs.reach", text)),
    }
}
