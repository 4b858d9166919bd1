//! Taxes and commitments of fees, by what the catalog says now. Pure.

use crate::assemble::PlannedLine;
use crate::commitment::{Billed, commitment_fee, counts};
use crate::model::{Fee, FeeKind};
use crate::tax::AppliedTax;
use catalog::billing::{BillingTerms, TaxedBy, UnknownTax};
use domain::ids::{CustomerId, OrganizationId};
use domain::money::{MinorUnits, MoneyError};

/// The taxes that a fee bears.
///
/// # Errors
/// When one is missing.
pub fn applied_taxes(
    terms: &BillingTerms,
    organization: OrganizationId,
    customer: CustomerId,
    fee: &Fee,
) -> Result<Vec<AppliedTax>, UnknownTax> {
    let plan = fee.plan.map(|plan| (plan, fee.versions.plan));
    let of_plan = plan.and_then(|(plan, version)| terms.plan(plan, version));
    let commitment = of_plan.and_then(|terms| terms.commitment.as_ref()).filter(|_| fee.kind == FeeKind::Commitment);
    let own_codes = commitment.map(|commitment| commitment.tax_codes.as_slice()).unwrap_or_default();
    let taxed = TaxedBy { organization, customer, plan, charge: fee.charge, own_codes };
    Ok(terms.taxes(&taxed)?.iter().map(AppliedTax::from).collect())
}

/// The fee that fills a stretch up to its plan's commitment, if that has one: less what stands beside it on the invoice, and what was billed before.
///
/// # Errors
/// Past 64 bits.
pub fn commitment_on(
    terms: &BillingTerms,
    line: &PlannedLine,
    beside: &[Fee],
    billed: &Billed,
) -> Result<Option<Fee>, MoneyError> {
    let plan = &line.plan.plan;
    let Some(commitment) = terms.plan(plan.id, plan.version).and_then(|terms| terms.commitment.as_ref()) else {
        return Ok(None);
    };
    let due = &line.due;
    let inside = |fee: &&Fee| {
        counts(fee.kind) && fee.subscription == Some(due.subscription) && (due.from..due.to).contains(&fee.from)
    };
    let counted = beside.iter().filter(inside).map(|fee| fee.amount).try_fold(MinorUnits::ZERO, MinorUnits::plus)?;
    let before = billed.within(due.subscription, due.from, due.to)?;
    commitment_fee(line, commitment, counted.plus(before)?).map(Some)
}
