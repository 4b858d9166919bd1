//! What a run comes to by plan and currency, and which subscriptions stand out. Of a run that wrote, from its fees; of a dry run, from
//! what it wrote down instead.

use super::bulk::{BulkInsert, Cell, LISTED_AT_ONCE, placeholders, query_with};
use super::{LedgerError, read_currency, read_uuid};
use domain::ids::{BillingRunId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeMap, HashMap};

/// One plan in one currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanTotals {
    /// Subscriptions with fees; one that is billed for two periods counts twice.
    pub subscriptions: i64,
    /// Σ fees without taxes.
    pub amount: MinorUnits,
    /// What the same subscriptions were billed for the stretches before, as far as they were.
    pub previous: MinorUnits,
}

/// Totals by plan and currency.
pub type Totals = BTreeMap<(PlanId, Currency), PlanTotals>;

/// A subscription whose bill is far from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// Whose.
    pub subscription: SubscriptionId,
    /// By which plan.
    pub plan: PlanId,
    /// In which currency.
    pub currency: Currency,
    /// What it would be billed.
    pub amount: MinorUnits,
    /// What it was billed for the stretch before.
    pub previous: MinorUnits,
}

/// A row of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// Which plan.
    pub plan: PlanId,
    /// Its code; absent once it was deleted.
    pub code: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// In which currency.
    pub currency: Currency,
    /// What it comes to.
    pub totals: PlanTotals,
}

const OUTLIERS: BulkInsert = BulkInsert {
    table: "billing_run_outliers",
    columns: "run_id, subscription_id, plan_id, currency, amount_cents, previous_cents",
    tail: "ON CONFLICT (run_id, subscription_id, plan_id, currency) DO UPDATE
           SET amount_cents = excluded.amount_cents, previous_cents = excluded.previous_cents",
};

/// Adds what a batch of a dry run comes to.
///
/// # Errors
/// As the database.
pub async fn add(
    connection: &mut AnyConnection,
    run: BillingRunId,
    totals: &Totals,
    outliers: &[Outlier],
) -> Result<(), LedgerError> {
    for ((plan, currency), one) in totals {
        sqlx::query(
            "INSERT INTO billing_run_plans (run_id, plan_id, currency, subscriptions, amount_cents, previous_cents)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (run_id, plan_id, currency) DO UPDATE
             SET subscriptions = billing_run_plans.subscriptions + excluded.subscriptions,
                 amount_cents = billing_run_plans.amount_cents + excluded.amount_cents,
                 previous_cents = billing_run_plans.previous_cents + excluded.previous_cents",
        )
        .bind(run.to_string())
        .bind(plan.to_string())
        .bind(currency.code().to_owned())
        .bind(one.subscriptions)
        .bind(one.amount.0)
        .bind(one.previous.0)
        .execute(&mut *connection)
        .await?;
    }
    let row = |one: &Outlier| {
        vec![
            Cell::Text(run.to_string()),
            Cell::Text(one.subscription.to_string()),
            Cell::Text(one.plan.to_string()),
            Cell::Text(one.currency.code().to_owned()),
            Cell::Int(one.amount.0),
            Cell::Int(one.previous.0),
        ]
    };
    OUTLIERS.run(connection, outliers.iter().map(row).collect()).await?;
    Ok(())
}

/// Forgets what a dry run that broke off had counted: it begins anew.
///
/// # Errors
/// As the database.
pub async fn forget(connection: &mut AnyConnection, run: BillingRunId) -> Result<(), LedgerError> {
    for sql in [
        "DELETE FROM billing_run_plans WHERE run_id = $1",
        "DELETE FROM billing_run_outliers WHERE run_id = $1",
        "DELETE FROM billing_run_totals WHERE run_id = $1",
        "UPDATE billing_runs SET subscriptions_done = 0, invoices_created = 0 WHERE id = $1",
    ] {
        sqlx::query(sql).bind(run.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// What these subscriptions were billed, by kind of fee and by where its stretch ends, as far as that lies in `[from, to]`.
///
/// # Errors
/// As the database.
pub async fn billed_until(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
    (from, to): (Timestamp, Timestamp),
) -> Result<HashMap<(SubscriptionId, String, Timestamp), MinorUnits>, LedgerError> {
    let mut billed = HashMap::new();
    for some in subscriptions.chunks(LISTED_AT_ONCE) {
        let list = placeholders(0, some.len());
        // SUM of BIGINT is NUMERIC on PostgreSQL.
        let sql = format!(
            "SELECT subscription_id, fee_type, period_end, CAST(SUM(amount_cents) AS BIGINT) AS amount FROM fees
             WHERE subscription_id IN ({list}) AND fee_type IN ('subscription', 'charge', 'commitment')
                 AND in_advance IS NULL AND voided = 0 AND period_end >= ${} AND period_end <= ${}
             GROUP BY subscription_id, fee_type, period_end",
            some.len() + 1,
            some.len() + 2
        );
        let ids: Vec<String> = some.iter().map(ToString::to_string).collect();
        for row in query_with(sql, &ids).bind(from.0).bind(to.0).fetch_all(&mut *connection).await? {
            let subscription = SubscriptionId(read_uuid(&row, "subscription_id")?);
            let key = (subscription, row.try_get("fee_type")?, Timestamp(row.try_get("period_end")?));
            billed.insert(key, MinorUnits(row.try_get("amount")?));
        }
    }
    Ok(billed)
}

/// What a run comes to by plan and currency, the largest first.
///
/// # Errors
/// As the database.
pub async fn plans(
    connection: &mut AnyConnection,
    run: BillingRunId,
    dry_run: bool,
) -> Result<Vec<PlanRow>, LedgerError> {
    let from = if dry_run {
        "SELECT plan_id, currency, subscriptions, amount_cents, previous_cents FROM billing_run_plans WHERE run_id = $1"
    } else {
        "SELECT f.plan_id AS plan_id, f.currency AS currency, COUNT(DISTINCT f.subscription_id) AS subscriptions,
             CAST(SUM(f.amount_cents) AS BIGINT) AS amount_cents, CAST(0 AS BIGINT) AS previous_cents
         FROM fees f JOIN invoices i ON i.id = f.invoice_id WHERE i.run_id = $1 AND f.plan_id IS NOT NULL
         GROUP BY f.plan_id, f.currency"
    };
    let sql = format!(
        "SELECT r.plan_id, r.currency, r.subscriptions, r.amount_cents, r.previous_cents, p.code, p.name
         FROM ({from}) r LEFT JOIN plans p ON p.id = r.plan_id ORDER BY r.amount_cents DESC, r.plan_id, r.currency"
    );
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(run.to_string()).fetch_all(connection).await?;
    rows.iter().map(plan_row).collect()
}

fn plan_row(row: &AnyRow) -> Result<PlanRow, LedgerError> {
    Ok(PlanRow {
        plan: PlanId(read_uuid(row, "plan_id")?),
        code: row.try_get("code")?,
        name: row.try_get("name")?,
        currency: read_currency(row, "currency")?,
        totals: PlanTotals {
            subscriptions: row.try_get("subscriptions")?,
            amount: MinorUnits(row.try_get("amount_cents")?),
            previous: MinorUnits(row.try_get("previous_cents")?),
        },
    })
}

/// The subscriptions of a dry run that stand out, those with the largest difference first, and how many there are.
///
/// # Errors
/// As the database.
pub async fn outliers(
    connection: &mut AnyConnection,
    run: BillingRunId,
    limit: i64,
) -> Result<(Vec<Outlier>, i64), LedgerError> {
    let sql = "SELECT subscription_id, plan_id, currency, amount_cents, previous_cents FROM billing_run_outliers
               WHERE run_id = $1 ORDER BY ABS(amount_cents - previous_cents) DESC, subscription_id LIMIT $2";
    let rows = sqlx::query(sql).bind(run.to_string()).bind(limit).fetch_all(&mut *connection).await?;
    let read = |row: &AnyRow| {
        Ok(Outlier {
            subscription: SubscriptionId(read_uuid(row, "subscription_id")?),
            plan: PlanId(read_uuid(row, "plan_id")?),
            currency: read_currency(row, "currency")?,
            amount: MinorUnits(row.try_get("amount_cents")?),
            previous: MinorUnits(row.try_get("previous_cents")?),
        })
    };
    let found = rows.iter().map(read).collect::<Result<_, LedgerError>>()?;
    let count = sqlx::query("SELECT COUNT(*) AS total FROM billing_run_outliers WHERE run_id = $1");
    Ok((found, count.bind(run.to_string()).fetch_one(connection).await?.try_get("total")?))
}
