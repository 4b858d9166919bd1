//! Usage that is billed as thresholds are crossed: what usage came to in earlier periods, which thresholds were crossed, and what of
//! a period is billed so.
//!
//! A progressive invoice bills all usage of its period so far, less what the one before it billed; the period's invoice does the
//! same once more. So each bill is taken off exactly one later invoice, whose id it then bears ([`take`]), and the last one of a
//! period is the only one that still waits. An invoice that is taken back lets go of what it took ([`let_go`]).
//!
//! **I4**: a threshold is crossed once by a subscription at each level (unique key). Who bills by thresholds holds its row of
//! `watch_progress` alone, who bills periods shares it: neither misses what the other writes, in whichever order they come.

use super::bulk::{BulkInsert, Cell, rows_in};
use super::write::NewInvoice;
use super::{LedgerError, read_uuid, watch_progress};
use crate::due::{Chain, Part};
use crate::model::{FeeKind, Invoice};
use domain::ids::{InvoiceId, OrganizationId, SubscriptionId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The tables.
pub(super) const MIGRATION: &str = "
CREATE TABLE lifetime_usage (
    subscription_id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    before_cents BIGINT NOT NULL,
    thresholds TEXT NOT NULL,
    held_up BIGINT NOT NULL
);
CREATE INDEX lifetime_usage_by_organization ON lifetime_usage (organization_id);

CREATE TABLE threshold_crossings (
    id TEXT NOT NULL PRIMARY KEY,
    organization_id TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    threshold_id TEXT NOT NULL,
    level_cents BIGINT NOT NULL,
    lifetime_cents BIGINT NOT NULL,
    usage_cents BIGINT NOT NULL,
    period_start BIGINT NOT NULL,
    invoice_id TEXT REFERENCES invoices (id),
    crossed_at BIGINT NOT NULL,
    UNIQUE (subscription_id, threshold_id, level_cents)
);
CREATE INDEX threshold_crossings_by_organization ON threshold_crossings (organization_id);

CREATE TABLE progressive_bills (
    invoice_id TEXT NOT NULL PRIMARY KEY REFERENCES invoices (id),
    organization_id TEXT NOT NULL,
    subscription_id TEXT NOT NULL,
    period_start BIGINT NOT NULL,
    usage_cents BIGINT NOT NULL,
    amount_cents BIGINT NOT NULL,
    taken_by TEXT REFERENCES invoices (id)
);
CREATE INDEX progressive_bills_waiting ON progressive_bills (subscription_id) WHERE taken_by IS NULL;
CREATE INDEX progressive_bills_taken ON progressive_bills (taken_by) WHERE taken_by IS NOT NULL;
CREATE INDEX progressive_bills_by_organization ON progressive_bills (organization_id);
";

/// What the usage of a subscription came to before one of its periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Tenant.
    pub organization: OrganizationId,
    /// Start of the period that is not in `before` any more.
    pub period_start: Timestamp,
    /// All usage until then.
    pub before: MinorUnits,
    /// The thresholds that were looked at, as a text that differs when they do.
    pub thresholds: String,
    /// Could not be rated: to be looked at again.
    pub held_up: bool,
}

/// A threshold that was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// Whose usage.
    pub subscription: SubscriptionId,
    /// Tenant.
    pub organization: OrganizationId,
    /// Which.
    pub threshold: Uuid,
    /// The amount that was reached: of a recurring threshold the highest so far.
    pub level: MinorUnits,
    /// What usage came to in all.
    pub lifetime: MinorUnits,
    /// Of it in the period.
    pub usage: MinorUnits,
    /// Start of the period.
    pub period_start: Timestamp,
    /// What billed it; absent when there was nothing left to bill.
    pub invoice: Option<InvoiceId>,
    /// By the organization's clock.
    pub crossed_at: Timestamp,
}

/// What a progressive invoice billed, and no later invoice has taken off yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The invoice.
    pub invoice: InvoiceId,
    /// Whose usage.
    pub subscription: SubscriptionId,
    /// Start of its stretch.
    pub period_start: Timestamp,
    /// Σ its fees.
    pub usage: MinorUnits,
    /// What all progressive invoices of the stretch billed: fees − coupons + taxes.
    pub amount: MinorUnits,
}

/// Of every subscription that was looked at: which thresholds were, and whether it must be again.
///
/// # Errors
/// As the database.
pub async fn looked_at(connection: &mut AnyConnection) -> Result<HashMap<SubscriptionId, (String, bool)>, LedgerError> {
    let rows =
        sqlx::query("SELECT subscription_id, thresholds, held_up FROM lifetime_usage").fetch_all(connection).await?;
    let read = |row: &AnyRow| {
        let held_up: i64 = row.try_get("held_up")?;
        Ok((SubscriptionId(read_uuid(row, "subscription_id")?), (row.try_get("thresholds")?, held_up != 0)))
    };
    rows.iter().map(read).collect()
}

/// What is known of these subscriptions.
///
/// # Errors
/// As the database.
pub async fn lifetimes(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<HashMap<SubscriptionId, Lifetime>, LedgerError> {
    let sql = |list: &str| format!("SELECT * FROM lifetime_usage WHERE subscription_id IN ({list})");
    let read = |row: &AnyRow| {
        let subscription = SubscriptionId(read_uuid(row, "subscription_id")?);
        let lifetime = Lifetime {
            subscription,
            organization: OrganizationId(read_uuid(row, "organization_id")?),
            period_start: Timestamp(row.try_get("period_start")?),
            before: MinorUnits(row.try_get("before_cents")?),
            thresholds: row.try_get("thresholds")?,
            held_up: row.try_get::<i64, _>("held_up")? != 0,
        };
        Ok((subscription, lifetime))
    };
    rows_in(connection, subscriptions, sql).await?.iter().map(read).collect()
}

const LIFETIMES: BulkInsert = BulkInsert {
    table: "lifetime_usage",
    columns: "subscription_id, organization_id, period_start, before_cents, thresholds, held_up",
    tail: "ON CONFLICT (subscription_id) DO UPDATE SET period_start = excluded.period_start,
           before_cents = excluded.before_cents, thresholds = excluded.thresholds, held_up = excluded.held_up",
};

/// Writes down what is known from now on.
///
/// # Errors
/// As the database.
pub async fn keep(connection: &mut AnyConnection, lifetimes: &[Lifetime]) -> Result<(), LedgerError> {
    let row = |one: &Lifetime| {
        vec![
            Cell::Text(one.subscription.to_string()),
            Cell::Text(one.organization.to_string()),
            Cell::Int(one.period_start.0),
            Cell::Int(one.before.0),
            Cell::Text(one.thresholds.clone()),
            Cell::Int(i64::from(one.held_up)),
        ]
    };
    LIFETIMES.run(connection, lifetimes.iter().map(row).collect()).await?;
    Ok(())
}

/// The highest level of each threshold that these subscriptions have reached.
///
/// # Errors
/// As the database.
pub async fn crossed(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<HashMap<(SubscriptionId, Uuid), MinorUnits>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "SELECT subscription_id, threshold_id, MAX(level_cents) AS level FROM threshold_crossings
             WHERE subscription_id IN ({list}) GROUP BY subscription_id, threshold_id"
        )
    };
    let read = |row: &AnyRow| {
        let key = (SubscriptionId(read_uuid(row, "subscription_id")?), read_uuid(row, "threshold_id")?);
        Ok((key, MinorUnits(row.try_get("level")?)))
    };
    rows_in(connection, subscriptions, sql).await?.iter().map(read).collect()
}

const CROSSINGS: BulkInsert = BulkInsert {
    table: "threshold_crossings",
    columns: "id, organization_id, subscription_id, threshold_id, level_cents, lifetime_cents, usage_cents, period_start, \
              invoice_id, crossed_at",
    tail: "",
};

/// Writes crossings down; their invoices must be written before.
///
/// # Errors
/// As the database: one that was written before is a broken unique key.
pub async fn note_crossings(connection: &mut AnyConnection, crossings: &[Crossing]) -> Result<(), LedgerError> {
    let row = |one: &Crossing| {
        vec![
            Cell::Text(Uuid::now_v7().to_string()),
            Cell::Text(one.organization.to_string()),
            Cell::Text(one.subscription.to_string()),
            Cell::Text(one.threshold.to_string()),
            Cell::Int(one.level.0),
            Cell::Int(one.lifetime.0),
            Cell::Int(one.usage.0),
            Cell::Int(one.period_start.0),
            Cell::MaybeText(one.invoice.map(|id| id.to_string())),
            Cell::Int(one.crossed_at.0),
        ]
    };
    CROSSINGS.run(connection, crossings.iter().map(row).collect()).await?;
    Ok(())
}

/// What of these subscriptions is billed so and not taken off yet.
///
/// # Errors
/// As the database.
pub async fn waiting(
    connection: &mut AnyConnection,
    subscriptions: &[SubscriptionId],
) -> Result<Vec<Waiting>, LedgerError> {
    let sql = |list: &str| {
        format!(
            "SELECT invoice_id, subscription_id, period_start, usage_cents, amount_cents FROM progressive_bills
             WHERE taken_by IS NULL AND subscription_id IN ({list})"
        )
    };
    let read = |row: &AnyRow| {
        Ok(Waiting {
            invoice: InvoiceId(read_uuid(row, "invoice_id")?),
            subscription: SubscriptionId(read_uuid(row, "subscription_id")?),
            period_start: Timestamp(row.try_get("period_start")?),
            usage: MinorUnits(row.try_get("usage_cents")?),
            amount: MinorUnits(row.try_get("amount_cents")?),
        })
    };
    rows_in(connection, subscriptions, sql).await?.iter().map(read).collect()
}

/// Which bills which invoices have taken off, for [`note_taken`] once these are written.
#[derive(Debug, Default)]
pub struct Taken(Vec<(InvoiceId, InvoiceId)>);

/// Takes off each invoice of a batch of periods what was billed of their usage as thresholds were crossed. The frontiers are
/// moved before.
///
/// # Errors
/// As the database, or past 64 bits; roll back then.
pub async fn take(
    connection: &mut AnyConnection,
    row_lock: &str,
    invoices: &mut [NewInvoice],
) -> Result<Taken, LedgerError> {
    // An attempt that was rolled back may have left what it took.
    invoices.iter_mut().for_each(|new| new.invoice.credits.progressive = MinorUnits::ZERO);
    if !watch_progress::share(connection, row_lock).await? {
        return Ok(Taken::default());
    }
    // In order of time: of two periods in one batch each takes its own.
    let mut billed: BTreeMap<SubscriptionId, Vec<(usize, Timestamp)>> = BTreeMap::new();
    for (place, new) in invoices.iter().enumerate() {
        let usage = new.moves.iter().filter(|(key, step)| {
            let moves = step.after.map(|frontier| frontier.until) != Some(step.to.until);
            moves && key.part == Part::Usage && key.chain == Chain::Main
        });
        for (key, step) in usage {
            billed.entry(key.subscription).or_default().push((place, step.to.until));
        }
    }
    let subscriptions: Vec<SubscriptionId> = billed.keys().copied().collect();
    let mut taken = Taken::default();
    for bill in waiting(connection, &subscriptions).await? {
        let here = billed.get(&bill.subscription).into_iter().flatten().find(|(_, until)| bill.period_start < *until);
        let Some((place, _)) = here else { continue };
        let invoice = &mut invoices[*place].invoice;
        invoice.credits.progressive = invoice.credits.progressive.plus(bill.amount)?;
        taken.0.push((bill.invoice, invoice.id));
    }
    Ok(taken)
}

/// Writes down what was taken; the invoices that took it must be written before.
///
/// # Errors
/// As the database.
pub async fn note_taken(connection: &mut AnyConnection, taken: Taken) -> Result<(), LedgerError> {
    for (bill, by) in taken.0 {
        set_taken(connection, bill, by).await?;
    }
    Ok(())
}

async fn set_taken(connection: &mut AnyConnection, bill: InvoiceId, by: InvoiceId) -> Result<(), LedgerError> {
    let sql = "UPDATE progressive_bills SET taken_by = $2 WHERE invoice_id = $1 AND taken_by IS NULL";
    let updated = sqlx::query(sql).bind(bill.to_string()).bind(by.to_string()).execute(connection).await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(LedgerError::corrupt("progressive_bills.taken_by", bill)),
    }
}

const BILLS: BulkInsert = BulkInsert {
    table: "progressive_bills",
    columns: "invoice_id, organization_id, subscription_id, period_start, usage_cents, amount_cents",
    tail: "",
};

/// Writes down what these progressive invoices billed, and that each takes off the one before it. They are written.
///
/// # Errors
/// As the database, or past 64 bits.
pub async fn note_billed(
    connection: &mut AnyConnection,
    invoices: &[Invoice],
    before: &HashMap<InvoiceId, InvoiceId>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::new();
    for invoice in invoices {
        let Some(subscription) = invoice.subscription else { continue };
        let net = invoice.subtotal.plus(MinorUnits(-invoice.credits.coupons.0))?;
        rows.push(vec![
            Cell::Text(invoice.id.to_string()),
            Cell::Text(invoice.organization.to_string()),
            Cell::Text(subscription.to_string()),
            Cell::Int(invoice.period_start.0),
            Cell::Int(invoice.subtotal.0),
            Cell::Int(net.plus(invoice.taxes.amount)?.0),
        ]);
    }
    BILLS.run(connection, rows).await?;
    for (by, bill) in before {
        set_taken(connection, *bill, *by).await?;
    }
    Ok(())
}

/// Which invoice has taken off what this progressive invoice billed.
///
/// # Errors
/// As the database.
pub async fn taken_by(connection: &mut AnyConnection, bill: InvoiceId) -> Result<Option<InvoiceId>, LedgerError> {
    let sql = "SELECT taken_by FROM progressive_bills WHERE invoice_id = $1 AND taken_by IS NOT NULL";
    let row = sqlx::query(sql).bind(bill.to_string()).fetch_optional(connection).await?;
    row.map(|row| Ok(InvoiceId(read_uuid(&row, "taken_by")?))).transpose()
}

/// An invoice that is taken back lets go of what it took off, and is itself no longer to be taken off.
///
/// # Errors
/// As the database.
pub async fn let_go(connection: &mut AnyConnection, invoice: InvoiceId) -> Result<(), LedgerError> {
    for sql in [
        "UPDATE progressive_bills SET taken_by = NULL WHERE taken_by = $1",
        "DELETE FROM progressive_bills WHERE invoice_id = $1",
    ] {
        sqlx::query(sql).bind(invoice.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// A draft that is made again from a voided invoice takes off what that had taken, as far as it still waits.
///
/// # Errors
/// As the database, or past 64 bits.
pub async fn take_again(
    connection: &mut AnyConnection,
    draft: InvoiceId,
    fees: &[super::fees::StoredFee],
) -> Result<(), LedgerError> {
    let usage = fees.iter().filter(|fee| fee.kind == FeeKind::Charge && fee.in_advance.is_none());
    let stretches: Vec<(SubscriptionId, Timestamp)> =
        usage.filter_map(|fee| Some((fee.subscription?, fee.from))).collect();
    let mut subscriptions: Vec<SubscriptionId> = stretches.iter().map(|(subscription, _)| *subscription).collect();
    subscriptions.sort_unstable();
    subscriptions.dedup();
    let mut sum = MinorUnits::ZERO;
    for bill in waiting(connection, &subscriptions).await? {
        if stretches.contains(&(bill.subscription, bill.period_start)) {
            set_taken(connection, bill.invoice, draft).await?;
            sum = sum.plus(bill.amount)?;
        }
    }
    let sql = "UPDATE invoices SET progressive_credit_cents = $2, total_cents = total_cents - $2 WHERE id = $1";
    sqlx::query(sql).bind(draft.to_string()).bind(sum.0).execute(connection).await?;
    Ok(())
}
