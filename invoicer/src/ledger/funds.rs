//! Accounts of credits and their entries: read under lock, spent, opened, given back (I7).
//!
//! Whoever spends locks the accounts first, all of its customers in one statement in the order of ids, so that no two wait for each
//! other crosswise. Should a lock ever be missing, the entries' primary key refuses the second of two that spend the same balance.

use super::bulk::{BulkInsert, Cell, placeholders, query_with, rows_in};
use super::{LedgerError, read_uuid};
use crate::credits::coupons::rank;
use crate::credits::fund::{CouponTerms, Discount, Fund, FundKind, FundTerms, Spent, WalletTerms};
use domain::ids::{CustomerId, InvoiceId, OrganizationId, PlanId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{BTreeSet, HashMap};
use uuid::Uuid;

/// What an account is opened with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// That of the credit note, applied coupon or wallet.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// Whose.
    pub customer: CustomerId,
    /// What it is.
    pub kind: FundKind,
    /// Of what it is spent on; absent: any.
    pub currency: Option<Currency>,
    /// Its first entry; 0 makes none.
    pub balance: i64,
    /// What the first entry is called.
    pub entry: &'static str,
    /// What it came from.
    pub source: String,
    /// Whether it may be spent now.
    pub spendable: bool,
}

/// An entry that changes an account that is there.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is called.
    pub entry: &'static str,
    /// What it adds; negative: takes.
    pub amount: i64,
    /// For which invoice.
    pub invoice: Option<InvoiceId>,
    /// What that takes off the invoice; negative: gives back.
    pub invoice_cents: i64,
    /// What it came from.
    pub source: String,
    /// Whether the account may be spent afterwards.
    pub spendable: bool,
}

/// An account as it stands.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    pub organization: OrganizationId,
    /// What is left.
    pub balance: i64,
    /// Number of its last entry.
    pub entries: i64,
    /// Whether it may be spent.
    pub spendable: bool,
}

/// Place in the order of use: class, priority, age, id.
type InOrder = (u8, i64, i64, Uuid);

/// What these customers have to spend, each in the order of use; locked until the transaction ends.
///
/// # Errors
/// As the database.
pub async fn to_spend(
    connection: &mut AnyConnection,
    row_lock: &str,
    customers: &BTreeSet<CustomerId>,
) -> Result<HashMap<CustomerId, Vec<Fund>>, LedgerError> {
    let ids: Vec<String> = customers.iter().map(ToString::to_string).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // One statement however many they are: in pieces, two batches could lock each other's accounts crosswise.
    let list = placeholders(0, ids.len());
    let sql = format!(
        "SELECT id, customer_id, kind, currency, balance, entries, opened_at FROM credit_accounts
         WHERE spendable = 1 AND customer_id IN ({list}) ORDER BY id{row_lock}"
    );
    let accounts = query_with(sql, &ids).fetch_all(&mut *connection).await?;
    if accounts.is_empty() {
        return Ok(HashMap::new());
    }
    let coupons = coupon_terms(connection, &of_kind(&accounts, FundKind::Coupon)?).await?;
    let wallets = wallet_terms(connection, &of_kind(&accounts, FundKind::Wallet)?).await?;
    let mut funds: HashMap<CustomerId, Vec<(InOrder, Fund)>> = HashMap::new();
    for row in &accounts {
        let id = read_uuid(row, "id")?;
        let opened_at: i64 = row.try_get("opened_at")?;
        let missing = || LedgerError::corrupt("credit_accounts.id", id);
        let (terms, expires_at) = match kind_of(row)? {
            FundKind::CreditNote => (FundTerms::CreditNote, None),
            FundKind::Coupon => (FundTerms::Coupon(coupons.get(&id).cloned().ok_or_else(missing)?), None),
            FundKind::Wallet => {
                let (terms, expires_at) = wallets.get(&id).cloned().ok_or_else(missing)?;
                (FundTerms::Wallet(terms), expires_at)
            }
        };
        let (class, priority) = match &terms {
            FundTerms::Coupon(coupon) => (rank(coupon), 0),
            FundTerms::CreditNote => (3, 0),
            FundTerms::Wallet(wallet) => (4, wallet.priority),
        };
        let (balance, entries) = (row.try_get("balance")?, row.try_get("entries")?);
        let fund = Fund { id, currency: currency_of(row)?, balance, entries, expires_at, terms };
        let customer = CustomerId(read_uuid(row, "customer_id")?);
        funds.entry(customer).or_default().push(((class, priority, opened_at, id), fund));
    }
    let in_order = |mut list: Vec<(InOrder, Fund)>| {
        list.sort_by_key(|(place, _)| *place);
        list.into_iter().map(|(_, fund)| fund).collect()
    };
    Ok(funds.into_iter().map(|(customer, list)| (customer, in_order(list))).collect())
}

fn of_kind(accounts: &[AnyRow], kind: FundKind) -> Result<Vec<String>, LedgerError> {
    let mut ids = Vec::new();
    for row in accounts {
        if kind_of(row)? == kind {
            ids.push(row.try_get("id")?);
        }
    }
    Ok(ids)
}

fn kind_of(row: &AnyRow) -> Result<FundKind, LedgerError> {
    let text: &str = row.try_get("kind")?;
    FundKind::of(text).ok_or_else(|| LedgerError::corrupt("credit_accounts.kind", text))
}

fn currency_of(row: &AnyRow) -> Result<Option<Currency>, LedgerError> {
    let text: &str = row.try_get("currency")?;
    let parse = |text: &str| text.parse().map_err(|_| LedgerError::corrupt("credit_accounts.currency", text));
    (!text.is_empty()).then(|| parse(text)).transpose()
}

async fn coupon_terms(
    connection: &mut AnyConnection,
    ids: &[String],
) -> Result<HashMap<Uuid, CouponTerms>, LedgerError> {
    let mut terms = HashMap::new();
    let sql = |list: &str| {
        format!(
            "SELECT a.id, a.amount_cents, a.percentage, a.endless, c.plan_ids, c.metric_codes FROM applied_coupons a
             JOIN coupons c ON c.id = a.coupon_id WHERE a.id IN ({list})"
        )
    };
    for row in rows_in(&mut *connection, ids, sql).await? {
        let percentage: Option<&str> = row.try_get("percentage")?;
        let discount = match percentage {
            Some(text) => Discount::Share(super::read_quantity("applied_coupons.percentage", text)?),
            None => Discount::Fixed(MinorUnits(row.try_get("amount_cents")?)),
        };
        let one = CouponTerms {
            discount,
            endless: row.try_get::<i64, _>("endless")? != 0,
            plans: serde_json::from_str(row.try_get("plan_ids")?)?,
            metrics: serde_json::from_str(row.try_get("metric_codes")?)?,
        };
        terms.insert(read_uuid(&row, "id")?, one);
    }
    with_overrides(connection, &mut terms).await?;
    Ok(terms)
}

/// A coupon of a plan also discounts the plans that were made of it for one subscription each.
async fn with_overrides(
    connection: &mut AnyConnection,
    terms: &mut HashMap<Uuid, CouponTerms>,
) -> Result<(), LedgerError> {
    let named: BTreeSet<PlanId> = terms.values().flat_map(|one| one.plans.iter().copied()).collect();
    let named: Vec<PlanId> = named.into_iter().collect();
    let sql = |list: &str| format!("SELECT id, parent_plan_id FROM plans WHERE parent_plan_id IN ({list})");
    let mut children: HashMap<PlanId, Vec<PlanId>> = HashMap::new();
    for row in rows_in(connection, &named, sql).await? {
        let parent = PlanId(read_uuid(&row, "parent_plan_id")?);
        children.entry(parent).or_default().push(PlanId(read_uuid(&row, "id")?));
    }
    for one in terms.values_mut() {
        let more: Vec<PlanId> = one.plans.iter().filter_map(|plan| children.get(plan)).flatten().copied().collect();
        one.plans.extend(more);
    }
    Ok(())
}

type WalletsById = HashMap<Uuid, (WalletTerms, Option<Timestamp>)>;

async fn wallet_terms(connection: &mut AnyConnection, ids: &[String]) -> Result<WalletsById, LedgerError> {
    let sql = |list: &str| {
        format!("SELECT id, code, priority, fee_types, metric_codes, expires_at FROM wallets WHERE id IN ({list})")
    };
    let mut terms = HashMap::new();
    for row in rows_in(connection, ids, sql).await? {
        let one = WalletTerms {
            code: row.try_get("code")?,
            priority: row.try_get("priority")?,
            fee_types: serde_json::from_str(row.try_get("fee_types")?)?,
            metrics: serde_json::from_str(row.try_get("metric_codes")?)?,
        };
        let expires_at = row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp);
        terms.insert(read_uuid(&row, "id")?, (one, expires_at));
    }
    Ok(terms)
}

/// Writes what was spent of accounts that [`to_spend`] locked. The invoices must be written before.
///
/// # Errors
/// As the database; a balance that somebody else has spent is a broken unique key.
pub async fn post(connection: &mut AnyConnection, spent: &[Spent]) -> Result<(), LedgerError> {
    let entry = |one: &Spent| {
        let at = Place { account: one.fund, organization: one.organization, sequence: one.sequence };
        let change = Change {
            entry: "applied",
            amount: -one.units,
            invoice: Some(one.invoice),
            invoice_cents: one.cents.0,
            source: "invoice".into(),
            spendable: one.open,
        };
        entry_row(at, one.before, &change, one.at)
    };
    ENTRIES.run(connection, spent.iter().map(entry).collect()).await?;
    // The last entry of each account says where it stands.
    let mut last: HashMap<Uuid, &Spent> = HashMap::new();
    for one in spent {
        last.insert(one.fund, one);
    }
    for one in last.into_values() {
        stand(connection, one.fund, one.before - one.units, one.sequence, one.open).await?;
    }
    Ok(())
}

/// Opens an account with its first entry.
///
/// # Errors
/// As the database.
pub async fn open(connection: &mut AnyConnection, new: &NewAccount, now: Timestamp) -> Result<(), LedgerError> {
    sqlx::query(
        "INSERT INTO credit_accounts (id, organization_id, customer_id, kind, currency, spendable, balance, entries, opened_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.id.to_string())
    .bind(new.organization.to_string())
    .bind(new.customer.to_string())
    .bind(new.kind.as_str())
    .bind(new.currency.map(|currency| currency.code().to_owned()).unwrap_or_default())
    .bind(i64::from(new.spendable))
    .bind(new.balance)
    .bind(i64::from(new.balance != 0))
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    if new.balance == 0 {
        return Ok(());
    }
    let at = Place { account: new.id, organization: new.organization, sequence: 1 };
    let change = Change {
        entry: new.entry,
        amount: new.balance,
        invoice: None,
        invoice_cents: 0,
        source: new.source.clone(),
        spendable: new.spendable,
    };
    ENTRIES.run(connection, vec![entry_row(at, 0, &change, now)]).await?;
    Ok(())
}

/// An account of an organization, locked.
///
/// # Errors
/// As the database.
pub async fn lock(
    connection: &mut AnyConnection,
    row_lock: &str,
    organization: OrganizationId,
    id: Uuid,
) -> Result<Option<Account>, LedgerError> {
    let sql = format!(
        "SELECT id, organization_id, balance, entries, spendable FROM credit_accounts
         WHERE organization_id = $1 AND id = $2{row_lock}"
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(organization.to_string()).bind(id.to_string());
    query.fetch_optional(connection).await?.as_ref().map(account_of).transpose()
}

fn account_of(row: &AnyRow) -> Result<Account, LedgerError> {
    Ok(Account {
        id: read_uuid(row, "id")?,
        organization: OrganizationId(read_uuid(row, "organization_id")?),
        balance: row.try_get("balance")?,
        entries: row.try_get("entries")?,
        spendable: row.try_get::<i64, _>("spendable")? != 0,
    })
}

/// Closes a locked account: it is not spent any more.
///
/// # Errors
/// As the database.
pub async fn close(connection: &mut AnyConnection, id: Uuid) -> Result<(), LedgerError> {
    let sql = "UPDATE credit_accounts SET spendable = 0 WHERE id = $1";
    sqlx::query(sql).bind(id.to_string()).execute(connection).await?;
    Ok(())
}

/// Writes an entry of a locked account.
///
/// # Errors
/// As the database; a balance below 0 is a broken constraint.
pub async fn change(
    connection: &mut AnyConnection,
    account: &mut Account,
    change: &Change,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let at = Place { account: account.id, organization: account.organization, sequence: account.entries + 1 };
    ENTRIES.run(connection, vec![entry_row(at, account.balance, change, now)]).await?;
    account.balance += change.amount;
    account.entries += 1;
    account.spendable = change.spendable;
    stand(connection, account.id, account.balance, account.entries, account.spendable).await
}

/// Gives back what an invoice took, to the accounts it took it from.
///
/// An account that was closed by hand (a terminated coupon or wallet) gets it too and stays closed; a credit note may be spent again,
/// also one that was voided after it had paid: what was voided was only what was left.
///
/// # Errors
/// As the database.
pub async fn give_back(
    connection: &mut AnyConnection,
    row_lock: &str,
    invoice: InvoiceId,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = format!(
        "SELECT id, organization_id, kind, balance, entries, spendable FROM credit_accounts WHERE id IN
             (SELECT account_id FROM credit_entries WHERE invoice_id = $1) ORDER BY id{row_lock}"
    );
    let accounts = sqlx::query(AssertSqlSafe(sql)).bind(invoice.to_string()).fetch_all(&mut *connection).await?;
    for row in &accounts {
        let mut account = account_of(row)?;
        let taken = sqlx::query(
            "SELECT CAST(SUM(amount) AS BIGINT) AS units, CAST(SUM(invoice_cents) AS BIGINT) AS cents
             FROM credit_entries WHERE account_id = $1 AND invoice_id = $2",
        )
        .bind(account.id.to_string())
        .bind(invoice.to_string())
        .fetch_one(&mut *connection)
        .await?;
        let (units, cents): (i64, i64) = (taken.try_get("units")?, taken.try_get("cents")?);
        if units == 0 && cents == 0 {
            continue;
        }
        let closed = closed_by_hand(connection, account.id).await?;
        let back = Change {
            entry: "given_back",
            amount: -units,
            invoice: Some(invoice),
            invoice_cents: -cents,
            source: "voided".into(),
            spendable: !closed,
        };
        change(connection, &mut account, &back, now).await?;
    }
    Ok(())
}

async fn closed_by_hand(connection: &mut AnyConnection, account: Uuid) -> Result<bool, LedgerError> {
    let sql = "SELECT id FROM applied_coupons WHERE id = $1 AND terminated_at IS NOT NULL
               UNION ALL SELECT id FROM wallets WHERE id = $1 AND terminated_at IS NOT NULL";
    Ok(sqlx::query(sql).bind(account.to_string()).fetch_optional(connection).await?.is_some())
}

async fn stand(
    connection: &mut AnyConnection,
    account: Uuid,
    balance: i64,
    entries: i64,
    spendable: bool,
) -> Result<(), LedgerError> {
    sqlx::query("UPDATE credit_accounts SET balance = $2, entries = $3, spendable = $4 WHERE id = $1")
        .bind(account.to_string())
        .bind(balance)
        .bind(entries)
        .bind(i64::from(spendable))
        .execute(connection)
        .await?;
    Ok(())
}

const ENTRIES: BulkInsert = BulkInsert {
    table: "credit_entries",
    columns: "account_id, sequence, id, organization_id, kind, amount, follows, balance_before, balance_after, invoice_id, \
              invoice_cents, source, created_at",
    tail: "",
};

/// Where an entry stands.
struct Place {
    account: Uuid,
    organization: OrganizationId,
    sequence: i64,
}

fn entry_row(at: Place, before: i64, change: &Change, now: Timestamp) -> Vec<Cell> {
    vec![
        Cell::Text(at.account.to_string()),
        Cell::Int(at.sequence),
        Cell::Text(Uuid::now_v7().to_string()),
        Cell::Text(at.organization.to_string()),
        Cell::Text(change.entry.into()),
        Cell::Int(change.amount),
        Cell::MaybeInt((at.sequence > 1).then_some(at.sequence - 1)),
        Cell::Int(before),
        Cell::Int(before + change.amount),
        Cell::MaybeText(change.invoice.map(|id| id.to_string())),
        Cell::Int(change.invoice_cents),
        Cell::Text(change.source.clone()),
        Cell::Int(now.0),
    ]
}
