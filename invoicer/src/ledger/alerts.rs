//! Usage alerts and their firings.
//!
//! An alert counts how often it fired in the period it was looked at last; a firing is unique per alert, threshold, period and
//! count, so that whoever finds it twice writes it once.

use super::bulk::{BulkInsert, Cell, query_with, rows_in};
use super::invoices::PageOf;
use super::{LedgerError, read_quantity, read_uuid};
use domain::ids::{MetricId, OrganizationId, SubscriptionId};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// The tables.
pub(super) const MIGRATION: &str = "
CREATE TABLE usage_alerts (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    metric_id TEXT NOT NULL,
    metric_code TEXT NOT NULL,
    threshold_value TEXT NOT NULL,
    recurring BIGINT NOT NULL,
    name TEXT,
    times_triggered BIGINT NOT NULL,
    period_start BIGINT,
    triggered_at BIGINT,
    looked_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX usage_alerts_by_creation ON usage_alerts (organization_id, created_at, id);
CREATE INDEX usage_alerts_by_subscription ON usage_alerts (subscription_id);
CREATE INDEX usage_alerts_to_look_at ON usage_alerts (subscription_id) WHERE looked_at = 0;

CREATE TABLE usage_alert_triggers (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    alert_id TEXT NOT NULL REFERENCES usage_alerts (id),
    period_start BIGINT NOT NULL,
    times BIGINT NOT NULL,
    current_usage TEXT NOT NULL,
    threshold_value TEXT NOT NULL,
    metric_code TEXT NOT NULL,
    triggered_at BIGINT NOT NULL,
    UNIQUE (alert_id, threshold_value, period_start, times)
);
CREATE INDEX usage_alert_triggers_by_alert ON usage_alert_triggers (alert_id, triggered_at, id);
CREATE INDEX usage_alert_triggers_by_organization ON usage_alert_triggers (organization_id);
";

/// An alert as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAlert {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Whose usage.
    pub subscription: SubscriptionId,
    /// Of which metric.
    pub metric: MetricId,
    /// Its code.
    pub metric_code: String,
    /// How much of it.
    pub threshold: Quantity,
    /// Fires at each multiple, not only at the first.
    pub recurring: bool,
    /// Title.
    pub name: Option<String>,
    /// How often it fired in the period it was looked at last; of a recurring one the multiple that was reached.
    pub times_triggered: i64,
    /// Start of that period.
    pub period_start: Option<Timestamp>,
    /// When it fired last.
    pub triggered_at: Option<Timestamp>,
    /// Grows with each change by hand.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A firing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// Its id.
    pub id: Uuid,
    /// Which alert.
    pub alert: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Start of the period it fired in.
    pub period_start: Timestamp,
    /// How often it had fired then.
    pub times: i64,
    /// Usage that was found.
    pub usage: Quantity,
    /// What it was compared with.
    pub threshold: Quantity,
    /// Code of the metric.
    pub metric_code: String,
    /// By the organization's clock.
    pub at: Timestamp,
}

/// Differs once an alert is made or deleted; absent while there are none.
///
/// # Errors
/// As the database.
pub async fn mark(connection: &mut AnyConnection) -> Result<Option<String>, LedgerError> {
    // Residues of a prime, because whole microseconds would overflow the sum.
    let sql = "SELECT COUNT(*) AS alerts, CAST(COALESCE(SUM(created_at % 1000003), 0) AS BIGINT) AS instants FROM usage_alerts";
    let row = sqlx::query(sql).fetch_one(connection).await?;
    let (alerts, instants): (i64, i64) = (row.try_get("alerts")?, row.try_get("instants")?);
    Ok((alerts > 0).then(|| format!("{alerts}:{instants}")))
}

/// All of them.
///
/// # Errors
/// As the database.
pub async fn all(connection: &mut AnyConnection) -> Result<Vec<StoredAlert>, LedgerError> {
    sqlx::query("SELECT * FROM usage_alerts").fetch_all(connection).await?.iter().map(alert_of).collect()
}

/// Those of these subscriptions.
///
/// # Errors
/// As the database.
pub async fn of_subscriptions(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<Vec<StoredAlert>, LedgerError> {
    let sql = |list: &str| format!("SELECT * FROM usage_alerts WHERE subscription_id IN ({list}) ORDER BY id");
    rows_in(connection, subscriptions, sql).await?.iter().map(alert_of).collect()
}

/// Subscriptions with an alert that is new, was changed, or could not be looked at.
///
/// # Errors
/// As the database.
pub async fn to_look_at(connection: &mut AnyConnection) -> Result<Vec<SubscriptionId>, LedgerError> {
    let rows =
        sqlx::query("SELECT DISTINCT subscription_id FROM usage_alerts WHERE looked_at = 0").fetch_all(connection);
    rows.await?.iter().map(|row| Ok(SubscriptionId(read_uuid(row, "subscription_id")?))).collect()
}

/// A page of an organization's alerts, of one subscription or all, and how many there are.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    subscription: Option<SubscriptionId>,
    page: &PageOf,
) -> Result<(Vec<StoredAlert>, i64), LedgerError> {
    let mut values = vec![organization.to_string()];
    values.extend(subscription.map(|id| id.to_string()));
    let of_subscription = if subscription.is_some() { " AND subscription_id = $2" } else { "" };
    let (limit, skip) = (values.len() + 1, values.len() + 2);
    let from = format!("FROM usage_alerts WHERE organization_id = $1{of_subscription}");
    let sql = format!("SELECT * {from} ORDER BY {} LIMIT ${limit} OFFSET ${skip}", page.order);
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = format!("SELECT COUNT(*) AS total {from}");
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(alert_of).collect::<Result<_, _>>()?, total))
}

/// One alert.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredAlert>, LedgerError> {
    let sql = "SELECT * FROM usage_alerts WHERE organization_id = $1 AND id = $2";
    let row = sqlx::query(sql).bind(organization.to_string()).bind(id.to_string()).fetch_optional(connection).await?;
    row.map(|row| alert_of(&row)).transpose()
}

/// Writes a new alert.
///
/// # Errors
/// As the database.
pub async fn insert(connection: &mut AnyConnection, alert: &StoredAlert) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO usage_alerts (id, organization_id, subscription_id, metric_id, metric_code, threshold_value, recurring,
             name, times_triggered, looked_at, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 1, $9, $9)",
    )
    .bind(alert.id.to_string())
    .bind(alert.organization.to_string())
    .bind(alert.subscription.to_string())
    .bind(alert.metric.to_string())
    .bind(alert.metric_code.clone())
    .bind(alert.threshold.to_string())
    .bind(i64::from(alert.recurring))
    .bind(alert.name.clone())
    .bind(alert.created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Changes name, threshold and kind; with the last two it begins to count anew. Answers false when somebody was first.
///
/// # Errors
/// As the database.
pub async fn update(
    connection: &mut AnyConnection,
    alert: &StoredAlert,
    counts_anew: bool,
) -> Result<bool, LedgerError> {
    let anew = if counts_anew { ", times_triggered = 0, period_start = NULL, looked_at = 0" } else { "" };
    let sql = format!(
        "UPDATE usage_alerts SET threshold_value = $3, recurring = $4, name = $5, updated_at = $6, version = version + 1{anew}
         WHERE id = $1 AND version = $2"
    );
    let updated = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(alert.id.to_string())
        .bind(alert.version)
        .bind(alert.threshold.to_string())
        .bind(i64::from(alert.recurring))
        .bind(alert.name.clone())
        .bind(alert.updated_at.0)
        .execute(connection)
        .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deletes an alert with its firings.
///
/// # Errors
/// As the database.
pub async fn delete(connection: &mut AnyConnection, id: Uuid) -> Result<(), LedgerError> {
    for sql in ["DELETE FROM usage_alert_triggers WHERE alert_id = $1", "DELETE FROM usage_alerts WHERE id = $1"] {
        sqlx::query(sql).bind(id.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes down that alerts were looked at, with what they count now. One that was changed by hand meanwhile is left to be looked at
/// again.
///
/// # Errors
/// As the database.
pub async fn note_looked_at(connection: &mut AnyConnection, alerts: &[StoredAlert]) -> Result<(), LedgerError> {
    for alert in alerts {
        sqlx::query(
            "UPDATE usage_alerts SET times_triggered = $3, period_start = $4, triggered_at = $5, looked_at = 1
             WHERE id = $1 AND version = $2",
        )
        .bind(alert.id.to_string())
        .bind(alert.version)
        .bind(alert.times_triggered)
        .bind(alert.period_start.map(|start| start.0))
        .bind(alert.triggered_at.map(|at| at.0))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

const TRIGGERS: BulkInsert = BulkInsert {
    table: "usage_alert_triggers",
    columns: "id, organization_id, alert_id, period_start, times, current_usage, threshold_value, metric_code, triggered_at",
    tail: "ON CONFLICT (alert_id, threshold_value, period_start, times) DO NOTHING",
};

/// Writes firings; one that is there already stays as it is.
///
/// # Errors
/// As the database.
pub async fn note_triggers(connection: &mut AnyConnection, triggers: &[Trigger]) -> Result<(), LedgerError> {
    let row = |one: &Trigger| {
        vec![
            Cell::Text(one.id.to_string()),
            Cell::Text(one.organization.to_string()),
            Cell::Text(one.alert.to_string()),
            Cell::Int(one.period_start.0),
            Cell::Int(one.times),
            Cell::Text(one.usage.to_string()),
            Cell::Text(one.threshold.to_string()),
            Cell::Text(one.metric_code.clone()),
            Cell::Int(one.at.0),
        ]
    };
    TRIGGERS.run(connection, triggers.iter().map(row).collect()).await?;
    Ok(())
}

/// The firings of an alert, newest first, and how many there are.
///
/// # Errors
/// As the database.
pub async fn triggers(
    connection: &mut AnyConnection,
    alert: &StoredAlert,
    (skip, limit): (i64, i64),
) -> Result<(Vec<Trigger>, i64), LedgerError> {
    let sql =
        "SELECT * FROM usage_alert_triggers WHERE alert_id = $1 ORDER BY triggered_at DESC, id DESC LIMIT $2 OFFSET $3";
    let query = sqlx::query(sql).bind(alert.id.to_string()).bind(limit).bind(skip);
    let rows = query.fetch_all(&mut *connection).await?;
    let count = "SELECT COUNT(*) AS total FROM usage_alert_triggers WHERE alert_id = $1";
    let total = sqlx::query(count).bind(alert.id.to_string()).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(trigger_of).collect::<Result<_, _>>()?, total))
}

fn alert_of(row: &AnyRow) -> Result<StoredAlert, LedgerError> {
    let instant = |column: &str| row.try_get::<Option<i64>, _>(column).map(|micros| micros.map(Timestamp));
    Ok(StoredAlert {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        subscription: SubscriptionId(read_uuid(row, "subscription_id")?),
        metric: MetricId(read_uuid(row, "metric_id")?),
        metric_code: row.try_get("metric_code")?,
        threshold: read_quantity("threshold_value", row.try_get("threshold_value")?)?,
        recurring: row.try_get::<i64, _>("recurring")? != 0,
        name: row.try_get("name")?,
        times_triggered: row.try_get("times_triggered")?,
        period_start: instant("period_start")?,
        triggered_at: instant("triggered_at")?,
        version: row.try_get("version")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

fn trigger_of(row: &AnyRow) -> Result<Trigger, LedgerError> {
    Ok(Trigger {
        id: read_uuid(row, "id")?,
        alert: read_uuid(row, "alert_id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        period_start: Timestamp(row.try_get("period_start")?),
        times: row.try_get("times")?,
        usage: read_quantity("current_usage", row.try_get("current_usage")?)?,
        threshold: read_quantity("threshold_value", row.try_get("threshold_value")?)?,
        metric_code: row.try_get("metric_code")?,
        at: Timestamp(row.try_get("triggered_at")?),
    })
}
