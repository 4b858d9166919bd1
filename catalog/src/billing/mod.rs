//! What rating and billing read: everything they need of the catalog, in a fixed number of queries however many rows there are.
//!
//! Nine queries: organizations, customers, subscriptions, plan versions, metric versions, taxes, their attachments, billing entities,
//! and who names one. They run in one read transaction, so
//! that they show one state of the catalog. Customers and subscriptions cross the border many in one value ([`packed`]).

mod packed;
mod terms;
mod terms_storage;

pub use terms::{BillingTerms, EntityTerms, PlanTerms, Tax, TaxedBy, Threshold, UnknownTax};

use crate::billing::packed::{Packed, Packing};
use crate::catalog::Catalog;
use crate::database::{Database, DatabaseError, Dialect};
use crate::plan::document::PlanDocument;
use crate::subscription::wire::TerminationAction;
use domain::catalog::{Customer, Ending, Metric, Plan, Subscription, UnusedAdvance};
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
    /// Taxes, billing entities, commitments.
    pub terms: BillingTerms,
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
                // Written so that SQLite begins at the ids: by the index on organization_id it reads every customer of it,
                // 9 ms among 75,000. COALESCE changes nothing but that.
                customers: "COALESCE(organization_id, '') = $2 AND id IN (SELECT CAST($1 AS TEXT) UNION SELECT customer_id \
                    FROM subscriptions WHERE organization_id = $2 AND external_id IN \
                    (SELECT external_id FROM subscriptions WHERE customer_id = $1 AND organization_id = $2))",
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
        let mut read = self.database().begin(begin).await?;
        let mut terms = terms_storage::read(&mut read, &conditions).await?;
        let catalog = BillingCatalog {
            organizations: organizations(&mut read, &conditions).await?,
            subscriptions: subscriptions(&mut read, &conditions).await?,
            customers: customers(&mut read, &conditions).await?,
            plans: plans(&mut read, &conditions, &mut terms).await?,
            metrics: metrics(&mut read, &conditions).await?,
            terms,
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
    let tables = [
        "organizations",
        "customers",
        "plans",
        "billable_metrics",
        "subscriptions",
        "subscription_thresholds",
        "taxes",
        "billing_entities",
    ];
    let tables = tables.map(sum).join(" || ' ' || ");
    let row = sqlx::query(AssertSqlSafe(format!("SELECT {tables} AS mark"))).fetch_one(database.pool()).await?;
    Ok(row.try_get("mark")?)
}

/// Whether any version of a plan may have a charge that is paid in advance. True of plans whose flat fee alone is, too: it looks
/// at the documents' text, of which there are as many as versions of plans.
///
/// # Errors
/// When the database cannot be read.
pub async fn may_charge_in_advance(database: &Database) -> Result<bool, DatabaseError> {
    // As serde_json writes it: no space.
    let sql = r#"SELECT plan_id FROM plan_versions WHERE document LIKE '%"pay_in_advance":true%' LIMIT 1"#;
    Ok(sqlx::query(sql).fetch_optional(database.pool()).await?.is_some())
}

/// Whether any subscription may have a usage threshold, by its own or by any version of a plan; as narrow a question as
/// [`may_charge_in_advance`].
///
/// # Errors
/// When the database cannot be read.
pub async fn may_have_thresholds(database: &Database) -> Result<bool, DatabaseError> {
    let sql = r#"SELECT id FROM subscription_thresholds
                 UNION ALL SELECT plan_id FROM plan_versions WHERE document LIKE '%"usage_thresholds":[{%' LIMIT 1"#;
    Ok(sqlx::query(sql).fetch_optional(database.pool()).await?.is_some())
}

/// What the clocks of sandboxes show; absent: the machine's time.
///
/// # Errors
/// When the database cannot be read.
pub async fn sandbox_clocks(database: &Database) -> Result<HashMap<OrganizationId, Option<Timestamp>>, DatabaseError> {
    let rows = sqlx::query("SELECT id, clock FROM organizations WHERE sandbox = 1").fetch_all(database.pool()).await?;
    rows.iter().map(|row| Ok((parsed(row, 0)?, instant(row, 1)?))).collect()
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
    let packing = Packing::fixed(&[
        "id",
        "organization_id",
        "customer_id",
        "plan_id",
        "status",
        "billing_time",
        "pay_in_advance",
        "trial_period_days",
        "created_at",
        "started_at",
        "activated_at",
        "ended_at",
        "ending_at",
        "anchor_at",
        "ended_by_change",
        "on_termination_action",
        "on_termination_credit_note",
    ])
    .free("external_id");
    let mut all = Vec::new();
    each_row(connection, conditions, packing.query("subscriptions", conditions.subscriptions), |row| {
        let mut packed = Packed::new(row.try_get(0)?);
        while packed.has_row() {
            all.push(subscription(&mut packed)?);
        }
        Ok(())
    })
    .await?;
    all.sort_unstable_by_key(|row: &Subscription| (row.organization, row.created_at, row.id));
    Ok(all)
}

fn subscription(packed: &mut Packed<'_>) -> Result<Subscription, DatabaseError> {
    // Fields of a struct expression are evaluated in the order written: that of the packing.
    let mut read = Subscription {
        id: packed.parsed()?,
        organization: packed.parsed()?,
        customer_id: packed.parsed()?,
        plan_id: packed.parsed()?,
        status: packed.named()?,
        billing_time: packed.named()?,
        pay_in_advance: packed.flag()?,
        trial_period_days: packed.parsed()?,
        created_at: Timestamp(packed.parsed()?),
        started_at: packed.optional_instant()?,
        ended_at: None,
        external_id: String::new(),
        anchor_at: None,
        ending: Ending::Bills,
        unused_advance: UnusedAdvance::Credit,
    };
    let (activated_at, ended_at, ending_at) =
        (packed.optional_instant()?, packed.optional_instant()?, packed.optional_instant()?);
    read.anchor_at = packed.optional_instant()?;
    let (handed_over, action): (bool, TerminationAction) = (packed.flag()?, packed.named()?);
    read.ending = match action {
        _ if handed_over => Ending::HandsOver,
        TerminationAction::GenerateInvoice => Ending::Bills,
        TerminationAction::GenerateCreditNote | TerminationAction::Skip => Ending::BillsNothing,
    };
    let unused: UnusedAdvance = packed.named()?;
    read.unused_advance = match action {
        TerminationAction::Skip if !handed_over => UnusedAdvance::Skip,
        _ => unused,
    };
    packed.free()?.clone_into(&mut read.external_id);
    // A planned start is not yet one, and a subscription that ended before it never had one.
    read.started_at = activated_at.and(read.started_at);
    // A planned end cuts usage off at its instant, also before the clock has ended the subscription.
    read.ended_at = ended_at.or(ending_at);
    Ok(read)
}

async fn customers(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<HashMap<CustomerId, Customer>, DatabaseError> {
    let packing = Packing::fixed(&["id", "organization_id", "net_payment_term", "invoice_grace_period"])
        .free("external_id")
        .free("name")
        .free("timezones");
    let mut all = HashMap::new();
    each_row(connection, conditions, packing.query("customers", conditions.customers), |row| {
        let mut packed = Packed::new(row.try_get(0)?);
        while packed.has_row() {
            let customer = customer(&mut packed)?;
            all.insert(customer.id, customer);
        }
        Ok(())
    })
    .await?;
    Ok(all)
}

fn customer(packed: &mut Packed<'_>) -> Result<Customer, DatabaseError> {
    // Fields of a struct expression are evaluated in the order written: that of the packing.
    Ok(Customer {
        id: packed.parsed()?,
        organization: packed.parsed()?,
        net_payment_term_days: packed.parsed()?,
        invoice_grace_period_days: packed.parsed()?,
        external_id: packed.free()?.to_owned(),
        name: packed.free()?.to_owned(),
        timezones: zones(packed.free()?)?,
    })
}

fn zones(stored: &str) -> Result<Vec<(Timestamp, String)>, DatabaseError> {
    let zones: Vec<(i64, String)> =
        serde_json::from_str(stored).map_err(|fault| DatabaseError::unreadable("time zones of a customer", fault))?;
    Ok(zones.into_iter().map(|(from, zone)| (Timestamp(from), zone)).collect())
}

async fn plans(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    terms: &mut BillingTerms,
) -> Result<HashMap<PlanId, Vec<Plan>>, DatabaseError> {
    let select = format!("SELECT document FROM plan_versions WHERE {OF_ORGANIZATION} ORDER BY plan_id, version");
    let mut all: HashMap<PlanId, Vec<Plan>> = HashMap::new();
    each_row(connection, conditions, select, |row| {
        let version = document::<PlanDocument>(row, 0, "version of a plan")?.for_rating();
        terms.plans.insert((version.plan.id, version.plan.version), PlanTerms::of(&version));
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

fn document<T: serde::de::DeserializeOwned>(
    row: &AnyRow,
    column: usize,
    what: &'static str,
) -> Result<T, DatabaseError> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text).map_err(|fault| DatabaseError::unreadable(what, fault))
}

fn instant(row: &AnyRow, column: usize) -> Result<Option<Timestamp>, DatabaseError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}
