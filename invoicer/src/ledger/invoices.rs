//! Reading invoices: one, or a page with the number of all that match. Always inside one organization (I8).

use super::{LedgerError, fees, read_currency, read_uuid, tally};
use crate::ledger::bulk::{placeholders, query_with};
use crate::ledger::fees::StoredFee;
use crate::model::{InvoiceKind, InvoiceStatus};
use crate::tax::TaxLine;
use domain::ids::{CustomerId, InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::HashMap;
use uuid::Uuid;

/// Which invoices.
#[derive(Clone, Copy, Debug, Default)]
pub struct InvoiceFilter {
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// With a fee of this subscription.
    pub subscription: Option<SubscriptionId>,
    /// In this state.
    pub status: Option<InvoiceStatus>,
    /// Due and not paid at this instant, or all others.
    pub overdue: Option<(bool, Timestamp)>,
}

/// Which page, in which order.
#[derive(Clone, Debug)]
pub struct PageOf {
    /// `column DIRECTION, id DIRECTION`, from the route's own list of columns.
    pub order: String,
    /// Rows to leave out.
    pub skip: i64,
    /// Rows at most.
    pub limit: i64,
}

impl PageOf {
    /// The order with every column named as one of `table`.
    pub(super) fn order_in(&self, table: &str) -> String {
        self.order.split(", ").map(|term| format!("{table}.{term}")).collect::<Vec<_>>().join(", ")
    }
}

/// An invoice as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInvoice {
    /// Its id.
    pub id: InvoiceId,
    /// Who owes it.
    pub customer: CustomerId,
    /// The subscription, when it is one.
    pub subscription: Option<SubscriptionId>,
    /// What it is for.
    pub kind: InvoiceKind,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Currency of its amounts.
    pub currency: Currency,
    /// `PREFIX-000001`; a draft has none.
    pub number: Option<String>,
    /// When what is on it fell due.
    pub due_at: Timestamp,
    /// Start of the period it is for.
    pub period_start: Timestamp,
    /// End of the period it is for.
    pub period_end: Timestamp,
    /// When it is issued.
    pub issued_at: Timestamp,
    /// By when to pay.
    pub due_date: Timestamp,
    /// When it was settled.
    pub paid_at: Option<Timestamp>,
    /// Σ fees.
    pub subtotal: MinorUnits,
    /// Taken off by coupons.
    pub coupons: MinorUnits,
    /// Taxes.
    pub tax: MinorUnits,
    /// Each tax.
    pub taxes: Vec<TaxLine>,
    /// Billed before by thresholds.
    pub progressive_credit: MinorUnits,
    /// Taken off by credit notes.
    pub credit_notes: MinorUnits,
    /// Paid from wallets.
    pub prepaid_credit: MinorUnits,
    /// What is due: subtotal − coupons + taxes − progressive credit − credit notes − wallets (I5).
    pub total: MinorUnits,
    /// Who issues it; absent: the organization itself.
    pub entity: Option<Uuid>,
    /// When it was taken back.
    pub voided_at: Option<Timestamp>,
    /// The voided invoice that it replaces.
    pub regenerated_from: Option<InvoiceId>,
    /// Grows with each change.
    pub version: i64,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Its lines, in order.
    pub fees: Vec<StoredFee>,
}

pub(super) const COLUMNS: &str = "id, customer_id, subscription_id, invoice_type, status, currency, number_prefix, number, \
    due_at, period_start, period_end, issued_at, due_date, paid_at, subtotal_cents, coupons_cents, tax_cents, taxes, \
    progressive_credit_cents, credit_notes_cents, prepaid_credit_cents, total_cents, billing_entity, voided_at, \
    regenerated_from, version, created_at, updated_at";

/// A page of invoices and the number of all that match: three queries, none of which looks at more rows than it answers where the
/// order is that of an index, except for the rows skipped.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: &InvoiceFilter,
    page: &PageOf,
) -> Result<(Vec<StoredInvoice>, i64), LedgerError> {
    let (condition, values) = condition(organization, filter);
    let from = values.len();
    let sql = format!(
        "SELECT {COLUMNS} FROM invoices WHERE {condition} ORDER BY {} LIMIT ${} OFFSET ${}",
        page.order,
        from + 1,
        from + 2
    );
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let total = match filter {
        InvoiceFilter { customer: None, subscription: None, overdue: None, status } => {
            tally::read(connection, organization, *status).await?
        }
        _ => {
            let count = format!("SELECT COUNT(*) AS total FROM invoices WHERE {condition}");
            query_with(count, &values).fetch_one(&mut *connection).await?.try_get("total")?
        }
    };
    let mut invoices = rows.iter().map(invoice_of).collect::<Result<Vec<_>, _>>()?;
    attach_fees(connection, &mut invoices).await?;
    Ok((invoices, total))
}

/// One invoice of an organization.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: InvoiceId,
) -> Result<Option<StoredInvoice>, LedgerError> {
    let sql = format!("SELECT {COLUMNS} FROM invoices WHERE organization_id = $1 AND id = $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(id.to_string());
    let row = query.fetch_optional(&mut *connection).await?;
    let mut found: Vec<StoredInvoice> = row.as_ref().map(invoice_of).transpose()?.into_iter().collect();
    attach_fees(connection, &mut found).await?;
    Ok(found.pop())
}

/// One invoice of an organization, locked until the transaction ends.
///
/// # Errors
/// As the database.
pub async fn lock(
    connection: &mut AnyConnection,
    row_lock: &str,
    organization: OrganizationId,
    id: InvoiceId,
) -> Result<Option<StoredInvoice>, LedgerError> {
    let sql = format!("SELECT id FROM invoices WHERE organization_id = $1 AND id = $2{row_lock}");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(id.to_string());
    query.fetch_optional(&mut *connection).await?;
    get(connection, organization, id).await
}

/// Reads the fees of these invoices in one query.
pub(super) async fn attach_fees(
    connection: &mut AnyConnection,
    invoices: &mut [StoredInvoice],
) -> Result<(), LedgerError> {
    if invoices.is_empty() {
        return Ok(());
    }
    let list = placeholders(0, invoices.len());
    let sql = format!("{} WHERE f.invoice_id IN ({list}) ORDER BY f.invoice_id, f.line, f.id", fees::SELECT);
    let ids: Vec<String> = invoices.iter().map(|invoice| invoice.id.to_string()).collect();
    let mut by_invoice: HashMap<InvoiceId, Vec<StoredFee>> = HashMap::new();
    for row in query_with(sql, &ids).fetch_all(connection).await? {
        let fee = fees::fee_of(&row)?;
        if let Some(invoice) = fee.invoice {
            by_invoice.entry(invoice).or_default().push(fee);
        }
    }
    for invoice in invoices {
        invoice.fees = by_invoice.remove(&invoice.id).unwrap_or_default();
    }
    Ok(())
}

fn condition(organization: OrganizationId, filter: &InvoiceFilter) -> (String, Vec<String>) {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("organization_id = $1");
    let mut add = |text: &str, value: String| {
        values.push(value);
        condition.push_str(&text.replace('?', &format!("${}", values.len())));
    };
    if let Some(customer) = filter.customer {
        // SQLite, which knows nothing of how customers are spread, would else walk through all invoices in the order of the page.
        add(
            " AND id IN (SELECT id FROM invoices WHERE organization_id = $1 AND customer_id = ?)",
            customer.to_string(),
        );
    }
    if let Some(subscription) = filter.subscription {
        // A shared invoice names no subscription; its fees do.
        add(" AND id IN (SELECT invoice_id FROM fees WHERE subscription_id = ?)", subscription.to_string());
    }
    if let Some(status) = filter.status {
        add(" AND status = ?", status.as_str().into());
    }
    if let Some((overdue, at)) = filter.overdue {
        let negation = if overdue { "" } else { "NOT " };
        condition.push_str(&format!(" AND {negation}(status = 'finalized' AND due_date < {})", at.0));
    }
    (condition, values)
}

pub(super) fn invoice_of(row: &AnyRow) -> Result<StoredInvoice, LedgerError> {
    let prefix: Option<String> = row.try_get("number_prefix")?;
    let number: Option<i64> = row.try_get("number")?;
    let subscription: Option<String> = row.try_get("subscription_id")?;
    Ok(StoredInvoice {
        id: InvoiceId(read_uuid(row, "id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        subscription: subscription
            .map(|text| text.parse().map_err(|_| LedgerError::corrupt("invoices.subscription_id", &text)))
            .transpose()?,
        kind: row.try_get::<&str, _>("invoice_type")?.parse()?,
        status: row.try_get::<&str, _>("status")?.parse()?,
        currency: read_currency(row, "currency")?,
        number: prefix.zip(number).map(|(prefix, number)| number_text(&prefix, number)),
        due_at: Timestamp(row.try_get("due_at")?),
        period_start: Timestamp(row.try_get("period_start")?),
        period_end: Timestamp(row.try_get("period_end")?),
        issued_at: Timestamp(row.try_get("issued_at")?),
        due_date: Timestamp(row.try_get("due_date")?),
        paid_at: row.try_get::<Option<i64>, _>("paid_at")?.map(Timestamp),
        subtotal: MinorUnits(row.try_get("subtotal_cents")?),
        coupons: MinorUnits(row.try_get("coupons_cents")?),
        tax: MinorUnits(row.try_get("tax_cents")?),
        taxes: serde_json::from_str(row.try_get("taxes")?)?,
        progressive_credit: MinorUnits(row.try_get("progressive_credit_cents")?),
        credit_notes: MinorUnits(row.try_get("credit_notes_cents")?),
        prepaid_credit: MinorUnits(row.try_get("prepaid_credit_cents")?),
        total: MinorUnits(row.try_get("total_cents")?),
        entity: entity_of(row.try_get("billing_entity")?)?,
        voided_at: row.try_get::<Option<i64>, _>("voided_at")?.map(Timestamp),
        regenerated_from: row
            .try_get::<Option<&str>, _>("regenerated_from")?
            .map(|text| text.parse().map_err(|_| LedgerError::corrupt("invoices.regenerated_from", text)))
            .transpose()?,
        version: row.try_get("version")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
        fees: Vec::new(),
    })
}

fn entity_of(text: &str) -> Result<Option<Uuid>, LedgerError> {
    let parse = |text: &str| text.parse().map_err(|_| LedgerError::corrupt("invoices.billing_entity", text));
    (!text.is_empty()).then(|| parse(text)).transpose()
}

/// `INV-000001`; longer past a million, and ordered by number, never by this text.
#[must_use]
pub fn number_text(prefix: &str, number: i64) -> String {
    format!("{prefix}-{number:06}")
}
