//! Writing a batch of invoices: frontiers, numbers, invoices, fees and the run's figures in one transaction (I4).
//!
//! Order matters: the frontiers are moved first. They lock what the batch bills (rows on PostgreSQL, the file on SQLite), so
//! that of two runs that bill the same thing one finds the frontier moved and writes nothing; numbers are taken after that,
//! so a run that loses takes none, and they have no gaps.

use super::bulk::{BulkInsert, Cell};
use super::fee_rows::insert_fees;
use super::frontiers::{FrontierKey, FrontierMap, FrontierMove};
use super::{LedgerError, frontiers, progressive, settle, tally};
use crate::model::{Invoice, InvoiceStatus};
use domain::ids::{BillingRunId, OrganizationId};
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
    /// Ends a `SELECT` of rows that are changed by what they say (`Database::row_lock`).
    pub row_lock: &'static str,
}

/// Writes the batch, with what its customers have to spend taken off; answers false when another run has billed some of it: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn write(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: &mut [NewInvoice],
) -> Result<bool, LedgerError> {
    if !frontiers::advance(connection, &context.cut_id, &joined_moves(invoices)?).await? {
        return Ok(false);
    }
    let taken = progressive::take(connection, context.row_lock, invoices).await?;
    insert_all(
        connection,
        context,
        invoices.iter_mut().map(|new| &mut new.invoice).filter(|invoice| invoice.is_owed()),
    )
    .await?;
    progressive::note_taken(connection, taken).await?;
    count_in_run(connection, context, invoices).await?;
    if let Some(first) = invoices.first() {
        tally::fold_sometimes(connection, first.invoice.organization).await?;
    }
    Ok(true)
}

/// Takes off invoices what their customers have to spend, and writes them with their fees and, unless they are drafts, their numbers.
///
/// # Errors
/// As the database; roll back then.
pub async fn insert_all<'a>(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: impl Iterator<Item = &'a mut Invoice>,
) -> Result<(), LedgerError> {
    let mut invoices: Vec<&mut Invoice> = invoices.collect();
    let settled = settle::invoices(connection, context.row_lock, invoices.iter_mut().map(|one| &mut **one)).await?;
    insert_settled(connection, context, invoices.iter().map(|one| &**one)).await?;
    settle::write(connection, settled, context.now).await
}

async fn insert_settled<'a>(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: impl Iterator<Item = &'a Invoice> + Clone,
) -> Result<(), LedgerError> {
    let issued = invoices.clone().map(|invoice| (Issuer::of(invoice), invoice.status));
    let mut numbers = take_numbers(connection, issued).await?;
    let (mut rows, mut counted) = (Vec::new(), tally::Changes::default());
    for invoice in invoices.clone() {
        counted.more(invoice.organization, invoice.status);
        rows.push(invoice_row(invoice, numbers.next_for(Issuer::of(invoice), invoice.status), context)?);
    }
    INVOICES.run(connection, rows).await?;
    counted.write(connection).await?;
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
              coupons_cents, tax_cents, progressive_credit_cents, credit_notes_cents, prepaid_credit_cents, total_cents, taxes, run_id, version, created_at, updated_at, regenerated_from",
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
        Cell::Int(invoice.credits.coupons.0),
        Cell::Int(invoice.taxes.amount.0),
        Cell::Int(invoice.credits.progressive.0),
        Cell::Int(invoice.credits.credit_notes.0),
        Cell::Int(invoice.credits.wallets.0),
        Cell::Int(invoice.total.0),
        Cell::Text(serde_json::to_string(&invoice.taxes.lines)?),
        Cell::MaybeText(invoice.run.map(|id| id.to_string())),
        Cell::Int(1),
        Cell::Int(context.now.0),
        Cell::Int(context.now.0),
        Cell::MaybeText(invoice.regenerated_from.map(|id| id.to_string())),
    ])
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
            written.invoices += i64::from(new.invoice.is_owed());
            written.subscriptions += new.completes;
            let total = written.totals.entry(new.invoice.currency).or_default();
            *total = total.plus(new.invoice.total)?;
        }
        Ok(written)
    }
}
