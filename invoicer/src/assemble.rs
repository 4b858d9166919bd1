//! From due stretches and rated usage to invoices. Pure.
//!
//! Two steps, because rating lies between them: [`plan_invoices`] decides which stretches share an invoice (those of one
//! customer and currency that fall due at one instant, I4), [`assemble`] puts fees on it. A fee is rounded once; from there on
//! only integers are added (I5): subtotal = Σ fees, total = subtotal + taxes.
//!
//! The order of invoices is that of their numbers: by organization and by the instant of issue, so that the numbers of an
//! organization grow with time and a run that is repeated numbers alike.

use crate::due::{Due, Part};
use crate::model::{Credits, Fee, FeeKind, FeeVersions, Invoice, InvoiceKind, InvoiceStatus};
use crate::tax::{AppliedTax, InvoiceTaxes, Taxed, taxes_of};
use domain::catalog::{Customer, Subscription};
use domain::ids::{BillingRunId, CustomerId, FeeId, InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{Currency, MinorUnits, MoneyError};
use domain::period::later_by_days;
use domain::period::{PeriodError, Timezones};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::view::RatablePlan;
use std::sync::Arc;
use uuid::Uuid;

/// One due stretch with what it is priced by.
#[derive(Clone, Debug)]
pub struct PricedDue<'a> {
    /// The stretch.
    pub due: Due,
    /// Whose.
    pub subscription: &'a Subscription,
    /// Who owes it.
    pub customer: &'a Customer,
    /// The version of the plan in force when the stretch's period began.
    pub plan: &'a Arc<RatablePlan>,
    /// Who bills the customer; absent: the organization itself.
    pub entity: Option<Uuid>,
    /// Up to when its organization is billed.
    pub as_of: Timestamp,
}

/// One stretch on a planned invoice.
#[derive(Clone, Debug)]
pub struct PlannedLine {
    /// The stretch.
    pub due: Due,
    /// The version of the plan that prices it.
    pub plan: Arc<RatablePlan>,
}

/// An invoice before its usage is rated.
#[derive(Clone, Debug)]
pub struct PlannedInvoice {
    /// Tenant.
    pub organization: OrganizationId,
    /// Who owes it.
    pub customer: CustomerId,
    /// In which currency.
    pub currency: Currency,
    /// Who issues it; absent: the organization itself.
    pub entity: Option<Uuid>,
    /// When everything on it fell due.
    pub due_at: Timestamp,
    /// When it is issued: the due instant and the days a draft stays open.
    pub issued_at: Timestamp,
    /// By when to pay.
    pub due_date: Timestamp,
    /// Up to when its organization is billed: issued later than that, it is a draft.
    pub as_of: Timestamp,
    /// What is on it, by subscription (the oldest first), flat fee, usage, commitment; empty for late usage alone.
    pub lines: Vec<PlannedLine>,
}

/// What stretches have in common that share an invoice.
type SharedKey = (OrganizationId, Timestamp, CustomerId, Currency, Option<Uuid>);

fn shared_by(item: &PricedDue<'_>) -> SharedKey {
    (item.customer.organization, item.due.due_at, item.customer.id, item.plan.plan.currency, item.entity)
}

/// Groups stretches into invoices, in the order in which they are numbered.
///
/// # Errors
/// When a customer's timezones cannot be read.
pub fn plan_invoices(mut items: Vec<PricedDue<'_>>) -> Result<Vec<PlannedInvoice>, PeriodError> {
    items.sort_by_key(|item| {
        let age = (item.subscription.created_at, item.subscription.id);
        (shared_by(item), age, item.due.part, item.due.from)
    });
    let groups = items.chunk_by(|one, next| shared_by(one) == shared_by(next));
    let mut invoices: Vec<PlannedInvoice> = groups.map(planned).collect::<Result<_, _>>()?;
    invoices.sort_by_key(|one| (one.organization, one.issued_at, one.due_at, one.customer, one.currency));
    Ok(invoices)
}

fn planned(items: &[PricedDue<'_>]) -> Result<PlannedInvoice, PeriodError> {
    // chunk_by yields no empty group.
    let first = &items[0];
    let (_, due_at, _, currency, entity) = shared_by(first);
    let lines = items.iter().map(|item| PlannedLine { due: item.due, plan: item.plan.clone() }).collect();
    Ok(PlannedInvoice { lines, ..planned_for(first.customer, currency, entity, due_at, first.as_of)? })
}

/// An invoice of a customer without any stretch: for what came late and has no other invoice to stand on.
///
/// # Errors
/// When the customer's timezones cannot be read.
pub fn planned_for(
    customer: &Customer,
    currency: Currency,
    entity: Option<Uuid>,
    due_at: Timestamp,
    as_of: Timestamp,
) -> Result<PlannedInvoice, PeriodError> {
    let zone = Timezones::parse(&customer.timezones)?.at(due_at);
    let issued_at = later_by_days(zone, due_at, customer.invoice_grace_period_days);
    let due_date = later_by_days(zone, issued_at, customer.net_payment_term_days);
    let (organization, customer, lines) = (customer.organization, customer.id, Vec::new());
    Ok(PlannedInvoice { organization, customer, currency, entity, due_at, issued_at, due_date, as_of, lines })
}

/// The flat fee of one stretch: the plan's amount for the days owed, rounded once.
#[must_use]
pub fn plan_fee(line: &PlannedLine) -> Fee {
    let (plan, share) = (&line.plan.plan, line.due.share);
    let amount = share.of_minor_units(plan.amount);
    let cents = Quantity::from(amount.0);
    let mut properties = serde_json::json!({
        "plan_code": plan.code, "plan_amount_cents": plan.amount, "days": share.days, "days_of_period": share.of,
    });
    if let Some((from, to)) = line.due.closes {
        properties["charges_from"] = serde_json::json!(from);
        properties["charges_to"] = serde_json::json!(to);
    }
    Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Subscription,
        subscription: Some(line.due.subscription),
        plan: Some(plan.id),
        charge: None,
        line_key: String::new(),
        description: plan.name.clone(),
        metric_code: None,
        units: Quantity::ONE,
        unit_amount: cents.clone(),
        amount,
        precise_amount: cents,
        events_count: 0,
        fingerprint: None,
        from: line.due.from,
        to: line.due.to,
        versions: FeeVersions { plan: plan.version, metric: None },
        properties: properties.to_string(),
        taxes: Vec::new(),
        adjusts: None,
        in_advance: None,
        coupons: Quantity::ZERO,
    }
}

/// The invoice with its fees: flat fees made here, those of usage and commitments taken from `others`, which is also told what stands
/// on the invoice so far; each taxed by `taxes`. Late usage of closed periods stands below.
///
/// With days of grace left it is a draft; else it is issued, and an invoice of nothing is paid as it is issued.
///
/// # Errors
/// As `others` and `taxes`, or when the amounts pass 64 bits.
pub fn assemble<E: From<MoneyError>>(
    planned: &PlannedInvoice,
    run: Option<BillingRunId>,
    late: Vec<Fee>,
    mut others: impl FnMut(&PlannedLine, &[Fee]) -> Result<Vec<Fee>, E>,
    taxes: impl Fn(&Fee) -> Result<Vec<AppliedTax>, E>,
) -> Result<Invoice, E> {
    let mut fees: Vec<Fee> = Vec::with_capacity(planned.lines.len());
    for line in &planned.lines {
        match line.due.part {
            Part::PlanFee => fees.push(plan_fee(line)),
            Part::Usage | Part::Carried | Part::Commitment => {
                let more = others(line, &fees)?;
                fees.extend(more);
            }
        }
    }
    for fee in &mut fees {
        fee.taxes = taxes(fee)?;
    }
    // An adjustment bears the taxes of the fee that it corrects.
    fees.extend(late);
    let status = InvoiceStatus::Draft;
    let (period_start, period_end) = period_of(planned);
    let mut invoice = Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization: planned.organization,
        customer: planned.customer,
        subscription: the_only_subscription(planned),
        kind: InvoiceKind::Subscription,
        status,
        currency: planned.currency,
        due_at: planned.due_at,
        occasion: planned.lines.first().map(|first| occasion(&first.due)).unwrap_or_default(),
        period_start,
        period_end,
        issued_at: planned.issued_at,
        due_date: planned.due_date,
        paid_at: None,
        run,
        regenerated_from: None,
        entity: planned.entity,
        fees,
        subtotal: MinorUnits::ZERO,
        taxes: InvoiceTaxes::default(),
        credits: Credits::default(),
        total: MinorUnits::ZERO,
    };
    add_up(&mut invoice, planned.as_of)?;
    Ok(invoice)
}

/// Sums, taxes and state of an invoice at `as_of`, from its fees alone: what is taken off it comes when it is written.
///
/// # Errors
/// When a sum passes 64 bits.
pub fn add_up(invoice: &mut Invoice, as_of: Timestamp) -> Result<(), MoneyError> {
    invoice.subtotal = total_of(&invoice.fees)?;
    invoice.taxes = taxes_of(invoice.fees.iter().map(Taxed::fee))?;
    invoice.total = invoice.subtotal.plus(invoice.taxes.amount)?;
    invoice.status = status_at(invoice.issued_at, as_of, invoice.total);
    invoice.paid_at = (invoice.status == InvoiceStatus::Paid).then_some(invoice.issued_at);
    Ok(())
}

/// Σ fees.
///
/// # Errors
/// When the sum passes 64 bits.
pub fn total_of(fees: &[Fee]) -> Result<MinorUnits, MoneyError> {
    fees.iter().try_fold(MinorUnits::ZERO, |total, fee| total.plus(fee.amount))
}

/// What an invoice of `total` that is issued at `issued_at` is at `as_of`.
#[must_use]
pub fn status_at(issued_at: Timestamp, as_of: Timestamp, total: MinorUnits) -> InvoiceStatus {
    if issued_at > as_of {
        InvoiceStatus::Draft
    } else if total == MinorUnits::ZERO {
        InvoiceStatus::Paid
    } else {
        InvoiceStatus::Finalized
    }
}

/// Names the first stretch on an invoice: what tells two invoices of one customer at one instant apart.
fn occasion(first: &Due) -> String {
    let part = match first.part {
        Part::PlanFee => "plan_fee",
        Part::Usage => "usage",
        Part::Carried => "carried",
        Part::Commitment => "commitment",
    };
    format!("{part}:{}:{}", first.subscription, first.from.micros())
}

fn the_only_subscription(planned: &PlannedInvoice) -> Option<SubscriptionId> {
    let first = planned.lines.first()?.due.subscription;
    planned.lines.iter().all(|line| line.due.subscription == first).then_some(first)
}

/// The period that closes with the invoice; when everything on it is paid in advance, the one that opens.
fn period_of(planned: &PlannedInvoice) -> (Timestamp, Timestamp) {
    let closes = |line: &PlannedLine| line.due.to <= planned.due_at;
    let any_closes = planned.lines.iter().any(closes);
    let counted = || planned.lines.iter().filter(|line| !any_closes || closes(line));
    let start = counted().map(|line| line.due.from).min();
    let end = counted().map(|line| line.due.to).max();
    (start.unwrap_or(planned.due_at), end.unwrap_or(planned.due_at))
}

#[cfg(test)]
#[path = "assemble/tests.rs"]
mod tests;
