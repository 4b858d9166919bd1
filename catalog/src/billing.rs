//! What rating and billing read of the catalog: everything at once, in a fixed number of queries however many rows there are.
//!
//! All versions of plans and metrics come along, because a period is rated by those in force when it began (I3).

use crate::columns::Columns;
use crate::database::{Database, DatabaseError};
use domain::catalog::{Customer, Metric, Plan, Subscription};
use domain::ids::{CustomerId, OrganizationId};
use domain::time::Timestamp;
use futures::TryStreamExt;
use sqlx::AnyPool;
use sqlx::any::AnyRow;

/// How much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingScope {
    /// Every organization.
    Everything,
    /// One organization.
    Organization(OrganizationId),
    /// One customer: its subscriptions, all that share an external id with one of them, and what they depend on.
    Customer(OrganizationId, CustomerId),
}

/// The catalog as rating needs it.
#[derive(Clone, Debug, Default)]
pub struct BillingCatalog {
    /// Customers with the timezones that were in force.
    pub customers: Vec<Customer>,
    /// Subscriptions in every state.
    pub subscriptions: Vec<Subscription>,
    /// Every version of every plan.
    pub plans: Vec<Plan>,
    /// Every version of every metric.
    pub metrics: Vec<Metric>,
}

/// Reads what `scope` names.
///
/// # Errors
/// When the database cannot be read, or holds a row that this program cannot.
pub async fn read(database: &Database, scope: BillingScope) -> Result<BillingCatalog, DatabaseError> {
    let pool = database.pool();
    Ok(BillingCatalog {
        customers: collect(pool, &customers_query(scope), scope, customer).await?,
        subscriptions: collect(pool, &subscriptions_query(scope), scope, subscription).await?,
        plans: collect(pool, &versions_query("plan_versions", scope), scope, |row| row.json("document")).await?,
        metrics: collect(pool, &versions_query("billable_metric_versions", scope), scope, |row| row.json("document"))
            .await?,
    })
}

/// Every sandbox with its clock; absent while it follows the machine's.
///
/// # Errors
/// As [`read`].
pub async fn sandboxes(database: &Database) -> Result<Vec<(OrganizationId, Option<Timestamp>)>, DatabaseError> {
    let rows = sqlx::query("SELECT id, clock FROM organizations WHERE sandbox = 1").fetch_all(database.pool()).await?;
    rows.iter().map(|row| Ok((row.parsed("id")?, row.optional_instant("clock")?))).collect()
}

/// A text that differs, in all likelihood, once anything that billing reads has changed; one scan of narrow columns.
///
/// # Errors
/// When the database cannot be read.
pub async fn change_mark(database: &Database) -> Result<String, DatabaseError> {
    // Residues of a prime, because whole microseconds would overflow the sum.
    let sum = |table: &str| {
        format!(
            "(SELECT CAST(COUNT(*) AS TEXT) || ':' || CAST(COALESCE(SUM(updated_at % 1000003), 0) AS TEXT) FROM {table})"
        )
    };
    let tables =
        ["organizations", "customers", "plans", "billable_metrics", "subscriptions"].map(sum).join(" || ' ' || ");
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {tables} AS mark"))).fetch_one(database.pool()).await?;
    row.text("mark")
}

/// The subscriptions of a scope, as a condition over `subscriptions`; `$1` is the organization, `$2` the customer.
fn subscriptions_in(scope: BillingScope) -> &'static str {
    match scope {
        BillingScope::Everything => "1 = 1",
        BillingScope::Organization(_) => "organization_id = $1",
        BillingScope::Customer(..) => {
            "organization_id = $1 AND external_id IN \
             (SELECT external_id FROM subscriptions WHERE organization_id = $1 AND customer_id = $2)"
        }
    }
}

fn subscriptions_query(scope: BillingScope) -> String {
    format!(
        "SELECT id, organization_id, external_id, customer_id, plan_id, status, billing_time, started_at, ended_at, created_at, \
         pay_in_advance, trial_period_days FROM subscriptions WHERE {}",
        subscriptions_in(scope)
    )
}

fn customers_query(scope: BillingScope) -> String {
    let condition = match scope {
        BillingScope::Everything => "1 = 1".to_owned(),
        BillingScope::Organization(_) => "organization_id = $1".to_owned(),
        BillingScope::Customer(..) => {
            format!("id = $2 OR id IN (SELECT customer_id FROM subscriptions WHERE {})", subscriptions_in(scope))
        }
    };
    format!(
        "SELECT id, organization_id, external_id, name, timezones, net_payment_term, invoice_grace_period FROM customers \
         WHERE {condition}"
    )
}

/// Plans and metrics are few beside subscriptions: an organization's are read whole.
fn versions_query(table: &str, scope: BillingScope) -> String {
    let condition = match scope {
        BillingScope::Everything => "1 = 1",
        BillingScope::Organization(_) | BillingScope::Customer(..) => "organization_id = $1",
    };
    format!("SELECT document FROM {table} WHERE {condition}")
}

async fn collect<T>(
    pool: &AnyPool,
    statement: &str,
    scope: BillingScope,
    read_row: impl Fn(&AnyRow) -> Result<T, DatabaseError>,
) -> Result<Vec<T>, DatabaseError> {
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
    match scope {
        BillingScope::Everything => {}
        BillingScope::Organization(organization) => query = query.bind(organization.to_string()),
        BillingScope::Customer(organization, customer) => {
            query = query.bind(organization.to_string());
            if statement.contains("$2") {
                query = query.bind(customer.to_string());
            }
        }
    }
    let mut rows = query.fetch(pool);
    let mut collected = Vec::new();
    while let Some(row) = rows.try_next().await? {
        collected.push(read_row(&row)?);
    }
    Ok(collected)
}

fn customer(row: &AnyRow) -> Result<Customer, DatabaseError> {
    Ok(Customer {
        id: row.parsed("id")?,
        organization: row.parsed("organization_id")?,
        external_id: row.text("external_id")?,
        name: row.text("name")?,
        timezones: row.json("timezones")?,
        net_payment_term_days: row.small("net_payment_term")?,
        invoice_grace_period_days: row.small("invoice_grace_period")?,
    })
}

fn subscription(row: &AnyRow) -> Result<Subscription, DatabaseError> {
    Ok(Subscription {
        id: row.parsed("id")?,
        organization: row.parsed("organization_id")?,
        external_id: row.text("external_id")?,
        customer_id: row.parsed("customer_id")?,
        plan_id: row.parsed("plan_id")?,
        status: row.named("status")?,
        billing_time: row.named("billing_time")?,
        started_at: row.optional_instant("started_at")?,
        ended_at: row.optional_instant("ended_at")?,
        created_at: row.instant("created_at")?,
        pay_in_advance: row.flag("pay_in_advance")?,
        trial_period_days: row.small("trial_period_days")?,
    })
}
