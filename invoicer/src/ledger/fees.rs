//! Reading fees: one, or a page with the number of all that match. Always inside one organization (I8).

use super::bulk::{query_with, rows_in};
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_uuid};
use crate::model::{FeeKind, FeePayment, FeeVersions, PaidAhead};
use crate::tax::{AppliedTax, Taxed};
use domain::ids::{ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::HashMap;

/// Which fees.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeeFilter {
    /// On one invoice.
    pub invoice: Option<InvoiceId>,
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// Of one subscription.
    pub subscription: Option<SubscriptionId>,
    /// Of this kind.
    pub kind: Option<FeeKind>,
    /// Paid or not.
    pub payment: Option<FeePayment>,
}

/// A fee as it is stored, and as archives hold it: a new member must be optional there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFee {
    /// Its id.
    pub id: FeeId,
    /// Tenant.
    pub organization: OrganizationId,
    /// On which invoice.
    pub invoice: Option<InvoiceId>,
    /// Who owes it.
    pub customer: CustomerId,
    /// For which subscription.
    pub subscription: Option<SubscriptionId>,
    /// Why.
    pub kind: FeeKind,
    /// By which plan.
    pub plan: Option<PlanId>,
    /// By which charge.
    pub charge: Option<ChargeId>,
    /// Which filter and group of the charge.
    pub line_key: String,
    /// Its place on the invoice.
    pub line: i64,
    /// First instant it covers.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// Title.
    pub description: String,
    /// Code of the metric.
    pub metric_code: Option<String>,
    /// Quantity, in its shortest exact form. A text here and below: a product may have more digits than an input may.
    pub units: String,
    /// Price of a unit, in minor units.
    pub unit_amount: String,
    /// What is owed.
    pub amount: MinorUnits,
    /// The same before rounding, in minor units.
    pub precise_amount: String,
    /// Currency of the amounts.
    pub currency: Currency,
    /// Events in it.
    pub events_count: u64,
    /// Fingerprint of the events, 32 hexadecimal digits.
    pub fingerprint: Option<String>,
    /// The cut it was rated at.
    pub cut: Option<Cut>,
    /// The versions it was rated from.
    pub versions: FeeVersions,
    /// What explains the amount; a JSON object.
    pub properties: String,
    /// Its exact share of the invoice's coupons.
    pub coupons: Quantity,
    /// The taxes it bears.
    pub taxes: Vec<AppliedTax>,
    /// What they come to, for showing: rounded by itself (I5).
    pub tax: MinorUnits,
    /// The fee of a closed period that it corrects.
    pub adjusts: Option<FeeId>,
    /// Of usage that is paid in advance: what it is for.
    pub in_advance: Option<PaidAhead>,
    /// Paid or not.
    pub payment: FeePayment,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl StoredFee {
    /// What its taxes are taken of.
    #[must_use]
    pub fn taxable(&self) -> Quantity {
        Taxed { amount: self.amount, coupons: &self.coupons, taxes: &self.taxes }.base()
    }
}

pub(crate) const SELECT: &str = "SELECT f.id, f.organization_id, f.invoice_id, f.customer_id, f.subscription_id, f.fee_type, f.plan_id, f.charge_id, f.line_key, f.line, \
    f.period_start, f.period_end, f.description, f.metric_code, f.units, f.unit_amount_cents, f.amount_cents, \
    f.precise_amount_cents, f.currency, f.events_count, f.event_fingerprint, f.plan_version, f.metric_version, \
    f.properties, f.coupons, f.tax_cents, f.taxes, f.adjusted_fee_id, f.in_advance, f.payment_status, f.created_at, f.updated_at, c.positions \
    FROM fees f LEFT JOIN rating_cuts c ON c.id = f.cut_id";

/// A page of fees and the number of all that match.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: &FeeFilter,
    page: &PageOf,
) -> Result<(Vec<StoredFee>, i64), LedgerError> {
    let (condition, values) = condition(organization, filter);
    let (limit, offset) = (values.len() + 1, values.len() + 2);
    // Paged over ids first: the join with the cuts is made for one page only.
    let sql = format!(
        "{SELECT} WHERE f.id IN (SELECT id FROM fees WHERE {condition} ORDER BY {order} LIMIT ${limit} OFFSET ${offset}) \
         ORDER BY {}",
        page.order_in("f"),
        order = page.order,
    );
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = format!("SELECT COUNT(*) AS total FROM fees WHERE {condition}");
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(fee_of).collect::<Result<_, _>>()?, total))
}

/// Up to `limit` fees of all organizations, beyond `after`, that stand on an issued invoice and whose periods ended in `(from, until]`; by id.
///
/// # Errors
/// As the database.
pub async fn issued_and_ended(
    connection: &mut AnyConnection,
    (from, until): (Timestamp, Timestamp),
    after: FeeId,
    limit: i64,
) -> Result<Vec<StoredFee>, LedgerError> {
    let sql = format!(
        "{SELECT} JOIN invoices i ON i.id = f.invoice_id WHERE f.id > $1 AND f.period_end > $2 AND f.period_end <= $3 \
         AND i.status <> 'draft' ORDER BY f.id LIMIT $4"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(after.to_string()).bind(from.0).bind(until.0).bind(limit);
    query.fetch_all(connection).await?.iter().map(fee_of).collect()
}

/// One fee of an organization.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: FeeId,
) -> Result<Option<StoredFee>, LedgerError> {
    let sql = format!("{SELECT} WHERE f.organization_id = $1 AND f.id = $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(fee_of).transpose()
}

/// The invoice of the flat fee of a subscription that covers `instant`, or is wholly after it; of several the earliest.
///
/// # Errors
/// As the database.
pub async fn flat_fee_beyond(
    connection: &mut AnyConnection,
    subscription: SubscriptionId,
    instant: Timestamp,
) -> Result<Option<InvoiceId>, LedgerError> {
    let sql = "SELECT f.invoice_id FROM fees f JOIN invoices i ON i.id = f.invoice_id
               WHERE f.subscription_id = $1 AND f.fee_type = 'subscription' AND f.voided = 0 AND f.period_end > $2
                   AND f.amount_cents > 0 ORDER BY f.period_start LIMIT 1";
    let row = sqlx::query(sql).bind(subscription.to_string()).bind(instant.0).fetch_optional(connection).await?;
    row.map(|row| read_uuid(&row, "invoice_id").map(InvoiceId)).transpose()
}

/// Up to when the flat fees of these subscriptions reach; those without any are left out.
///
/// # Errors
/// As the database.
pub async fn flat_fees_reach(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<HashMap<SubscriptionId, Timestamp>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "SELECT subscription_id, MAX(period_end) AS reach FROM fees WHERE subscription_id IN ({list})
                 AND fee_type = 'subscription' AND voided = 0 AND amount_cents > 0 GROUP BY subscription_id"
        )
    };
    let mut found = HashMap::new();
    for row in rows_in(connection, subscriptions, sql).await? {
        found.insert(SubscriptionId(read_uuid(&row, "subscription_id")?), Timestamp(row.try_get("reach")?));
    }
    Ok(found)
}

/// One fee of any organization: for the operator's own command line, never behind a route (I8).
///
/// # Errors
/// As the database.
pub async fn get_of_any(connection: &mut AnyConnection, id: FeeId) -> Result<Option<StoredFee>, LedgerError> {
    let sql = format!("{SELECT} WHERE f.id = $1");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(fee_of).transpose()
}

/// Changes text and payment state.
///
/// # Errors
/// As the database.
pub async fn update(
    connection: &mut AnyConnection,
    id: FeeId,
    description: Option<&str>,
    payment: Option<FeePayment>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE fees SET description = COALESCE($2, description), payment_status = COALESCE($3, payment_status),
             updated_at = $4 WHERE id = $1",
    )
    .bind(id.to_string())
    .bind(description.map(str::to_owned))
    .bind(payment.map(|payment| payment.as_str().to_owned()))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn condition(organization: OrganizationId, filter: &FeeFilter) -> (String, Vec<String>) {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("organization_id = $1");
    let mut add = |text: &str, value: Option<String>| {
        if let Some(value) = value {
            values.push(value);
            condition.push_str(&text.replace('?', &format!("${}", values.len())));
        }
    };
    // Nearly every fee is on an invoice, and invoices are found by customer; the others have an index of their own.
    let of_customer = " AND (invoice_id IN (SELECT id FROM invoices WHERE organization_id = $1 AND customer_id = ?)
        OR (invoice_id IS NULL AND customer_id = ?))";
    add(" AND invoice_id = ?", filter.invoice.map(|id| id.to_string()));
    add(of_customer, filter.customer.map(|id| id.to_string()));
    add(" AND subscription_id = ?", filter.subscription.map(|id| id.to_string()));
    add(" AND fee_type = ?", filter.kind.map(|kind| kind.as_str().into()));
    add(" AND payment_status = ?", filter.payment.map(|payment| payment.as_str().into()));
    (condition, values)
}

pub(super) fn fee_of(row: &AnyRow) -> Result<StoredFee, LedgerError> {
    let charge: &str = row.try_get("charge_id")?;
    let version = |column: &str, value: i64| u32::try_from(value).map_err(|_| LedgerError::corrupt(column, value));
    Ok(StoredFee {
        id: FeeId(read_uuid(row, "id")?),
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        invoice: optional(row, "invoice_id")?,
        customer: CustomerId(read_uuid(row, "customer_id")?),
        subscription: optional(row, "subscription_id")?,
        kind: row.try_get::<&str, _>("fee_type")?.parse()?,
        plan: optional(row, "plan_id")?,
        charge: match charge {
            "" => None,
            text => Some(text.parse().map_err(|_| LedgerError::corrupt("fees.charge_id", text))?),
        },
        line_key: row.try_get("line_key")?,
        line: row.try_get("line")?,
        from: Timestamp(row.try_get("period_start")?),
        to: Timestamp(row.try_get("period_end")?),
        description: row.try_get("description")?,
        metric_code: row.try_get("metric_code")?,
        units: row.try_get("units")?,
        unit_amount: row.try_get("unit_amount_cents")?,
        amount: MinorUnits(row.try_get("amount_cents")?),
        precise_amount: row.try_get("precise_amount_cents")?,
        currency: read_currency(row, "currency")?,
        events_count: read_count(row, "events_count")?,
        fingerprint: row.try_get("event_fingerprint")?,
        cut: row.try_get::<Option<&str>, _>("positions")?.map(serde_json::from_str).transpose()?,
        versions: FeeVersions {
            plan: version("fees.plan_version", row.try_get("plan_version")?)?,
            metric: row
                .try_get::<Option<i64>, _>("metric_version")?
                .map(|value| version("fees.metric_version", value))
                .transpose()?,
        },
        properties: row.try_get("properties")?,
        coupons: super::read_quantity("fees.coupons", row.try_get("coupons")?)?,
        taxes: match row.try_get::<&str, _>("taxes")? {
            "[]" => Vec::new(),
            taxes => serde_json::from_str(taxes)?,
        },
        tax: MinorUnits(row.try_get("tax_cents")?),
        adjusts: optional(row, "adjusted_fee_id")?,
        in_advance: optional(row, "in_advance")?,
        payment: row.try_get::<&str, _>("payment_status")?.parse()?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

fn optional<T: std::str::FromStr>(row: &AnyRow, column: &str) -> Result<Option<T>, LedgerError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| LedgerError::corrupt(column, text))).transpose()
}

fn read_count(row: &AnyRow, column: &str) -> Result<u64, LedgerError> {
    let count: i64 = row.try_get(column)?;
    u64::try_from(count).map_err(|_| LedgerError::corrupt(column, count))
}
