//! Rules by which wallets are filled up: at intervals, or as their balance falls to a threshold.

use super::{LedgerError, read_uuid};
use domain::ids::OrganizationId;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// Seven days.
    Week,
    /// A month.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

impl Every {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Week, "weekly"), (Self::Month, "monthly"), (Self::Quarter, "quarterly"), (Self::Year, "yearly")];

    /// The text in the ledger and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(every, _)| *every == self).map_or("", |(_, text)| text)
    }

    fn of(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(every, _)| *every)
    }
}

/// When a rule fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// At the anchor plus once, twice, … this.
    Interval(Every),
    /// As the balance is at most this.
    Threshold(MinorUnits),
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Which wallet.
    pub wallet: Uuid,
    /// When.
    pub cause: Cause,
    /// What is given.
    pub granted: MinorUnits,
    /// What is sold.
    pub paid: MinorUnits,
    /// Where intervals are counted from.
    pub anchor: Timestamp,
    /// How often it has filled up.
    pub times: i64,
    /// When it fills up next, of an interval.
    pub next_at: Option<Timestamp>,
    /// From when on it does not.
    pub expires_at: Option<Timestamp>,
}

/// Writes a rule.
///
/// # Errors
/// As the database.
pub async fn insert(connection: &mut AnyConnection, rule: &Rule, now: Timestamp) -> Result<(), LedgerError> {
    let (cause, every, threshold) = match rule.cause {
        Cause::Interval(every) => ("interval", Some(every.as_str()), None),
        Cause::Threshold(at) => ("threshold", None, Some(at.0)),
    };
    sqlx::query(
        "INSERT INTO wallet_rules (id, organization_id, wallet_id, cause, every, threshold_cents, granted_cents, paid_cents,
             anchor_at, times, next_at, expires_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(rule.id.to_string())
    .bind(rule.organization.to_string())
    .bind(rule.wallet.to_string())
    .bind(cause)
    .bind(every)
    .bind(threshold)
    .bind(rule.granted.0)
    .bind(rule.paid.0)
    .bind(rule.anchor.0)
    .bind(rule.times)
    .bind(rule.next_at.map(|at| at.0))
    .bind(rule.expires_at.map(|at| at.0))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The rules of a wallet, oldest first.
///
/// # Errors
/// As the database.
pub async fn of_wallet(connection: &mut AnyConnection, wallet: Uuid) -> Result<Vec<Rule>, LedgerError> {
    let sql = "SELECT * FROM wallet_rules WHERE wallet_id = $1 ORDER BY created_at, id";
    let rows = sqlx::query(sql).bind(wallet.to_string()).fetch_all(connection).await?;
    rows.iter().map(rule_of).collect()
}

/// A wallet's rules go.
///
/// # Errors
/// As the database.
pub async fn clear(connection: &mut AnyConnection, wallet: Uuid) -> Result<(), LedgerError> {
    sqlx::query("DELETE FROM wallet_rules WHERE wallet_id = $1").bind(wallet.to_string()).execute(connection).await?;
    Ok(())
}

/// Rules that fill up by `now`, of one organization or all: intervals that are over, and balances at their threshold while no
/// top-up of the wallet waits to be paid.
///
/// # Errors
/// As the database.
pub async fn due(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
    now: Timestamp,
) -> Result<Vec<Rule>, LedgerError> {
    let organization = organization.map(|id| id.to_string()).unwrap_or_default();
    let mut found = Vec::new();
    for sql in [
        "SELECT * FROM wallet_rules WHERE next_at IS NOT NULL AND next_at <= $1 AND ($2 = '' OR organization_id = $2)
         ORDER BY next_at, id",
        "SELECT r.* FROM wallet_rules r JOIN credit_accounts a ON a.id = r.wallet_id
         WHERE r.threshold_cents IS NOT NULL AND a.balance <= r.threshold_cents AND a.spendable = 1
             AND (r.expires_at IS NULL OR r.expires_at > $1) AND ($2 = '' OR r.organization_id = $2) AND NOT EXISTS
             (SELECT 1 FROM wallet_top_ups t WHERE t.wallet_id = r.wallet_id AND t.status = 'pending') ORDER BY r.id",
    ] {
        let rows = sqlx::query(sql).bind(now.0).bind(organization.clone()).fetch_all(&mut *connection).await?;
        for row in &rows {
            found.push(rule_of(row)?);
        }
    }
    Ok(found)
}

/// Moves an interval's rule on; false: somebody else did.
///
/// # Errors
/// As the database.
pub async fn advance(
    connection: &mut AnyConnection,
    rule: &Rule,
    next_at: Option<Timestamp>,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE wallet_rules SET times = times + 1, next_at = $3 WHERE id = $1 AND times = $2";
    let moved = sqlx::query(sql)
        .bind(rule.id.to_string())
        .bind(rule.times)
        .bind(next_at.map(|at| at.0))
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// The first instant after `after` and up to `until` at which an interval ends or a wallet expires.
///
/// # Errors
/// As the database.
pub async fn next(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    until: Timestamp,
) -> Result<Option<Timestamp>, LedgerError> {
    let row = sqlx::query(
        "SELECT CAST(MIN(due_at) AS BIGINT) AS next FROM (
             SELECT next_at AS due_at FROM wallet_rules WHERE organization_id = $1 AND next_at IS NOT NULL
             UNION ALL SELECT w.expires_at FROM wallets w WHERE w.organization_id = $1 AND w.expires_at IS NOT NULL
                 AND w.terminated_at IS NULL AND NOT EXISTS
                 (SELECT 1 FROM wallet_top_ups t WHERE t.wallet_id = w.id AND t.status = 'pending')) AS events
         WHERE due_at <= $2",
    )
    .bind(organization.to_string())
    .bind(until.0)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get::<Option<i64>, _>("next")?.map(Timestamp))
}

fn rule_of(row: &AnyRow) -> Result<Rule, LedgerError> {
    let instant = |column: &str| Ok::<_, LedgerError>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    let every: Option<&str> = row.try_get("every")?;
    let cause = match every {
        Some(text) => Cause::Interval(Every::of(text).ok_or_else(|| LedgerError::corrupt("wallet_rules.every", text))?),
        None => Cause::Threshold(MinorUnits(row.try_get("threshold_cents")?)),
    };
    Ok(Rule {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        wallet: read_uuid(row, "wallet_id")?,
        cause,
        granted: MinorUnits(row.try_get("granted_cents")?),
        paid: MinorUnits(row.try_get("paid_cents")?),
        anchor: Timestamp(row.try_get("anchor_at")?),
        times: row.try_get("times")?,
        next_at: instant("next_at")?,
        expires_at: instant("expires_at")?,
    })
}
