//! Payments in the ledger. What a payment settles of its invoice is a settlement ([`super::states`]): its amount, less what went to a
//! wallet, less what was paid back and is due again.

use super::bulk::query_with;
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_uuid};
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// Where a payment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// Announced.
    Pending,
    /// The money is there.
    Succeeded,
    /// It did not come.
    Failed,
    /// It will not come.
    Canceled,
    /// All of it was paid back.
    Refunded,
}

impl PaymentState {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Pending, "pending"),
        (Self::Succeeded, "succeeded"),
        (Self::Failed, "failed"),
        (Self::Canceled, "canceled"),
        (Self::Refunded, "refunded"),
    ];

    /// The text in the ledger and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, text)| text)
    }

    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let text: &str = row.try_get("status")?;
        let found = Self::ALL.iter().find(|(_, name)| *name == text).map(|(state, _)| *state);
        found.ok_or_else(|| LedgerError::corrupt("payments.status", text))
    }
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPayment {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Who paid.
    pub customer: CustomerId,
    /// Which invoice.
    pub invoice: InvoiceId,
    /// Where it stands.
    pub state: PaymentState,
    /// ISO 4217.
    pub currency: Currency,
    /// What came.
    pub amount: MinorUnits,
    /// What of it was more than was due, and the wallet that it went to.
    pub surplus: Option<(MinorUnits, Uuid)>,
    /// What was paid back.
    pub refunded: MinorUnits,
    /// What of that is due again; the rest is for credit notes.
    pub reopened: MinorUnits,
    /// The payer's, on the statement of the bank.
    pub reference: Option<String>,
    /// For people.
    pub notes: Option<String>,
    /// When the money came.
    pub completed_at: Option<Timestamp>,
    /// When it was written down.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Which payments.
#[derive(Clone, Copy, Debug, Default)]
pub struct PaymentFilter {
    /// Of one customer.
    pub customer: Option<CustomerId>,
    /// Of one invoice.
    pub invoice: Option<InvoiceId>,
    /// In this state.
    pub state: Option<PaymentState>,
}

/// One payment.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredPayment>, LedgerError> {
    let sql = "SELECT * FROM payments WHERE organization_id = $1 AND id = $2".to_owned();
    let found = query_with(sql, &[organization.to_string(), id.to_string()]).fetch_optional(connection).await?;
    found.as_ref().map(payment_of).transpose()
}

/// A page of payments, and the number of all that match.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: &PaymentFilter,
    page: &PageOf,
) -> Result<(Vec<StoredPayment>, i64), LedgerError> {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("organization_id = $1");
    let filters = [
        ("customer_id", filter.customer.map(|id| id.to_string())),
        ("invoice_id", filter.invoice.map(|id| id.to_string())),
        ("status", filter.state.map(|state| state.as_str().to_owned())),
    ];
    for (column, value) in filters {
        if let Some(value) = value {
            values.push(value);
            condition.push_str(&format!(" AND {column} = ${}", values.len()));
        }
    }
    let (limit, offset) = (values.len() + 1, values.len() + 2);
    let sql =
        format!("SELECT * FROM payments WHERE {condition} ORDER BY {} LIMIT ${limit} OFFSET ${offset}", page.order);
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = format!("SELECT COUNT(*) AS total FROM payments WHERE {condition}");
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(payment_of).collect::<Result<_, _>>()?, total))
}

/// Writes a new payment; its provider is `manual`.
///
/// # Errors
/// As the database.
pub async fn insert(connection: &mut AnyConnection, payment: &StoredPayment) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO payments (id, organization_id, customer_id, invoice_id, provider, status, currency, amount_cents,
             surplus_cents, surplus_wallet_id, reference, notes, completed_at, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 'manual', $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $14)",
    )
    .bind(payment.id.to_string())
    .bind(payment.organization.to_string())
    .bind(payment.customer.to_string())
    .bind(payment.invoice.to_string())
    .bind(payment.state.as_str())
    .bind(payment.currency.code().to_owned())
    .bind(payment.amount.0)
    .bind(payment.surplus.map_or(0, |(cents, _)| cents.0))
    .bind(payment.surplus.map(|(_, wallet)| wallet.to_string()))
    .bind(payment.reference.clone())
    .bind(payment.notes.clone())
    .bind(payment.completed_at.map(|at| at.0))
    .bind(payment.created_at.0)
    .bind(payment.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what may change of a payment whose invoice is locked.
///
/// # Errors
/// As the database.
pub async fn update(connection: &mut AnyConnection, payment: &StoredPayment) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE payments SET status = $2, refunded_cents = $3, reopened_cents = $4, completed_at = $5, updated_at = $6,
             version = version + 1 WHERE id = $1",
    )
    .bind(payment.id.to_string())
    .bind(payment.state.as_str())
    .bind(payment.refunded.0)
    .bind(payment.reopened.0)
    .bind(payment.completed_at.map(|at| at.0))
    .bind(payment.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes a payment that is only announced; false: it is not.
///
/// # Errors
/// As the database.
pub async fn delete(connection: &mut AnyConnection, payment: &StoredPayment) -> Result<bool, LedgerError> {
    let sql = "DELETE FROM payments WHERE id = $1 AND status = 'pending'";
    let deleted = sqlx::query(sql).bind(payment.id.to_string()).execute(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

fn payment_of(row: &AnyRow) -> Result<StoredPayment, LedgerError> {
    let cents = |column: &str| Ok::<_, LedgerError>(MinorUnits(row.try_get(column)?));
    let has_wallet = row.try_get::<Option<&str>, _>("surplus_wallet_id")?.is_some();
    let wallet = has_wallet.then(|| read_uuid(row, "surplus_wallet_id")).transpose()?;
    let surplus = cents("surplus_cents")?;
    Ok(StoredPayment {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        invoice: InvoiceId(read_uuid(row, "invoice_id")?),
        state: PaymentState::read(row)?,
        currency: read_currency(row, "currency")?,
        amount: cents("amount_cents")?,
        surplus: wallet.map(|wallet| (surplus, wallet)),
        refunded: cents("refunded_cents")?,
        reopened: cents("reopened_cents")?,
        reference: row.try_get("reference")?,
        notes: row.try_get("notes")?,
        completed_at: row.try_get::<Option<i64>, _>("completed_at")?.map(Timestamp),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
