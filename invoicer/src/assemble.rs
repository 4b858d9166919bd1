//! From due stretches and rated usage to invoices. Pure.
//!
//! Two steps, because rating lies between them: [`plan_invoices`] decides which stretches share an invoice (those of one
//! customer and currency that fall due at one instant, I4), [`assemble`] puts fees on it. A fee is rounded once; from there on
//! only integers are added (I5): subtotal = Σ fees = total, as long as there are no taxes and no credits.
//!
//! The order of invoices is that of their numbers: by organization and by the instant of issue, so that the numbers of an
//! organization grow with time and a run that is repeated numbers alike.

use crate::due::{Due, Part};
use crate::local_days::later_by_days;
use crate::model::{Fee, FeeKind, FeeVersions, Invoice, InvoiceKind, InvoiceStatus};
use domain::catalog::{Customer, Plan, Subscription};
use domain::ids::{BillingRunId, CustomerId, FeeId, InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{Currency, MinorUnits, MoneyError};
use domain::period::{PeriodError, Timezones};
use domain::quantity::Quantity;
use domain::time::Timestamp;

/// One due stretch with what it is priced by.
#[derive(Clone, Copy, Debug)]
pub struct PricedDue<'a> {
    /// The stretch.
    pub due: Due,
    /// Whose.
    pub subscription: &'a Subscription,
    /// Who owes it.
    pub customer: &'a Customer,
    /// The version of the plan in force when the stretch's period began.
    pub plan: &'a Plan,
}

/// An invoice before its usage is rated.
#[derive(Clone, Debug)]
pub struct PlannedInvoice<'a> {
    /// When it is issued: the due instant and the days a draft stays open.
    pub issued_at: Timestamp,
    /// By when to pay.
    pub due_date: Timestamp,
    /// What is on it, flat fees and usage by subscription.
    pub items: Vec<PricedDue<'a>>,
}

impl PlannedInvoice<'_> {
    /// When its stretches fell due; the same for all.
    #[must_use]
    pub fn due_at(&self) -> Timestamp {
        self.items.first().map_or(self.issued_at, |item| item.due.due_at)
    }
}

/// Groups stretches into invoices, in the order in which they are numbered.
///
/// # Errors
/// When a customer's timezones cannot be read.
pub fn plan_invoices(mut items: Vec<PricedDue<'_>>) -> Result<Vec<PlannedInvoice<'_>>, PeriodError> {
    items.sort_by_key(|item| {
        let oldest = (item.subscription.created_at, item.subscription.id);
        (shared_by(item), oldest, item.due.part, item.due.from)
    });
    let mut invoices: Vec<PlannedInvoice<'_>> = items
        .chunk_by(|one, next| shared_by(one) == shared_by(next))
        .map(|group| planned(group.to_vec()))
        .collect::<Result<_, _>>()?;
    invoices.sort_by_key(|invoice| {
        let first = invoice.items.first();
        (first.map(|item| item.customer.organization), invoice.issued_at, invoice.due_at(), first.map(shared_by))
    });
    Ok(invoices)
}

/// What stretches have in common that share an invoice.
fn shared_by(item: &PricedDue<'_>) -> (OrganizationId, Timestamp, CustomerId, Currency) {
    (item.customer.organization, item.due.due_at, item.customer.id, item.plan.currency)
}

fn planned(items: Vec<PricedDue<'_>>) -> Result<PlannedInvoice<'_>, PeriodError> {
    // chunk_by yields no empty group.
    let first = &items[0];
    let zones = Timezones::parse(&first.customer.timezones)?;
    let zone = zones.at(first.due.due_at);
    let issued_at = later_by_days(zone, first.due.due_at, first.customer.invoice_grace_period_days);
    let due_date = later_by_days(zone, issued_at, first.customer.net_payment_term_days);
    Ok(PlannedInvoice { issued_at, due_date, items })
}

/// The flat fee of one stretch: the plan's amount for the days owed, rounded once.
#[must_use]
pub fn plan_fee(item: &PricedDue<'_>) -> Fee {
    let (plan, share) = (item.plan, item.due.share);
    let amount = share.of_minor_units(plan.amount);
    let cents = Quantity::from(amount.0);
    let properties = serde_json::json!({
        "plan_code": plan.code, "plan_amount_cents": plan.amount, "days": share.days, "days_of_period": share.of,
    });
    Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Subscription,
        subscription: Some(item.subscription.id),
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
        from: item.due.from,
        to: item.due.to,
        versions: FeeVersions { plan: plan.version, metric: None },
        properties: properties.to_string(),
    }
}

/// The invoice with its fees: flat fees made here, those of usage taken from `usage`.
///
/// With days of grace left at `as_of` it is a draft; else it is issued, and an invoice of nothing is paid as it is issued.
///
/// # Errors
/// When the amounts pass 64 bits.
pub fn assemble(
    planned: &PlannedInvoice<'_>,
    run: Option<BillingRunId>,
    as_of: Timestamp,
    mut usage: impl FnMut(&PricedDue<'_>) -> Vec<Fee>,
) -> Result<Invoice, MoneyError> {
    let mut fees = Vec::new();
    for item in &planned.items {
        match item.due.part {
            Part::PlanFee => fees.push(plan_fee(item)),
            Part::Usage => fees.extend(usage(item)),
        }
    }
    let total = total_of(&fees)?;
    // plan_invoices makes no invoice without items.
    let first = &planned.items[0];
    let status = settled_status(planned.issued_at, as_of, total);
    let (period_start, period_end) = period_of(planned);
    Ok(Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization: first.customer.organization,
        customer: first.customer.id,
        subscription: the_only_subscription(planned),
        kind: InvoiceKind::Subscription,
        status,
        currency: first.plan.currency,
        due_at: planned.due_at(),
        occasion: occasion(first),
        period_start,
        period_end,
        issued_at: planned.issued_at,
        due_date: planned.due_date,
        paid_at: (status == InvoiceStatus::Paid).then_some(planned.issued_at),
        run,
        fees,
        total,
    })
}

/// Σ fees.
///
/// # Errors
/// When the sum passes 64 bits.
pub fn total_of(fees: &[Fee]) -> Result<MinorUnits, MoneyError> {
    fees.iter().try_fold(MinorUnits::ZERO, |total, fee| total.plus(fee.amount))
}

/// What an invoice of `total` issued at `issued_at` is at `as_of`.
#[must_use]
pub fn settled_status(issued_at: Timestamp, as_of: Timestamp, total: MinorUnits) -> InvoiceStatus {
    if issued_at > as_of {
        InvoiceStatus::Draft
    } else if total == MinorUnits::ZERO {
        InvoiceStatus::Paid
    } else {
        InvoiceStatus::Finalized
    }
}

/// Names the first stretch on an invoice: what tells two invoices of one customer at one instant apart.
fn occasion(first: &PricedDue<'_>) -> String {
    let part = match first.due.part {
        Part::PlanFee => "plan_fee",
        Part::Usage => "usage",
    };
    format!("{part}:{}:{}", first.subscription.id, first.due.from.micros())
}

fn the_only_subscription(planned: &PlannedInvoice<'_>) -> Option<SubscriptionId> {
    let first = planned.items.first()?.subscription.id;
    planned.items.iter().all(|item| item.subscription.id == first).then_some(first)
}

/// The period that closes with the invoice; when everything on it is paid in advance, the one that opens.
fn period_of(planned: &PlannedInvoice<'_>) -> (Timestamp, Timestamp) {
    let due_at = planned.due_at();
    let closing = |item: &&PricedDue<'_>| item.due.to <= due_at;
    let any_closing = planned.items.iter().any(|item| closing(&item));
    let counted = || planned.items.iter().filter(|item| !any_closing || closing(item));
    let start = counted().map(|item| item.due.from).min();
    let end = counted().map(|item| item.due.to).max();
    (start.unwrap_or(due_at), end.unwrap_or(due_at))
}

#[cfg(test)]
#[path = "assemble/tests.rs"]
mod tests;
