//! Credit notes as rows: what was credited of which fee, and what that came to. Their balances are accounts ([`super::funds`]).

use super::bulk::{BulkInsert, Cell, query_with, rows_in};
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_quantity, read_uuid};
use crate::credits::note::{CreditedBefore, NoteItem, NoteSums};
use crate::tax::TaxLine;
use domain::ids::{CustomerId, FeeId, InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use uuid::Uuid;

/// A credit note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNote {
    /// Its id, which is its account's.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Who gets it.
    pub customer: CustomerId,
    /// What it credits.
    pub invoice: InvoiceId,
    /// The client's, or `CN-000001`.
    pub number: String,
    /// `credit`, `refund` or `offset`.
    pub kind: String,
    /// Whether it is issued.
    pub finalized: bool,
    /// Why.
    pub reason: String,
    /// Text.
    pub description: Option<String>,
    /// Of its amounts.
    pub currency: Currency,
    /// What it comes to.
    pub sums: NoteSums,
    /// To be spent on later invoices.
    pub credit: MinorUnits,
    /// To be paid back.
    pub refund: MinorUnits,
    /// Taken off what is due of its own invoice.
    pub offset: MinorUnits,
    /// Of a refund: `pending`, `succeeded` or `failed`.
    pub refund_status: Option<String>,
    /// The subscription whose unused advance it gives back.
    pub ended_subscription: Option<SubscriptionId>,
    /// What its invoice would have fallen below 0 ([`super::below_zero`]): it credits nothing that was billed.
    pub below_zero: bool,
    /// When it was issued.
    pub issued_at: Option<Timestamp>,
    /// When what was left of it was withdrawn.
    pub voided_at: Option<Timestamp>,
    /// What is left to spend; absent while it has no account.
    pub balance: Option<MinorUnits>,
    /// Grows with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

pub(super) const SELECT: &str = "SELECT n.*, a.balance FROM credit_notes n LEFT JOIN credit_accounts a ON a.id = n.id";

/// One of an organization.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredNote>, LedgerError> {
    let sql = format!("{SELECT} WHERE n.organization_id = $1 AND n.id = $2");
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(note_of).transpose()
}

/// A page of them, and the number of all that match.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    (customer, invoice): (Option<CustomerId>, Option<InvoiceId>),
    page: &PageOf,
) -> Result<(Vec<StoredNote>, i64), LedgerError> {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("n.organization_id = $1");
    let filters =
        [("customer_id", customer.map(|id| id.to_string())), ("invoice_id", invoice.map(|id| id.to_string()))];
    for (column, value) in filters {
        if let Some(value) = value {
            values.push(value);
            condition.push_str(&format!(" AND n.{column} = ${}", values.len()));
        }
    }
    let (limit, offset) = (values.len() + 1, values.len() + 2);
    let sql = format!("{SELECT} WHERE {condition} ORDER BY {} LIMIT ${limit} OFFSET ${offset}", page.order_in("n"));
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = format!("SELECT COUNT(*) AS total FROM credit_notes n WHERE {condition}");
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(note_of).collect::<Result<_, _>>()?, total))
}

/// What has been credited of an invoice; its row must be locked for this to stay so.
///
/// # Errors
/// As the database.
pub async fn credited(connection: &mut AnyConnection, invoice: InvoiceId) -> Result<CreditedBefore, LedgerError> {
    let mut before = CreditedBefore::default();
    let sums = sqlx::query(
        "SELECT CAST(COALESCE(SUM(net_cents), 0) AS BIGINT) AS net, CAST(COALESCE(SUM(tax_cents), 0) AS BIGINT) AS tax,
             CAST(COALESCE(SUM(refund_cents), 0) AS BIGINT) AS refunded
         FROM credit_notes WHERE invoice_id = $1 AND counted = 1 AND below_zero = 0",
    )
    .bind(invoice.to_string())
    .fetch_one(&mut *connection)
    .await?;
    before.net = MinorUnits(sums.try_get("net")?);
    before.tax = MinorUnits(sums.try_get("tax")?);
    before.refunded = MinorUnits(sums.try_get("refunded")?);
    let sql = "SELECT i.fee_id, i.amount FROM credit_note_items i JOIN credit_notes n ON n.id = i.credit_note_id
               WHERE n.invoice_id = $1 AND n.counted = 1";
    for row in sqlx::query(sql).bind(invoice.to_string()).fetch_all(connection).await? {
        let amount = read_quantity("credit_note_items.amount", row.try_get("amount")?)?;
        *before.fees.entry(FeeId(read_uuid(&row, "fee_id")?)).or_default() += &amount;
    }
    Ok(before)
}

/// What a note credits of each fee, in the order in which it was made.
///
/// # Errors
/// As the database.
pub async fn items(connection: &mut AnyConnection, note: Uuid) -> Result<Vec<NoteItem>, LedgerError> {
    let sql = "SELECT fee_id, amount FROM credit_note_items WHERE credit_note_id = $1 ORDER BY id";
    let read = |row: &AnyRow| {
        let amount = read_quantity("credit_note_items.amount", row.try_get("amount")?)?;
        Ok(NoteItem { fee: FeeId(read_uuid(row, "fee_id")?), amount })
    };
    sqlx::query(sql).bind(note.to_string()).fetch_all(connection).await?.iter().map(read).collect()
}

/// Writes a new note with its items, and counts it on its invoice: a constraint there refuses more than was billed.
///
/// # Errors
/// As the database; a taken number is a broken unique key.
pub async fn insert(connection: &mut AnyConnection, note: &StoredNote, items: &[NoteItem]) -> Result<(), LedgerError> {
    let total = note.sums.total()?;
    NOTES.run(connection, vec![row_of(note, total)?]).await?;
    let item = |one: &NoteItem| {
        vec![
            Cell::Text(note.id.to_string()),
            Cell::Text(one.fee.to_string()),
            Cell::Text(Uuid::now_v7().to_string()),
            Cell::Text(one.amount.to_string()),
        ]
    };
    ITEMS.run(connection, items.iter().map(item).collect()).await?;
    if note.below_zero {
        return Ok(());
    }
    count_on_invoice(connection, note.invoice, total.0).await
}

async fn count_on_invoice(connection: &mut AnyConnection, invoice: InvoiceId, cents: i64) -> Result<(), LedgerError> {
    sqlx::query("UPDATE invoices SET credited_cents = credited_cents + $2 WHERE id = $1")
        .bind(invoice.to_string())
        .bind(cents)
        .execute(connection)
        .await?;
    Ok(())
}

/// A voided note of which nothing was spent: its fees may be credited anew.
///
/// # Errors
/// As the database.
pub async fn uncount(connection: &mut AnyConnection, note: &StoredNote) -> Result<(), LedgerError> {
    let sql = "UPDATE credit_notes SET counted = 0 WHERE id = $1";
    sqlx::query(sql).bind(note.id.to_string()).execute(&mut *connection).await?;
    if note.below_zero {
        return Ok(());
    }
    count_on_invoice(connection, note.invoice, -note.sums.total()?.0).await
}

/// The next number of an organization's own making; those that a client has taken are left out.
///
/// # Errors
/// As the database.
pub async fn next_number(connection: &mut AnyConnection, organization: OrganizationId) -> Result<String, LedgerError> {
    let take = "INSERT INTO credit_note_counters (organization_id, last_number) VALUES ($1, 1)
                ON CONFLICT (organization_id) DO UPDATE SET last_number = credit_note_counters.last_number + 1
                RETURNING last_number";
    loop {
        let query = sqlx::query(take).bind(organization.to_string());
        let last: i64 = query.fetch_one(&mut *connection).await?.try_get("last_number")?;
        let number = format!("CN-{last:06}");
        let taken = sqlx::query("SELECT id FROM credit_notes WHERE organization_id = $1 AND number = $2")
            .bind(organization.to_string())
            .bind(number.clone())
            .fetch_optional(&mut *connection)
            .await?;
        if taken.is_none() {
            return Ok(number);
        }
    }
}

/// Writes what may change of a note; answers false when somebody else changed it meanwhile.
///
/// # Errors
/// As the database.
pub async fn update(connection: &mut AnyConnection, note: &StoredNote, now: Timestamp) -> Result<bool, LedgerError> {
    let updated = sqlx::query(
        "UPDATE credit_notes SET status = $3, reason = $4, description = $5, credit_cents = $6, refund_cents = $7,
             offset_cents = $8, refund_status = $9, issued_at = $10, voided_at = $11, updated_at = $12,
             version = version + 1
         WHERE id = $1 AND version = $2",
    )
    .bind(note.id.to_string())
    .bind(note.version)
    .bind(status_text(note.finalized))
    .bind(note.reason.clone())
    .bind(note.description.clone())
    .bind(note.credit.0)
    .bind(note.refund.0)
    .bind(note.offset.0)
    .bind(note.refund_status.clone())
    .bind(note.issued_at.map(|at| at.0))
    .bind(note.voided_at.map(|at| at.0))
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Marks that a subscription has been given back what it had paid ahead; without a note, when nothing was left. Its key refuses a second.
///
/// # Errors
/// As the database.
pub async fn mark_given_back(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    subscription: SubscriptionId,
    note: Option<Uuid>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO advances_given_back (subscription_id, organization_id, credit_note_id) VALUES ($1, $2, $3)",
    )
    .bind(subscription.to_string())
    .bind(organization.to_string())
    .bind(note.map(|id| id.to_string()))
    .execute(connection)
    .await?;
    Ok(())
}

/// Which of these subscriptions have been given back what they had paid ahead and not used.
///
/// # Errors
/// As the database.
pub async fn given_back_to(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<Vec<SubscriptionId>, LedgerError> {
    let sql = |list: &str| format!("SELECT subscription_id FROM advances_given_back WHERE subscription_id IN ({list})");
    let rows = rows_in(connection, subscriptions, sql).await?;
    rows.iter().map(|row| Ok(SubscriptionId(read_uuid(row, "subscription_id")?))).collect()
}

const NOTES: BulkInsert = BulkInsert {
    table: "credit_notes",
    columns: "id, organization_id, customer_id, invoice_id, number, note_type, status, reason, description, currency, \
              coupons_cents, net_cents, tax_cents, total_cents, credit_cents, refund_cents, offset_cents, taxes, \
              refund_status, ended_subscription_id, below_zero, issued_at, version, created_at, updated_at",
    tail: "",
};
const ITEMS: BulkInsert =
    BulkInsert { table: "credit_note_items", columns: "credit_note_id, fee_id, id, amount", tail: "" };

fn status_text(finalized: bool) -> &'static str {
    if finalized { "finalized" } else { "draft" }
}

fn row_of(note: &StoredNote, total: MinorUnits) -> Result<Vec<Cell>, LedgerError> {
    Ok(vec![
        Cell::Text(note.id.to_string()),
        Cell::Text(note.organization.to_string()),
        Cell::Text(note.customer.to_string()),
        Cell::Text(note.invoice.to_string()),
        Cell::Text(note.number.clone()),
        Cell::Text(note.kind.clone()),
        Cell::Text(status_text(note.finalized).into()),
        Cell::Text(note.reason.clone()),
        Cell::MaybeText(note.description.clone()),
        Cell::Text(note.currency.code().into()),
        Cell::Int(note.sums.coupons.0),
        Cell::Int(note.sums.net.0),
        Cell::Int(note.sums.tax.0),
        Cell::Int(total.0),
        Cell::Int(note.credit.0),
        Cell::Int(note.refund.0),
        Cell::Int(note.offset.0),
        Cell::Text(serde_json::to_string(&note.sums.taxes)?),
        Cell::MaybeText(note.refund_status.clone()),
        Cell::MaybeText(note.ended_subscription.map(|id| id.to_string())),
        Cell::Int(i64::from(note.below_zero)),
        Cell::MaybeInt(note.issued_at.map(|at| at.0)),
        Cell::Int(note.version),
        Cell::Int(note.created_at.0),
        Cell::Int(note.updated_at.0),
    ])
}

pub(super) fn note_of(row: &AnyRow) -> Result<StoredNote, LedgerError> {
    let cents = |column: &str| Ok::<_, LedgerError>(MinorUnits(row.try_get(column)?));
    let instant = |column: &str| Ok::<_, LedgerError>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    let subscription: Option<String> = row.try_get("ended_subscription_id")?;
    let taxes: Vec<TaxLine> = serde_json::from_str(row.try_get("taxes")?)?;
    Ok(StoredNote {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        invoice: InvoiceId(read_uuid(row, "invoice_id")?),
        number: row.try_get("number")?,
        kind: row.try_get("note_type")?,
        finalized: row.try_get::<&str, _>("status")? == "finalized",
        reason: row.try_get("reason")?,
        description: row.try_get("description")?,
        currency: read_currency(row, "currency")?,
        sums: NoteSums { coupons: cents("coupons_cents")?, net: cents("net_cents")?, tax: cents("tax_cents")?, taxes },
        credit: cents("credit_cents")?,
        refund: cents("refund_cents")?,
        offset: cents("offset_cents")?,
        refund_status: row.try_get("refund_status")?,
        ended_subscription: subscription
            .map(|text| text.parse().map_err(|_| LedgerError::corrupt("credit_notes.ended_subscription_id", &text)))
            .transpose()?,
        below_zero: row.try_get::<i64, _>("below_zero")? != 0,
        issued_at: instant("issued_at")?,
        voided_at: instant("voided_at")?,
        balance: row.try_get::<Option<i64>, _>("balance")?.map(MinorUnits),
        version: row.try_get("version")?,
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}

/// What [`Quantity`] a fee has left to credit.
#[must_use]
pub fn left_of(amount: MinorUnits, before: Option<&Quantity>) -> Quantity {
    let whole = Quantity::from(amount.0);
    before.map_or(whole.clone(), |credited| &whole - credited)
}
