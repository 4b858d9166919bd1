//! Fees as rows: on an invoice, or by themselves.

use super::LedgerError;
use super::bulk::{BulkInsert, Cell};
use super::write::BatchContext;
use crate::model::{Fee, FeePayment, Invoice, InvoiceStatus};
use crate::tax::Taxed;
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::Currency;
use sqlx::AnyConnection;

pub(super) const FEES: BulkInsert = BulkInsert {
    table: "fees",
    columns: "id, organization_id, invoice_id, line, customer_id, subscription_id, fee_type, plan_id, charge_id, line_key, line_hash, \
              period_start, period_end, description, metric_code, units, unit_amount_cents, amount_cents, \
              precise_amount_cents, currency, events_count, event_fingerprint, cut_id, plan_version, metric_version, \
              properties, coupons, tax_cents, taxes, adjusted_fee_id, in_advance, payment_status, created_at, updated_at",
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
        let owner = FeeOwner::of(invoice);
        for (line, fee) in (0..).zip(&invoice.fees) {
            rows.push(fee_row(&owner, fee, line, context)?);
        }
    }
    FEES.run(connection, rows).await?;
    Ok(())
}

/// Inserts the fees of these invoices without them: they stand by themselves.
///
/// # Errors
/// As the database.
pub async fn insert_lone_fees<'a>(
    connection: &mut AnyConnection,
    context: &BatchContext,
    invoices: impl Iterator<Item = &'a Invoice>,
) -> Result<(), LedgerError> {
    let mut rows = Vec::new();
    for invoice in invoices {
        let owner = FeeOwner { invoice: None, ..FeeOwner::of(invoice) };
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
    /// Absent: it stands by itself.
    pub(super) invoice: Option<InvoiceId>,
    pub(super) customer: CustomerId,
    pub(super) currency: Currency,
    pub(super) status: InvoiceStatus,
}

impl FeeOwner {
    fn of(invoice: &Invoice) -> Self {
        Self {
            organization: invoice.organization,
            invoice: Some(invoice.id),
            customer: invoice.customer,
            currency: invoice.currency,
            status: invoice.status,
        }
    }
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
        Cell::MaybeText(owner.invoice.map(|id| id.to_string())),
        Cell::Int(line),
        Cell::Text(owner.customer.to_string()),
        Cell::MaybeText(fee.subscription.map(|id| id.to_string())),
        Cell::Text(fee.kind.as_str().into()),
        Cell::MaybeText(fee.plan.map(|id| id.to_string())),
        Cell::Text(fee.charge.map(|id| id.to_string()).unwrap_or_default()),
        Cell::Text(fee.line_key.clone()),
        Cell::Text(match (fee.adjusts, fee.in_advance) {
            // A line may be adjusted again, by what another run finds.
            (Some(_), None) => line_hash(&format!("{}@{}", fee.line_key, context.cut_id)),
            // One for each event.
            (_, Some(of)) => line_hash(&format!("{}#{of}", fee.line_key)),
            (None, None) => line_hash(&fee.line_key),
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
        Cell::Text(fee.coupons.to_string()),
        Cell::Int(Taxed::fee(fee).rounded_tax()?.0),
        Cell::Text(if fee.taxes.is_empty() { "[]".into() } else { serde_json::to_string(&fee.taxes)? }),
        Cell::MaybeText(fee.adjusts.map(|id| id.to_string())),
        Cell::MaybeText(fee.in_advance.map(|of| of.to_string())),
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
