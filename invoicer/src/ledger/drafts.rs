//! Drafts whose days of grace are over: reading them, and finalizing them with usage rated anew.
//!
//! A draft is replaced by what it is at its new cut in one transaction: its usage fees are written anew, it gets a number and
//! is issued. The draft's version guards it: of two runs that finalize it one writes nothing.

use super::LedgerError;
use super::bulk::placeholders;
use super::invoices::{COLUMNS, StoredInvoice, attach_fees, invoice_of};
use super::write::{self, BatchContext, DEFAULT_PREFIX, FeeOwner, fee_row, payment_with, take_numbers};
use crate::model::{Fee, InvoiceStatus};
use domain::ids::OrganizationId;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

/// A draft as it is to be issued.
#[derive(Clone, Debug)]
pub struct FinalizedDraft {
    /// Tenant.
    pub organization: OrganizationId,
    /// The draft as it was read.
    pub draft: StoredInvoice,
    /// Finalized, or paid when nothing is due.
    pub status: InvoiceStatus,
    /// Its usage fees, rated anew, each with the line it stands on.
    pub usage: Vec<(i64, Fee)>,
    /// Σ of its fees.
    pub total: MinorUnits,
}

/// The drafts to be issued at or before `as_of`, in the order of issue; of one organization, or of all.
///
/// # Errors
/// As the database.
pub async fn read_due(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
    as_of: Timestamp,
) -> Result<Vec<(OrganizationId, StoredInvoice)>, LedgerError> {
    /// Well below the parameters one statement may have.
    const FEES_OF_AT_ONCE: usize = 5000;
    let sql = format!(
        "SELECT {COLUMNS}, organization_id FROM invoices
         WHERE status = 'draft' AND issued_at <= $1 AND ($2 = '' OR organization_id = $2)
         ORDER BY organization_id, issued_at, due_at, customer_id, id"
    );
    let scope = organization.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(as_of.0).bind(scope).fetch_all(&mut *connection).await?;
    let mut invoices = rows.iter().map(invoice_of).collect::<Result<Vec<_>, _>>()?;
    for some in invoices.chunks_mut(FEES_OF_AT_ONCE) {
        attach_fees(connection, some).await?;
    }
    let organization_of = |row| super::read_uuid(row, "organization_id").map(OrganizationId);
    rows.iter().zip(invoices).map(|(row, invoice)| Ok((organization_of(row)?, invoice))).collect()
}

/// When the next draft is to be issued; of one organization, or of all.
///
/// # Errors
/// As the database.
pub async fn next_issue(
    connection: &mut AnyConnection,
    organization: Option<OrganizationId>,
) -> Result<Option<Timestamp>, LedgerError> {
    let sql = "SELECT issued_at FROM invoices WHERE status = 'draft' AND ($1 = '' OR organization_id = $1)
               ORDER BY issued_at LIMIT 1";
    let scope = organization.map(|id| id.to_string()).unwrap_or_default();
    let row = sqlx::query(sql).bind(scope).fetch_optional(connection).await?;
    Ok(row.map(|row| row.try_get("issued_at")).transpose()?.map(Timestamp))
}

/// Issues these drafts; answers false when another run has changed one: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn finalize(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &[FinalizedDraft],
) -> Result<bool, LedgerError> {
    let mut numbers = take_numbers(connection, drafts.iter().map(|draft| (draft.organization, draft.status))).await?;
    for draft in drafts {
        let number = numbers.next_for(draft.organization, draft.status);
        if !issue(connection, context, draft, number).await? {
            return Ok(false);
        }
    }
    replace_usage_fees(connection, context, drafts).await?;
    Ok(true)
}

async fn issue(
    connection: &mut AnyConnection,
    context: &BatchContext,
    finalized: &FinalizedDraft,
    number: Option<i64>,
) -> Result<bool, LedgerError> {
    let draft = &finalized.draft;
    let paid_at = (finalized.status == InvoiceStatus::Paid).then_some(draft.issued_at.0);
    let updated = sqlx::query(
        "UPDATE invoices SET status = $1, number_prefix = $2, number = $3, subtotal_cents = $4, total_cents = $4,
             paid_at = $5, updated_at = $6, version = version + 1
         WHERE id = $7 AND version = $8 AND status = 'draft'",
    )
    .bind(finalized.status.as_str())
    .bind(DEFAULT_PREFIX)
    .bind(number)
    .bind(finalized.total.0)
    .bind(paid_at)
    .bind(context.now.0)
    .bind(draft.id.to_string())
    .bind(draft.version)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

async fn replace_usage_fees(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &[FinalizedDraft],
) -> Result<(), LedgerError> {
    let list = placeholders(0, drafts.len());
    let sql = format!("DELETE FROM fees WHERE fee_type = 'charge' AND invoice_id IN ({list})");
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for finalized in drafts {
        query = query.bind(finalized.draft.id.to_string());
    }
    query.execute(&mut *connection).await?;
    let mut rows = Vec::new();
    for finalized in drafts {
        let owner = FeeOwner {
            organization: finalized.organization,
            invoice: finalized.draft.id,
            customer: finalized.draft.customer,
            currency: finalized.draft.currency,
            status: finalized.status,
        };
        for (line, fee) in &finalized.usage {
            rows.push(fee_row(&owner, fee, *line, context)?);
        }
    }
    write::FEES.run(connection, rows).await?;
    settle_other_fees(connection, context, drafts).await
}

/// Fees that were kept follow the invoice into its new state.
async fn settle_other_fees(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &[FinalizedDraft],
) -> Result<(), LedgerError> {
    let paid: Vec<_> = drafts.iter().filter(|draft| draft.status == InvoiceStatus::Paid).collect();
    if paid.is_empty() {
        return Ok(());
    }
    let list = placeholders(2, paid.len());
    let sql = format!("UPDATE fees SET payment_status = $1, updated_at = $2 WHERE invoice_id IN ({list})");
    let payment = payment_with(InvoiceStatus::Paid).as_str();
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(payment).bind(context.now.0);
    for finalized in paid {
        query = query.bind(finalized.draft.id.to_string());
    }
    query.execute(connection).await?;
    Ok(())
}
