//! What rating and billing read: everything they need of the catalog, in a fixed number of queries however many rows there are.
//!
//! Five queries: organizations, customers, subscriptions, plan versions, metric versions. They run in one read transaction, so
//! that they show one state of the catalog. Columns are read by position: by name each would cost a hash of its name, four
//! million times for 300,000 subscriptions.

use crate::catalog::Catalog;
use crate::columns::from_name;
use crate::database::{Database, DatabaseError, Dialect};
use crate::plan::document::PlanDocument;
use domain::catalog::{Customer, Metric, Plan, Subscription};
use domain::ids::{CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::money::Currency;
use domain::time::Timestamp;
use futures::TryStreamExt;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

/// Whose subscriptions to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BillingScope {
    /// All organizations'.
    All,
    /// One organization's.
    Organization(OrganizationId),
    /// All of one customer, which decides whose an event is that names only the customer; and all that ever had one of their
    /// external ids, which decides whose an event is that names only the subscription.
    Customer(OrganizationId, CustomerId),
    /// One.
    Subscription(OrganizationId, SubscriptionId),
}

/// An organization as billing needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingOrganization {
    /// Shown on invoices.
    pub name: String,
    /// ISO 4217.
    pub default_currency: Currency,
    /// IANA.
    pub timezone: String,
    /// Whether it has a clock of its own.
    pub sandbox: bool,
    /// What that clock shows; absent: the machine's time.
    pub clock: Option<Timestamp>,
}

/// What rating and billing need of the catalog, in one consistent state.
#[derive(Clone, Debug, Default)]
pub struct BillingCatalog {
    /// By organization, then oldest first.
    pub subscriptions: Vec<Subscription>,
    /// Customers of these subscriptions.
    pub customers: HashMap<CustomerId, Customer>,
    /// All versions of each plan of the organizations, oldest first.
    pub plans: HashMap<PlanId, Vec<Plan>>,
    /// All versions of each metric of the organizations, oldest first.
    pub metrics: HashMap<MetricId, Vec<Metric>>,
    /// The organizations.
    pub organizations: HashMap<OrganizationId, BillingOrganization>,
}

/// The conditions of a scope on `subscriptions`, `customers`, and tables with an `organization_id`; `$1` is [`Conditions::id`],
/// `$2` the organization.
struct Conditions {
    organization: Option<OrganizationId>,
    id: String,
    subscriptions: &'static str,
    customers: &'static str,
}

impl BillingScope {
    fn conditions(self) -> Conditions {
        match self {
            Self::All => Conditions {
                organization: None,
                id: String::new(),
                subscriptions: "$1 = '' AND $2 = ''",
                customers: "$1 = '' AND $2 = ''",
            },
            Self::Organization(organization) => Conditions {
                organization: Some(organization),
                id: String::new(),
                subscriptions: "$1 = '' AND organization_id = $2",
                customers: "$1 = '' AND organization_id = $2",
            },
            Self::Customer(organization, customer) => Conditions {
                organization: Some(organization),
                id: customer.to_string(),
                subscriptions: "organization_id = $2 AND external_id IN \
                    (SELECT external_id FROM subscriptions WHERE customer_id = $1 AND organization_id = $2)",
                customers: "organization_id = $2 AND (id = $1 OR id IN (SELECT customer_id FROM subscriptions \
                    WHERE organization_id = $2 AND external_id IN \
                    (SELECT external_id FROM subscriptions WHERE customer_id = $1 AND organization_id = $2)))",
            },
            Self::Subscription(organization, subscription) => Conditions {
                organization: Some(organization),
                id: subscription.to_string(),
                subscriptions: "id = $1 AND organization_id = $2",
                customers: "id = (SELECT customer_id FROM subscriptions WHERE id = $1) AND organization_id = $2",
            },
        }
    }
}

impl Catalog {
    /// Reads all that billing the scope needs.
    ///
    /// # Errors
    /// When the database fails, or a stored value cannot be read.
    pub async fn billing_catalog(&self, scope: BillingScope) -> Result<BillingCatalog, DatabaseError> {
        let conditions = scope.conditions();
        // REPEATABLE READ gives PostgreSQL the one state that SQLite's transactions show anyway.
        let begin = match self.database().dialect() {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ",
        };
        let mut read = self.database().pool().begin_with(begin).await?;
        let catalog = BillingCatalog {
            organizations: organizations(&mut read, &conditions).await?,
            subscriptions: subscriptions(&mut read, &conditions).await?,
            customers: customers(&mut read, &conditions).await?,
            plans: plans(&mut read, &conditions).await?,
            metrics: metrics(&mut read, &conditions).await?,
        };
        read.commit().await?;
        Ok(catalog)
    }
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
    let row = sqlx::query(AssertSqlSafe(format!("SELECT {tables} AS mark"))).fetch_one(database.pool()).await?;
    Ok(row.try_get("mark")?)
}

/// Runs a query of `$1` (id) and `$2` (organization) and reads each row.
async fn each_row(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    select: String,
    mut read: impl FnMut(&AnyRow) -> Result<(), DatabaseError>,
) -> Result<(), DatabaseError> {
    let organization = conditions.organization.map(|id| id.to_string()).unwrap_or_default();
    let query = sqlx::query(AssertSqlSafe(select)).bind(conditions.id.clone()).bind(organization);
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        read(&row)?;
    }
    Ok(())
}

const OF_ORGANIZATION: &str = "($1 = $1) AND ($2 = '' OR organization_id = $2)";

async fn organizations(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<HashMap<OrganizationId, BillingOrganization>, DatabaseError> {
    let select = "SELECT id, name, default_currency, timezone, sandbox, clock FROM organizations \
         WHERE ($1 = $1) AND ($2 = '' OR id = $2)";
    let mut all = HashMap::new();
    each_row(connection, conditions, select.to_string(), |row| {
        let organization = BillingOrganization {
            name: row.try_get(1)?,
            default_currency: parsed(row, 2)?,
            timezone: row.try_get(3)?,
            sandbox: row.try_get::<i64, _>(4)? != 0,
            clock: instant(row, 5)?,
        };
        all.insert(parsed(row, 0)?, organization);
        Ok(())
    })
    .await?;
    Ok(all)
}

async fn subscriptions(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<Vec<Subscription>, DatabaseError> {
    let select = format!(
        "SELECT id, organization_id, external_id, customer_id, plan_id, status, billing_time, pay_in_advance, \
         trial_period_days, started_at, activated_at, ended_at, ending_at, created_at FROM subscriptions WHERE {} \
         ORDER BY organization_id, created_at, id",
        conditions.subscriptions
    );
    let mut all = Vec::new();
    each_row(connection, conditions, select, |row| {
        all.push(subscription(row)?);
        Ok(())
    })
    .await?;
    Ok(all)
}

fn subscription(row: &AnyRow) -> Result<Subscription, DatabaseError> {
    let activated = instant(row, 10)?;
    Ok(Subscription {
        id: parsed(row, 0)?,
        organization: parsed(row, 1)?,
        external_id: row.try_get(2)?,
        customer_id: parsed(row, 3)?,
        plan_id: parsed(row, 4)?,
        status: named(row, 5)?,
        billing_time: named(row, 6)?,
        pay_in_advance: row.try_get::<i64, _>(7)? != 0,
        trial_period_days: small(row, 8)?,
        // A planned start is not yet one, and a subscription that ended before it never had one.
        started_at: activated.and(instant(row, 9)?),
        // A planned end cuts usage off at its instant, also before the clock has ended the subscription.
        ended_at: instant(row, 11)?.or(instant(row, 12)?),
        created_at: Timestamp(row.try_get(13)?),
    })
}

async fn customers(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<HashMap<CustomerId, Customer>, DatabaseError> {
    let select = format!(
        "SELECT id, organization_id, external_id, name, timezones, net_payment_term, invoice_grace_period \
         FROM customers WHERE {}",
        conditions.customers
    );
    let mut all = HashMap::new();
    each_row(connection, conditions, select, |row| {
        let customer = customer(row)?;
        all.insert(customer.id, customer);
        Ok(())
    })
    .await?;
    Ok(all)
}

fn customer(row: &AnyRow) -> Result<Customer, DatabaseError> {
    let zones: Vec<(i64, String)> = document(row, 4, "time zones of a customer")?;
    Ok(Customer {
        id: parsed(row, 0)?,
        organization: parsed(row, 1)?,
        external_id: row.try_get(2)?,
        name: row.try_get(3)?,
        timezones: zones.into_iter().map(|(from, zone)| (Timestamp(from), zone)).collect(),
        net_payment_term_days: small(row, 5)?,
        invoice_grace_period_days: small(row, 6)?,
    })
}

async fn plans(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<HashMap<PlanId, Vec<Plan>>, DatabaseError> {
    let select = format!("SELECT document FROM plan_versions WHERE {OF_ORGANIZATION} ORDER BY plan_id, version");
    let mut all: HashMap<PlanId, Vec<Plan>> = HashMap::new();
    each_row(connection, conditions, select, |row| {
        let version: PlanDocument = document(row, 0, "version of a plan")?;
        all.entry(version.plan.id).or_default().push(version.plan);
        Ok(())
    })
    .await?;
    Ok(all)
}

async fn metrics(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<HashMap<MetricId, Vec<Metric>>, DatabaseError> {
    let select =
        format!("SELECT document FROM billable_metric_versions WHERE {OF_ORGANIZATION} ORDER BY metric_id, version");
    let mut all: HashMap<MetricId, Vec<Metric>> = HashMap::new();
    each_row(connection, conditions, select, |row| {
        let version: Metric = document(row, 0, "version of a metric")?;
        all.entry(version.id).or_default().push(version);
        Ok(())
    })
    .await?;
    Ok(all)
}

fn parsed<T: FromStr<Err: Display>>(row: &AnyRow, column: usize) -> Result<T, DatabaseError> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|fault| DatabaseError::unreadable("id", fault))
}

fn named<T: serde::de::DeserializeOwned>(row: &AnyRow, column: usize) -> Result<T, DatabaseError> {
    let name: &str = row.try_get(column)?;
    from_name(name).map_err(|fault| DatabaseError::unreadable("name", fault))
}

fn document<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|fault| DatabaseError::unreadable(what, fault))
}

fn small(row: &AnyRow, column: usize) -> Result<u32, DatabaseError> {
    let value: i64 = row.try_get(column)?;
    u32::try_from(value).map_err(|fault| DatabaseError::unreadable("number of days", fault))
}

fn instant(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, DatabaseError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}
