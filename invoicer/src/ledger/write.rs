//! Writing a batch of invoices: frontiers, numbers, invoices, fees and the run's figures in one transaction (I4).
//!
//! Order matters: the frontiers are moved first. They lock what the batch bills (rows on PostgreSQL, the file on SQLite), so
//! that of two runs that bill the same thing one finds the frontier moved and writes nothing; numbers are taken after that,
//! so a run that loses takes none, and they have no gaps.

use super::bulk::{BulkInsert, Cell};
use super::frontiers::{FrontierKey, FrontierMap, FrontierMove};
use super::{LedgerError, frontiers};
use crate::model::{Fee, FeePayment, Invoice, InvoiceStatus};
use crate::tax::{exact_tax, rounded};
use domain::ids::{BillingRunId, CustomerId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Before the counter in an invoice's number, where no billing entity has its own.
pub const DEFAULT_PREFIX: &str = "INV";

/// An invoice with what billing it moves.
#[derive(Clone, Debug)]
pub struct NewInvoice {
    /// The invoice.
    pub invoice: Invoice,
    /// How far its subscriptions are billed with it, in order of time.
    pub moves: Vec<(FrontierKey, FrontierMove)>,
    /// Subscriptions for which nothing more is due in the run once it is written.
    pub completes: i64,
}

/// What all invoices of a batch share.
#[derive(Clone, Debug)]
pub struct BatchContext {
    /// The run, whose figures grow with the batch.
    pub run: Option<BillingRunId>,
    /// The cut all fees were rated at.
    pub cut_id: String,
    /// The machine's clock, for `created_at`.
    pub now: Timestamp,
}

/// Writes the batch; answers false when another run has billed some of it: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn write(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: &[NewInvoice],
) -> Result<bool, LedgerError> {
    if !frontiers::advance(connection, &context.cut_id, &joined_moves(invoices)?).await? {
        return Ok(false);
    }
    insert_all(connection, context, invoices.iter().map(|new| &new.invoice)).await?;
    count_in_run(connection, context, invoices).await?;
    Ok(true)
}

/// Writes invoices with their fees and, unless they are drafts, their numbers.
///
/// # Errors
/// As the database; roll back then.
pub async fn insert_all<'a>(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: impl Iterator<Item = &'a Invoice> + Clone,
) -> Result<(), LedgerError> {
    let issued = invoices.clone().map(|invoice| (Issuer::of(invoice), invoice.status));
    let mut numbers = take_numbers(connection, issued).await?;
    let mut rows = Vec::new();
    for invoice in invoices.clone() {
        rows.push(invoice_row(invoice, numbers.next_for(Issuer::of(invoice), invoice.status), context)?);
    }
    INVOICES.run(connection, rows).await?;
    insert_fees(connection, context, invoices).await
}

/// Whose numbers an invoice has: those of a billing entity, or of the organization itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Issuer {
    /// Tenant.
    pub organization: OrganizationId,
    /// Its billing entity, if one issues.
    pub entity: Option<Uuid>,
}

impl Issuer {
    fn of(invoice: &Invoice) -> Self {
        Self { organization: invoice.organization, entity: invoice.entity }
    }
}

/// Of `invoices` those that `billed` leaves to be written: each must begin where its subscriptions are billed up to.
#[must_use]
pub fn still_due(mut billed: FrontierMap, invoices: Vec<NewInvoice>) -> Vec<NewInvoice> {
    invoices
        .into_iter()
        .filter(|new| {
            let fits = |(key, step): &(FrontierKey, FrontierMove)| {
                let reached = billed.get(&key.subscription).and_then(|all| all.get(key.part, key.chain));
                reached.map(|frontier| frontier.until) == step.after.map(|frontier| frontier.until)
            };
            let due = new.moves.iter().all(fits);
            if due {
                for (key, step) in &new.moves {
                    billed.entry(key.subscription).or_default().set(key.part, key.chain, step.to);
                }
            }
            due
        })
        .collect()
}

/// One move per frontier: a batch may hold several periods of one subscription.
fn joined_moves(invoices: &[NewInvoice]) -> Result<BTreeMap<FrontierKey, FrontierMove>, LedgerError> {
    let mut joined: BTreeMap<FrontierKey, FrontierMove> = BTreeMap::new();
    for (key, step) in invoices.iter().flat_map(|new| &new.moves) {
        match joined.get_mut(key) {
            None => {
                joined.insert(*key, *step);
            }
            Some(before) if Some(before.to.until) == step.after.map(|frontier| frontier.until) => {
                before.to = step.to;
                before.looks_again |= step.looks_again;
            }
            Some(_) => return Err(LedgerError::OutOfOrder { subscription: key.subscription }),
        }
    }
    Ok(joined)
}

/// Numbers taken for a batch, still to be given out in order.
#[derive(Debug, Default)]
pub struct Numbers {
    next: BTreeMap<Issuer, (String, i64)>,
}

impl Numbers {
    /// Prefix and number of the issuer's next invoice; drafts have none.
    pub fn next_for(&mut self, issuer: Issuer, status: InvoiceStatus) -> Option<(String, i64)> {
        if status == InvoiceStatus::Draft {
            return None;
        }
        let (prefix, next) = self.next.get_mut(&issuer)?;
        let taken = *next;
        *next += 1;
        Some((prefix.clone(), taken))
    }
}

/// Takes as many numbers of each issuer as its issued invoices need. Held until the transaction ends: no gaps.
///
/// # Errors
/// As the database.
pub async fn take_numbers(
    connection: &mut AnyConnection,
    invoices: impl Iterator<Item = (Issuer, InvoiceStatus)>,
) -> Result<Numbers, LedgerError> {
    // In the order of issuers: two batches never wait for each other crosswise.
    let mut wanted: BTreeMap<Issuer, i64> = BTreeMap::new();
    for (issuer, _) in invoices.filter(|(_, status)| *status != InvoiceStatus::Draft) {
        *wanted.entry(issuer).or_default() += 1;
    }
    let sql = "INSERT INTO invoice_counters (organization_id, prefix, last_number) VALUES ($1, $2, $3)
               ON CONFLICT (organization_id, prefix)
               DO UPDATE SET last_number = invoice_counters.last_number + excluded.last_number
               RETURNING last_number";
    let mut numbers = Numbers::default();
    for (issuer, count) in wanted {
        let first = if let Some(entity) = issuer.entity {
            catalog::billing_entity::numbers::take(&mut *connection, entity, count).await?
        } else {
            let query = sqlx::query(sql).bind(issuer.organization.to_string()).bind(DEFAULT_PREFIX).bind(count);
            let last: i64 = query.fetch_one(&mut *connection).await?.try_get("last_number")?;
            (DEFAULT_PREFIX.to_owned(), last - count + 1)
        };
        numbers.next.insert(issuer, first);
    }
    Ok(numbers)
}

const INVOICES: BulkInsert = BulkInsert {
    table: "invoices",
    columns: "id, organization_id, customer_id, subscription_id, invoice_type, status, currency, billing_entity, due_at, \
              occasion, number_prefix, number, period_start, period_end, issued_at, due_date, paid_at, subtotal_cents, \
              tax_cents, total_cents, taxes, run_id, version, created_at, updated_at, regenerated_from",
    tail: "",
};

fn invoice_row(
    invoice: &Invoice,
    number: Option<(String, i64)>,
    context: &BatchContext,
) -> Result<Vec<Cell>, LedgerError> {
    let (prefix, number) = number.unzip();
    Ok(vec![
        Cell::Text(invoice.id.to_string()),
        Cell::Text(invoice.organization.to_string()),
        Cell::Text(invoice.customer.to_string()),
        Cell::MaybeText(invoice.subscription.map(|id| id.to_string())),
        Cell::Text(invoice.kind.as_str().into()),
        Cell::Text(invoice.status.as_str().into()),
        Cell::Text(invoice.currency.code().into()),
        Cell::Text(invoice.entity.map(|id| id.to_string()).unwrap_or_default()),
        Cell::Int(invoice.due_at.0),
        Cell::Text(invoice.occasion.clone()),
        Cell::MaybeText(prefix),
        Cell::MaybeInt(number),
        Cell::Int(invoice.period_start.0),
        Cell::Int(invoice.period_end.0),
        Cell::Int(invoice.issued_at.0),
        Cell::Int(invoice.due_date.0),
        Cell::MaybeInt(invoice.paid_at.map(|at| at.0)),
        Cell::Int(invoice.subtotal.0),
        Cell::Int(invoice.taxes.amount.0),
        Cell::Int(invoice.total.0),
        Cell::Text(serde_json::to_string(&invoice.taxes.lines)?),
        Cell::MaybeText(invoice.run.map(|id| id.to_string())),
        Cell::Int(1),
        Cell::Int(context.now.0),
        Cell::Int(context.now.0),
        Cell::MaybeText(invoice.regenerated_from.map(|id| id.to_string())),
    ])
}

pub(super) const FEES: BulkInsert = BulkInsert {
    table: "fees",
    columns: "id, organization_id, invoice_id, line, customer_id, subscription_id, fee_type, plan_id, charge_id, line_key, line_hash, \
              period_start, period_end, description, metric_code, units, unit_amount_cents, amount_cents, \
              precise_amount_cents, currency, events_count, event_fingerprint, cut_id, plan_version, metric_version, \
              properties, tax_cents, taxes, adjusted_fee_id, payment_status, created_at, updated_at",
    tail: "",
};

/// Inserts the fees of these invoices, numbering the lines of each.
///
/// # Errors
/// As the database.
pub async fn insert_fees<'a>(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: impl Iterator<Item = &'a Invoice>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::new();
    for invoice in invoices {
        let owner = FeeOwner {
            organization: invoice.organization,
            invoice: invoice.id,
            customer: invoice.customer,
            currency: invoice.currency,
            status: invoice.status,
        };
        for (line, fee) in (0..).zip(&invoice.fees) {
            rows.push(fee_row(&owner, fee, line, context)?);
        }
    }
    FEES.run(connection, rows).await?;
    Ok(())
}

/// What a fee takes over from its invoice.
#[derive(Clone, Copy, Debug)]
pub(super) struct FeeOwner {
    pub(super) organization: OrganizationId,
    pub(super) invoice: InvoiceId,
    pub(super) customer: CustomerId,
    pub(super) currency: Currency,
    pub(super) status: InvoiceStatus,
}

pub(super) fn fee_row(
    owner: &FeeOwner,
    fee: &Fee,
    line: i64,
    context: &BatchContext,
) -> Result<Vec<Cell>, LedgerError> {
    let payment = payment_with(owner.status);
    let events = i64::try_from(fee.events_count).map_err(|_| LedgerError::TooManyEvents)?;
    Ok(vec![
        Cell::Text(fee.id.to_string()),
        Cell::Text(owner.organization.to_string()),
        Cell::Text(owner.invoice.to_string()),
        Cell::Int(line),
        Cell::Text(owner.customer.to_string()),
        Cell::MaybeText(fee.subscription.map(|id| id.to_string())),
        Cell::Text(fee.kind.as_str().into()),
        Cell::MaybeText(fee.plan.map(|id| id.to_string())),
        Cell::Text(fee.charge.map(|id| id.to_string()).unwrap_or_default()),
        Cell::Text(fee.line_key.clone()),
        Cell::Text(match fee.adjusts {
            // A line may be adjusted again, by what another run finds.
            Some(_) => line_hash(&format!("{}@{}", fee.line_key, context.cut_id)),
            None => line_hash(&fee.line_key),
        }),
        Cell::Int(fee.from.0),
        Cell::Int(fee.to.0),
        Cell::Text(fee.description.clone()),
        Cell::MaybeText(fee.metric_code.clone()),
        Cell::Text(fee.units.to_string()),
        Cell::Text(fee.unit_amount.to_string()),
        Cell::Int(fee.amount.0),
        Cell::Text(fee.precise_amount.to_string()),
        Cell::Text(owner.currency.code().into()),
        Cell::Int(events),
        Cell::MaybeText(fee.fingerprint.map(|sum| format!("{sum:032x}"))),
        Cell::MaybeText(fee.fingerprint.map(|_| context.cut_id.clone())),
        Cell::Int(i64::from(fee.versions.plan)),
        Cell::MaybeInt(fee.versions.metric.map(i64::from)),
        Cell::Text(fee.properties.clone()),
        Cell::Int(rounded(&exact_tax(fee.amount, &fee.taxes))?.0),
        Cell::Text(if fee.taxes.is_empty() { "[]".into() } else { serde_json::to_string(&fee.taxes)? }),
        Cell::MaybeText(fee.adjusts.map(|id| id.to_string())),
        Cell::Text(payment.as_str().into()),
        Cell::Int(context.now.0),
        Cell::Int(context.now.0),
    ])
}

/// Longest line key that stands in an index as it is: PostgreSQL refuses entries past 2,700 bytes, and groups hold values that
/// clients send.
const MAX_KEY_BYTES: usize = 200;

/// What stands for a line key in the unique key of fees.
fn line_hash(key: &str) -> String {
    if key.len() <= MAX_KEY_BYTES {
        key.to_owned()
    } else {
        format!("blake3:{}", blake3::hash(key.as_bytes()).to_hex())
    }
}

/// A fee is paid when its invoice is.
pub(super) fn payment_with(status: InvoiceStatus) -> FeePayment {
    if status == InvoiceStatus::Paid { FeePayment::Succeeded } else { FeePayment::Pending }
}

/// The run's figures grow in the transaction that makes them true, so a run that is resumed counts nothing twice.
async fn count_in_run(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: &[NewInvoice],
) -> Result<(), LedgerError> {
    let Some(run) = context.run else { return Ok(()) };
    super::runs::add_progress(connection, run, &Written::of(invoices)?).await
}

/// What a batch adds to the figures of its run.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// Invoices.
    pub invoices: i64,
    /// Subscriptions for which nothing more is due.
    pub subscriptions: i64,
    /// Σ of the invoices' totals.
    pub totals: BTreeMap<Currency, MinorUnits>,
}

impl Written {
    /// The figures of a batch.
    ///
    /// # Errors
    /// When a sum passes 64 bits.
    pub fn of(invoices: &[NewInvoice]) -> Result<Self, LedgerError> {
        let mut written = Self::default();
        for new in invoices {
            written.invoices += 1;
            written.subscriptions += new.completes;
            let total = written.totals.entry(new.invoice.currency).or_default();
            *total = total.plus(new.invoice.total)?;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_key_stands_in_the_index_as_it_is_until_it_would_not_fit() {
        assert_eq!(line_hash(r#":["eu"]"#), r#":["eu"]"#);
        let long = line_hash(&"x".repeat(500));
        assert_eq!(long.len(), "blake3:".len() + 64);
        assert_ne!(long, line_hash(&"x".repeat(501)));
    }
}
