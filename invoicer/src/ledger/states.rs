//! One invoice from state to state. Each change names the version it was decided on; false: somebody was first, roll back.

use super::LedgerError;
use super::bulk::{BulkInsert, Cell};
use super::invoices::StoredInvoice;
use super::tally::Changes;
use super::wallets;
use crate::model::{InvoiceKind, InvoiceStatus};
use domain::ids::{InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row};

/// Settlement by hand, outside of any payment.
pub const MANUAL: &str = "manual";

/// The version of an invoice: how often it was changed.
///
/// # Errors
/// As the database.
pub async fn version(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: InvoiceId,
) -> Result<Option<i64>, LedgerError> {
    let sql = "SELECT version FROM invoices WHERE organization_id = $1 AND id = $2";
    let row =
        sqlx::query(sql).bind(organization.to_string()).bind(invoice.to_string()).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get("version")).transpose()?)
}

async fn moved(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    sql: &'static str,
    values: [i64; 2],
) -> Result<bool, LedgerError> {
    let updated = sqlx::query(sql)
        .bind(organization.to_string())
        .bind(invoice.id.to_string())
        .bind(invoice.version)
        .bind(values[0])
        .bind(values[1])
        .execute(connection)
        .await?;
    Ok(updated.rows_affected() == 1)
}

/// What of an invoice has been settled since it was issued.
///
/// # Errors
/// As the database.
pub async fn settled(connection: &mut AnyConnection, invoice: InvoiceId) -> Result<MinorUnits, LedgerError> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS settled FROM invoice_settlements
               WHERE invoice_id = $1";
    let row = sqlx::query(sql).bind(invoice.to_string()).fetch_one(connection).await?;
    Ok(MinorUnits(row.try_get("settled")?))
}

/// What of an invoice has been settled in money: what can be paid back.
///
/// # Errors
/// As the database.
pub async fn paid_in_money(connection: &mut AnyConnection, invoice: InvoiceId) -> Result<MinorUnits, LedgerError> {
    let sql = "SELECT CAST(COALESCE(SUM(amount_cents), 0) AS BIGINT) AS settled FROM invoice_settlements
               WHERE invoice_id = $1 AND settlement_type IN ('manual', 'payment')";
    let row = sqlx::query(sql).bind(invoice.to_string()).fetch_one(connection).await?;
    Ok(MinorUnits(row.try_get("settled")?))
}

/// Settles part of an issued invoice, or the rest of it: then it is paid. The caller has locked it and knows what is due.
///
/// # Errors
/// As the database.
pub async fn settle(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    with: (&str, String, MinorUnits),
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let (kind, source, amount) = with;
    let rest = invoice.total.0 - settled(connection, invoice.id).await?.0 - amount.0;
    let sql = if rest == 0 {
        "UPDATE invoices SET status = 'paid', paid_at = $4, updated_at = $5, version = version + 1
         WHERE organization_id = $1 AND id = $2 AND version = $3 AND status = 'finalized'"
    } else {
        "UPDATE invoices SET updated_at = $5, version = version + 1
         WHERE organization_id = $1 AND id = $2 AND version = $3 AND status = 'finalized' AND $4 = $4"
    };
    if !moved(connection, organization, invoice, sql, [now.0, now.0]).await? {
        return Ok(false);
    }
    let settlement = vec![
        Cell::Text(uuid::Uuid::now_v7().to_string()),
        Cell::Text(organization.to_string()),
        Cell::Text(invoice.id.to_string()),
        Cell::Text(kind.into()),
        Cell::Text(source),
        Cell::Int(amount.0),
        Cell::Int(now.0),
    ];
    SETTLEMENTS.run(connection, vec![settlement]).await?;
    if rest == 0 {
        set_fees(connection, invoice, "payment_status = 'succeeded'", now).await?;
        Changes::of_one(organization, InvoiceStatus::Finalized, InvoiceStatus::Paid).write(connection).await?;
        if invoice.kind == InvoiceKind::Credit {
            wallets::arrive(connection, organization, invoice.id, now).await?;
        }
    }
    Ok(true)
}

/// Takes back part of a settlement, whose money was paid back: an invoice that was paid is due again. The caller has locked it.
///
/// # Errors
/// As the database; more than was settled so is a broken constraint.
pub async fn unsettle(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    with: (&str, String, MinorUnits),
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let (kind, source, amount) = with;
    let sql = "UPDATE invoices SET status = 'finalized', paid_at = NULL, updated_at = $4, version = version + 1
               WHERE organization_id = $1 AND id = $2 AND version = $3 AND status IN ('finalized', 'paid') AND $5 = $5";
    if !moved(connection, organization, invoice, sql, [now.0, now.0]).await? {
        return Ok(false);
    }
    Changes::of_one(organization, invoice.status, InvoiceStatus::Finalized).write(connection).await?;
    for sql in [
        "DELETE FROM invoice_settlements WHERE invoice_id = $1 AND settlement_type = $2 AND source_id = $3
             AND amount_cents = $4",
        "UPDATE invoice_settlements SET amount_cents = amount_cents - $4 WHERE invoice_id = $1 AND settlement_type = $2
             AND source_id = $3",
    ] {
        sqlx::query(sql)
            .bind(invoice.id.to_string())
            .bind(kind.to_owned())
            .bind(source.clone())
            .bind(amount.0)
            .execute(&mut *connection)
            .await?;
    }
    set_fees(connection, invoice, "payment_status = 'pending'", now).await?;
    Ok(true)
}

/// What is due of it is settled by hand.
///
/// # Errors
/// As the database.
pub async fn pay(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let due = MinorUnits(invoice.total.0 - settled(connection, invoice.id).await?.0);
    settle(connection, organization, invoice, (MANUAL, invoice.id.to_string(), due), now).await
}

const SETTLEMENTS: BulkInsert = BulkInsert {
    table: "invoice_settlements",
    columns: "id, organization_id, invoice_id, settlement_type, source_id, amount_cents, created_at",
    tail: "",
};

/// Taken back; its fees no longer stand in the way of others for the same period.
///
/// # Errors
/// As the database.
pub async fn void(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let sql = "UPDATE invoices SET status = 'voided', voided_at = $4, updated_at = $5, version = version + 1
               WHERE organization_id = $1 AND id = $2 AND version = $3 AND status IN ('draft', 'finalized')";
    if !moved(connection, organization, invoice, sql, [now.0, now.0]).await? {
        return Ok(false);
    }
    set_fees(connection, invoice, "voided = 1", now).await?;
    Changes::of_one(organization, invoice.status, InvoiceStatus::Voided).write(connection).await?;
    wallets::fail(connection, invoice.id, now).await?;
    Ok(true)
}

/// Other dates.
///
/// # Errors
/// As the database.
pub async fn date(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    (issued_at, due_date): (Timestamp, Timestamp),
    machine_now: Timestamp,
) -> Result<bool, LedgerError> {
    let updated = sqlx::query(
        "UPDATE invoices SET issued_at = $4, due_date = $5, updated_at = $6, version = version + 1
         WHERE organization_id = $1 AND id = $2 AND version = $3",
    )
    .bind(organization.to_string())
    .bind(invoice.id.to_string())
    .bind(invoice.version)
    .bind(issued_at.0)
    .bind(due_date.0)
    .bind(machine_now.0)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deleted with its lines.
///
/// # Errors
/// As the database.
pub async fn delete(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: &StoredInvoice,
) -> Result<bool, LedgerError> {
    sqlx::query("DELETE FROM fees WHERE invoice_id = $1")
        .bind(invoice.id.to_string())
        .execute(&mut *connection)
        .await?;
    let deleted = sqlx::query(
        "DELETE FROM invoices WHERE organization_id = $1 AND id = $2 AND version = $3 AND status = 'draft'",
    )
    .bind(organization.to_string())
    .bind(invoice.id.to_string())
    .bind(invoice.version)
    .execute(&mut *connection)
    .await?;
    let mut counted = Changes::default();
    counted.less(organization, invoice.status);
    counted.write(connection).await?;
    Ok(deleted.rows_affected() == 1)
}

async fn set_fees(
    connection: &mut AnyConnection,
    invoice: &StoredInvoice,
    set: &'static str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = format!("UPDATE fees SET {set}, updated_at = $2 WHERE invoice_id = $1");
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(invoice.id.to_string()).bind(now.0).execute(connection).await?;
    Ok(())
}

/// A draft with the lines of a voided invoice; the unique key of `regenerated_from` refuses a second one.
///
/// # Errors
/// As the database.
pub async fn regenerated(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    voided: &StoredInvoice,
    now: Timestamp,
    machine_now: Timestamp,
) -> Result<InvoiceId, LedgerError> {
    let id = InvoiceId(uuid::Uuid::now_v7());
    // Rows are copied inside the database: whatever column an invoice or a fee has, its copy has.
    sqlx::query(
        "INSERT INTO invoices (id, organization_id, customer_id, subscription_id, invoice_type, status, currency,
             billing_entity, due_at, occasion, period_start, period_end, issued_at, due_date, subtotal_cents, coupons_cents,
             tax_cents, total_cents, taxes, regenerated_from, version, created_at, updated_at)
         SELECT $1, organization_id, customer_id, subscription_id, invoice_type, $2, currency, billing_entity, due_at,
             $3, period_start, period_end, $4, due_date, subtotal_cents, coupons_cents, tax_cents, subtotal_cents - coupons_cents + tax_cents, taxes, id, 1,
             $5, $5 FROM invoices WHERE organization_id = $6 AND id = $7",
    )
    .bind(id.to_string())
    .bind(InvoiceStatus::Draft.as_str())
    .bind(format!("regenerated:{}", voided.id))
    .bind(now.0)
    .bind(machine_now.0)
    .bind(organization.to_string())
    .bind(voided.id.to_string())
    .execute(&mut *connection)
    .await?;
    let mut counted = Changes::default();
    counted.more(organization, InvoiceStatus::Draft);
    counted.write(connection).await?;
    for fee in &voided.fees {
        sqlx::query(
            "INSERT INTO fees (id, organization_id, invoice_id, line, customer_id, subscription_id, fee_type, plan_id,
                 charge_id, line_key, line_hash, period_start, period_end, description, metric_code, units, unit_amount_cents,
                 amount_cents, precise_amount_cents, currency, events_count, event_fingerprint, cut_id, plan_version,
                 metric_version, properties, coupons, tax_cents, taxes, adjusted_fee_id, in_advance, voided, payment_status,
                 created_at, updated_at)
             SELECT $1, organization_id, $2, line, customer_id, subscription_id, fee_type, plan_id, charge_id, line_key,
                 line_hash, period_start, period_end, description, metric_code, units, unit_amount_cents, amount_cents,
                 precise_amount_cents, currency, events_count, event_fingerprint, cut_id, plan_version, metric_version,
                 properties, coupons, tax_cents, taxes, adjusted_fee_id, in_advance, 0, 'pending', $3, $3 FROM fees WHERE id = $4",
        )
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(id.to_string())
        .bind(machine_now.0)
        .bind(fee.id.to_string())
        .execute(&mut *connection)
        .await?;
    }
    Ok(id)
}

/// What paid an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// Its id.
    pub id: String,
    /// `manual`, `payment`, `credit_note`, `wallet`.
    pub kind: String,
    /// What it came from.
    pub source: String,
    /// How much.
    pub amount_cents: i64,
    /// When.
    pub created_at: Timestamp,
}

/// The settlements of an invoice, oldest first.
///
/// # Errors
/// As the database.
pub async fn settlements(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: InvoiceId,
) -> Result<Vec<Settlement>, LedgerError> {
    let sql = "SELECT id, settlement_type, source_id, amount_cents, created_at FROM invoice_settlements
               WHERE organization_id = $1 AND invoice_id = $2 ORDER BY created_at, id";
    let rows = sqlx::query(sql).bind(organization.to_string()).bind(invoice.to_string()).fetch_all(connection).await?;
    let read = |row: &sqlx::any::AnyRow| {
        Ok(Settlement {
            id: row.try_get("id")?,
            kind: row.try_get("settlement_type")?,
            source: row.try_get("source_id")?,
            amount_cents: row.try_get("amount_cents")?,
            created_at: Timestamp(row.try_get("created_at")?),
        })
    };
    rows.iter().map(read).collect()
}

/// What a customer is written about an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// That it is to be paid still.
    Reminder,
    /// The invoice itself.
    Invoice,
}

/// Writes down that somebody is to be written to.
///
/// # Errors
/// As the database.
pub async fn write_to(
    connection: &mut AnyConnection,
    organization: OrganizationId,
    invoice: InvoiceId,
    letter: Letter,
    email: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let sql = match letter {
        Letter::Reminder => {
            "INSERT INTO invoice_reminders (id, organization_id, invoice_id, email, created_at) VALUES ($1, $2, $3, $4, $5)"
        }
        Letter::Invoice => {
            "INSERT INTO invoice_mails (id, organization_id, invoice_id, email, created_at) VALUES ($1, $2, $3, $4, $5)"
        }
    };
    sqlx::query(sql)
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(organization.to_string())
        .bind(invoice.to_string())
        .bind(email.to_string())
        .bind(now.0)
        .execute(connection)
        .await?;
    Ok(())
}
