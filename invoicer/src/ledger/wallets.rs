//! Wallets in the ledger. A wallet is an account in minor units ([`super::funds`]); what it is called in credits is a rate.
//!
//! Credit that is paid for arrives as its invoice is paid, once: a top-up that waits names the invoice.

use super::bulk::query_with;
use super::funds::{self, Change};
use super::invoices::PageOf;
use super::{LedgerError, read_currency, read_quantity, read_uuid};
use crate::model::FeeKind;
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use uuid::Uuid;

/// A wallet as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredWallet {
    /// Its id, which is its account's.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Whose.
    pub customer: CustomerId,
    /// Unique among the customer's; events may name it.
    pub code: Option<String>,
    /// For people.
    pub name: Option<String>,
    /// What it pays.
    pub currency: Currency,
    /// Minor units of one credit.
    pub rate: Quantity,
    /// 1 pays first.
    pub priority: i64,
    /// Fees of these kinds only; empty: of any.
    pub fee_types: Vec<FeeKind>,
    /// Fees of these metrics only; empty: of any.
    pub metrics: Vec<String>,
    /// From when on it pays nothing.
    pub expires_at: Option<Timestamp>,
    /// When it was ended, by hand or by its expiry.
    pub terminated_at: Option<Timestamp>,
    /// What is left.
    pub balance: MinorUnits,
    /// What it paid of invoices that were not voided.
    pub consumed: MinorUnits,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last changed, not counting entries.
    pub updated_at: Timestamp,
}

/// A page of which wallets.
#[derive(Clone, Copy, Debug, Default)]
pub struct WalletFilter {
    /// Whose.
    pub customer: Option<CustomerId>,
    /// Those that pay at this instant, or those that do not.
    pub active: Option<(bool, Timestamp)>,
}

const SELECT: &str = "SELECT w.*, a.balance, (SELECT CAST(COALESCE(-SUM(e.amount), 0) AS BIGINT) FROM credit_entries e
         WHERE e.account_id = w.id AND e.invoice_id IS NOT NULL) AS consumed
     FROM wallets w JOIN credit_accounts a ON a.id = w.id";

/// One wallet.
///
/// # Errors
/// As the database.
pub async fn get(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<StoredWallet>, LedgerError> {
    let sql = format!("{SELECT} WHERE w.organization_id = $1 AND w.id = $2");
    let found = query_with(sql, &[organization.to_string(), id.to_string()]).fetch_optional(connection).await?;
    found.as_ref().map(wallet_of).transpose()
}

/// A page of an organization's wallets, and the number of all that match.
///
/// # Errors
/// As the database.
pub async fn list(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    filter: &WalletFilter,
    page: &PageOf,
) -> Result<(Vec<StoredWallet>, i64), LedgerError> {
    let mut values = vec![organization.to_string()];
    let mut condition = String::from("w.organization_id = $1");
    if let Some(customer) = filter.customer {
        values.push(customer.to_string());
        condition.push_str(" AND w.customer_id = $2");
    }
    if let Some((active, at)) = filter.active {
        let negation = if active { "" } else { "NOT " };
        let pays = format!("(w.terminated_at IS NULL AND COALESCE(w.expires_at > {}, 1 = 1))", at.0);
        condition.push_str(&format!(" AND {negation}{pays}"));
    }
    let (limit, offset) = (values.len() + 1, values.len() + 2);
    let sql = format!("{SELECT} WHERE {condition} ORDER BY {} LIMIT ${limit} OFFSET ${offset}", page.order_in("w"));
    let rows = query_with(sql, &values).bind(page.limit).bind(page.skip).fetch_all(&mut *connection).await?;
    let count = format!("SELECT COUNT(*) AS total FROM wallets w WHERE {condition}");
    let total = query_with(count, &values).fetch_one(connection).await?.try_get("total")?;
    Ok((rows.iter().map(wallet_of).collect::<Result<_, _>>()?, total))
}

/// Writes a wallet whose account is open.
///
/// # Errors
/// As the database; a code that the customer has is a broken unique key.
pub async fn insert(connection: &mut AnyConnection, wallet: &StoredWallet) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO wallets (id, organization_id, customer_id, code, name, currency, rate_cents, priority, fee_types,
             metric_codes, expires_at, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, $13)",
    )
    .bind(wallet.id.to_string())
    .bind(wallet.organization.to_string())
    .bind(wallet.customer.to_string())
    .bind(wallet.code.clone())
    .bind(wallet.name.clone())
    .bind(wallet.currency.code().to_owned())
    .bind(wallet.rate.to_string())
    .bind(wallet.priority)
    .bind(serde_json::to_string(&wallet.fee_types)?)
    .bind(serde_json::to_string(&wallet.metrics)?)
    .bind(wallet.expires_at.map(|at| at.0))
    .bind(wallet.created_at.0)
    .bind(wallet.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what may change of a wallet whose account is locked.
///
/// # Errors
/// As the database.
pub async fn update(connection: &mut AnyConnection, wallet: &StoredWallet) -> Result<(), LedgerError> {
    sqlx::query(
        "UPDATE wallets SET name = $2, priority = $3, expires_at = $4, terminated_at = $5, updated_at = $6,
             version = version + 1 WHERE id = $1",
    )
    .bind(wallet.id.to_string())
    .bind(wallet.name.clone())
    .bind(wallet.priority)
    .bind(wallet.expires_at.map(|at| at.0))
    .bind(wallet.terminated_at.map(|at| at.0))
    .bind(wallet.updated_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// A top-up that waits for its invoice to be paid.
#[derive(Clone, Debug)]
pub struct PaidTopUp {
    /// Which wallet.
    pub wallet: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Its invoice.
    pub invoice: InvoiceId,
    /// `manual`, `interval` or `threshold`.
    pub source: &'static str,
    /// How much.
    pub cents: MinorUnits,
}

/// Writes a top-up down that waits.
///
/// # Errors
/// As the database.
pub async fn wait_for(connection: &mut AnyConnection, new: &PaidTopUp, now: Timestamp) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO wallet_top_ups (id, organization_id, wallet_id, invoice_id, source, cents, status, created_at,
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $7)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(new.organization.to_string())
    .bind(new.wallet.to_string())
    .bind(new.invoice.to_string())
    .bind(new.source)
    .bind(new.cents.0)
    .bind(now.0)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a top-up of a wallet waits to be paid.
///
/// # Errors
/// As the database.
pub async fn waits(connection: &mut AnyConnection, wallet: Uuid) -> Result<bool, LedgerError> {
    let sql = "SELECT id FROM wallet_top_ups WHERE wallet_id = $1 AND status = 'pending'";
    Ok(sqlx::query(sql).bind(wallet.to_string()).fetch_optional(connection).await?.is_some())
}

/// Locks the account that an invoice fills once it is paid, if there is one: to be called before the invoice is locked, as
/// everywhere accounts come first.
///
/// # Errors
/// As the database.
pub async fn lock_filled_by(
    connection: &mut AnyConnection,
    row_lock: &str,
    organization: OrganizationId,
    invoice: InvoiceId,
) -> Result<(), LedgerError> {
    let sql = "SELECT wallet_id FROM wallet_top_ups WHERE invoice_id = $1 AND status = 'pending'";
    if let Some(row) = sqlx::query(sql).bind(invoice.to_string()).fetch_optional(&mut *connection).await? {
        funds::lock(connection, row_lock, organization, read_uuid(&row, "wallet_id")?).await?;
    }
    Ok(())
}

/// An invoice was paid: the credit it was for arrives, in a wallet that has ended too, where it stays closed.
///
/// # Errors
/// As the database.
pub async fn arrive(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    for row in moved(connection, invoice, "settled", now).await? {
        let (wallet, cents): (Uuid, i64) = (read_uuid(&row, "wallet_id")?, row.try_get("cents")?);
        let missing = || LedgerError::corrupt("wallet_top_ups.wallet_id", wallet);
        let mut account = funds::lock(connection, "", organization, wallet).await?.ok_or_else(missing)?;
        let ended = get(connection, organization, wallet).await?.ok_or_else(missing)?.terminated_at.is_some();
        let change = Change {
            entry: "purchased",
            amount: cents,
            invoice: None,
            invoice_cents: 0,
            source: row.try_get("source")?,
            spendable: !ended,
        };
        funds::change(connection, &mut account, &change, now).await?;
    }
    Ok(())
}

/// An invoice was taken back: the credit it was for does not arrive.
///
/// # Errors
/// As the database.
pub async fn fail(connection: &mut AnyConnection, invoice: InvoiceId, now: Timestamp) -> Result<(), LedgerError> {
    moved(connection, invoice, "failed", now).await.map(|_| ())
}

async fn moved(
    connection: &mut AnyConnection,
    invoice: InvoiceId,
    to: &'static str,
    now: Timestamp,
) -> Result<Vec<AnyRow>, LedgerError> {
    let rows = sqlx::query(
        "UPDATE wallet_top_ups SET status = $2, updated_at = $3 WHERE invoice_id = $1 AND status = 'pending'
         RETURNING wallet_id, cents, source",
    )
    .bind(invoice.to_string())
    .bind(to)
    .bind(now.0)
    .fetch_all(connection)
    .await?;
    Ok(rows)
}

/// Wallets that have expired by `now` and are not ended; of one organization, or all. None while a top-up waits to be paid.
///
/// # Errors
/// As the database.
pub async fn expired(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
    now: Timestamp,
) -> Result<Vec<(OrganizationId, Uuid)>, LedgerError> {
    let rows = sqlx::query(
        "SELECT id, organization_id FROM wallets w WHERE expires_at <= $1 AND expires_at IS NOT NULL
             AND terminated_at IS NULL AND ($2 = '' OR organization_id = $2) AND NOT EXISTS
             (SELECT 1 FROM wallet_top_ups t WHERE t.wallet_id = w.id AND t.status = 'pending') ORDER BY id",
    )
    .bind(now.0)
    .bind(organization.map(|id| id.to_string()).unwrap_or_default())
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((OrganizationId(read_uuid(row, "organization_id")?), read_uuid(row, "id")?))).collect()
}

fn wallet_of(row: &AnyRow) -> Result<StoredWallet, LedgerError> {
    let instant = |column: &str| Ok::<_, LedgerError>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp));
    Ok(StoredWallet {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        customer: CustomerId(read_uuid(row, "customer_id")?),
        code: row.try_get("code")?,
        name: row.try_get("name")?,
        currency: read_currency(row, "currency")?,
        rate: read_quantity("wallets.rate_cents", row.try_get("rate_cents")?)?,
        priority: row.try_get("priority")?,
        fee_types: serde_json::from_str(row.try_get("fee_types")?)?,
        metrics: serde_json::from_str(row.try_get("metric_codes")?)?,
        expires_at: instant("expires_at")?,
        terminated_at: instant("terminated_at")?,
        balance: MinorUnits(row.try_get("balance")?),
        consumed: MinorUnits(row.try_get("consumed")?),
        created_at: Timestamp(row.try_get("created_at")?),
        updated_at: Timestamp(row.try_get("updated_at")?),
    })
}
