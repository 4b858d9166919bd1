//! Drafts: reading those whose days of grace are over, and writing them with usage rated anew, issued or not.
//!
//! A draft is replaced by what it is at its new cut in one transaction: its usage and commitment fees are written anew; when it is
//! issued it gets a number. The draft's version guards it: of two that change it one writes nothing.

use super::bulk::{LISTED_AT_ONCE, placeholders};
use super::fee_rows::{self, FeeOwner, fee_row, payment_with};
use super::invoices::{COLUMNS, StoredInvoice, attach_fees, invoice_of};
use super::write::{BatchContext, Issuer, take_numbers};
use super::{LedgerError, settle, tally, waiting_notes};
use crate::ledger::fees::StoredFee;
use crate::model::{Credits, Fee, FeeKind, InvoiceStatus};
use crate::tax::{InvoiceTaxes, Taxed};
use domain::ids::{FeeId, OrganizationId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use std::collections::{HashMap, HashSet};

/// A draft as it is to be from now on: issued, or a draft still.
#[derive(Clone, Debug)]
pub struct ReworkedDraft {
    /// Tenant.
    pub organization: OrganizationId,
    /// The draft as it was read.
    pub draft: StoredInvoice,
    /// Usage fees among its own that stay as they are: see [`crate::run::rework`].
    pub settled: HashSet<FeeId>,
    /// Draft, finalized, or paid when nothing is due.
    pub status: InvoiceStatus,
    /// When it is issued.
    pub issued_at: Timestamp,
    /// By when to pay.
    pub due_date: Timestamp,
    /// Its usage and commitment fees, rated anew, each with the line it stands on.
    pub anew: Vec<(i64, Fee)>,
    /// Σ of all its fees.
    pub subtotal: MinorUnits,
    /// What its taxes come to.
    pub taxes: InvoiceTaxes,
    /// What is taken off.
    pub credits: Credits,
    /// The exact shares of coupons of the fees that are kept.
    pub kept_coupons: HashMap<FeeId, Quantity>,
    /// What is due.
    pub total: MinorUnits,
}

impl ReworkedDraft {
    /// The fees that stay as they are; the others are in `anew`.
    pub fn kept(&self) -> impl Iterator<Item = &StoredFee> {
        self.draft.fees.iter().filter(|fee| !is_reworked(fee) || self.settled.contains(&fee.id))
    }

    fn replaced(&self) -> impl Iterator<Item = &StoredFee> {
        self.draft.fees.iter().filter(|fee| is_reworked(fee) && !self.settled.contains(&fee.id))
    }

    fn issuer(&self) -> Issuer {
        Issuer { organization: self.organization, entity: self.draft.entity }
    }
}

/// Whether a fee is made anew whenever its draft is.
#[must_use]
pub fn is_reworked(fee: &StoredFee) -> bool {
    matches!(fee.kind, FeeKind::Charge | FeeKind::Commitment) && fee.in_advance.is_none()
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
    let sql = format!(
        "SELECT {COLUMNS}, organization_id FROM invoices
         WHERE status = 'draft' AND issued_at <= $1 AND ($2 = '' OR organization_id = $2)
         ORDER BY organization_id, issued_at, due_at, customer_id, id"
    );
    let scope = organization.map(|id| id.to_string()).unwrap_or_default();
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(as_of.0).bind(scope).fetch_all(&mut *connection).await?;
    let mut invoices = rows.iter().map(invoice_of).collect::<Result<Vec<_>, _>>()?;
    for some in invoices.chunks_mut(LISTED_AT_ONCE) {
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

/// Writes these drafts as they are to be, with what their customers have to spend taken off; answers false when another has changed one meanwhile: roll back then.
///
/// # Errors
/// As the database; roll back then too.
pub async fn rewrite(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &mut [ReworkedDraft],
) -> Result<bool, LedgerError> {
    let settled = settle::drafts(connection, context.row_lock, drafts).await?;
    let mut numbers = take_numbers(connection, drafts.iter().map(|draft| (draft.issuer(), draft.status))).await?;
    for draft in drafts.iter() {
        let number = numbers.next_for(draft.issuer(), draft.status);
        if !update(connection, context, draft, number).await? {
            return Ok(false);
        }
    }
    let mut counted = tally::Changes::default();
    for draft in drafts.iter() {
        counted.less(draft.organization, InvoiceStatus::Draft);
        counted.more(draft.organization, draft.status);
    }
    counted.write(connection).await?;
    replace_fees(connection, context, drafts).await?;
    let issued = drafts.iter().filter(|draft| draft.status != InvoiceStatus::Draft);
    settled.write_renewed(connection, context.now).await?;
    waiting_notes::issue(connection, issued.map(|draft| (draft.draft.id, draft.issued_at)), context.now).await?;
    settle::write(connection, settled, context.now).await?;
    Ok(true)
}

async fn update(
    connection: &mut AnyConnection,
    context: &BatchContext,
    reworked: &ReworkedDraft,
    number: Option<(String, i64)>,
) -> Result<bool, LedgerError> {
    let draft = &reworked.draft;
    let paid_at = (reworked.status == InvoiceStatus::Paid).then_some(reworked.issued_at.0);
    let (prefix, number) = number.unzip();
    let updated = sqlx::query(
        "UPDATE invoices SET status = $1, number_prefix = $2, number = $3, subtotal_cents = $4, tax_cents = $5,
             taxes = $6, total_cents = $7, paid_at = $8, issued_at = $9, due_date = $10, updated_at = $11,
             coupons_cents = $14, progressive_credit_cents = $15, credit_notes_cents = $16, prepaid_credit_cents = $17,
             version = version + 1
         WHERE id = $12 AND version = $13 AND status = 'draft'",
    )
    .bind(reworked.status.as_str())
    .bind(prefix)
    .bind(number)
    .bind(reworked.subtotal.0)
    .bind(reworked.taxes.amount.0)
    .bind(serde_json::to_string(&reworked.taxes.lines)?)
    .bind(reworked.total.0)
    .bind(paid_at)
    .bind(reworked.issued_at.0)
    .bind(reworked.due_date.0)
    .bind(context.now.0)
    .bind(draft.id.to_string())
    .bind(draft.version)
    .bind(reworked.credits.coupons.0)
    .bind(reworked.credits.progressive.0)
    .bind(reworked.credits.credit_notes.0)
    .bind(reworked.credits.wallets.0)
    .execute(connection)
    .await?;
    Ok(updated.rows_affected() == 1)
}

async fn replace_fees(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &[ReworkedDraft],
) -> Result<(), LedgerError> {
    let replaced: Vec<FeeId> = drafts.iter().flat_map(ReworkedDraft::replaced).map(|fee| fee.id).collect();
    for some in replaced.chunks(LISTED_AT_ONCE) {
        let sql = format!("DELETE FROM fees WHERE id IN ({})", placeholders(0, some.len()));
        let query = sqlx::query(AssertSqlSafe(sql));
        some.iter().fold(query, |query, id| query.bind(id.to_string())).execute(&mut *connection).await?;
    }
    let mut rows = Vec::new();
    for reworked in drafts {
        let owner = FeeOwner {
            organization: reworked.organization,
            invoice: Some(reworked.draft.id),
            customer: reworked.draft.customer,
            currency: reworked.draft.currency,
            status: reworked.status,
        };
        for (line, fee) in &reworked.anew {
            rows.push(fee_row(&owner, fee, *line, context)?);
        }
    }
    fee_rows::FEES.run(connection, rows).await?;
    share_coupons(connection, drafts).await?;
    settle_other_fees(connection, context, drafts).await
}

/// Fees that were kept bear their shares of coupons, where these have changed.
async fn share_coupons(connection: &mut AnyConnection, drafts: &[ReworkedDraft]) -> Result<(), LedgerError> {
    for reworked in drafts {
        for fee in reworked.kept() {
            let share = reworked.kept_coupons.get(&fee.id).unwrap_or(&fee.coupons);
            if *share == fee.coupons {
                continue;
            }
            let tax = Taxed { amount: fee.amount, coupons: share, taxes: &fee.taxes }.rounded_tax()?;
            sqlx::query("UPDATE fees SET coupons = $2, tax_cents = $3 WHERE id = $1")
                .bind(fee.id.to_string())
                .bind(share.to_string())
                .bind(tax.0)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// Fees that were kept follow the invoice into its new state.
async fn settle_other_fees(
    connection: &mut AnyConnection,
    context: &BatchContext,
    drafts: &[ReworkedDraft],
) -> Result<(), LedgerError> {
    let paid: Vec<_> = drafts.iter().filter(|draft| draft.status == InvoiceStatus::Paid).collect();
    if paid.is_empty() {
        return Ok(());
    }
    let list = placeholders(2, paid.len());
    let sql = format!("UPDATE fees SET payment_status = $1, updated_at = $2 WHERE invoice_id IN ({list})");
    let payment = payment_with(InvoiceStatus::Paid).as_str();
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(payment).bind(context.now.0);
    for reworked in paid {
        query = query.bind(reworked.draft.id.to_string());
    }
    query.execute(connection).await?;
    Ok(())
}
