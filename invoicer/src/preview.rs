//! What an invoice would show, worked out by the same code that will make it; nothing is stored.
//!
//! Without bounds: everything that falls due with the end of the usage period that `now` lies in, with the events so far. With
//! bounds: usage between them only. A subscription that shares invoices with others is shown alone.

use crate::assemble::{PlannedLine, plan_fee, total_of};
use crate::charge_fee::ChargeFees;
use crate::commitment::Billed;
use crate::credits::bill::{Bill, BillLine};
use crate::credits::spend::spend;
use crate::due::{Billable, Chain, Due, Frontiers, Part, Reach, due_of, share_owed};
use crate::inputs::{InputError, view_and_terms_of};
use crate::ledger::{LedgerError, counted, frontiers, funds, progressive};
use crate::model::{Credits, Fee, InvoiceKind};
use crate::run::terms::{applied_taxes, commitment_on};
use crate::tax::InvoiceTaxes;
use catalog::billing::{BillingScope, BillingTerms, UnknownTax};
use catalog::{Catalog, DatabaseError};
use domain::ids::{CustomerId, InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{Currency, MinorUnits, MoneyError};
use domain::time::Timestamp;
use rater::view::RatablePlan;
use rater::{RateError, RateProblem, Rater, RatingItem, RatingView, ViewError};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What to preview.
#[derive(Clone, Copy, Debug)]
pub struct PreviewOf {
    /// Tenant.
    pub organization: OrganizationId,
    /// Whose subscription.
    pub customer: CustomerId,
    /// Which.
    pub subscription: SubscriptionId,
    /// The organization's clock.
    pub now: Timestamp,
    /// `[from, to)`; absent: the open period.
    pub bounds: Option<(Timestamp, Timestamp)>,
}

/// What would be on the invoice.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Lines, in order.
    pub fees: Vec<Fee>,
    /// Currency of all amounts.
    pub currency: Currency,
    /// Their sum.
    pub subtotal: MinorUnits,
    /// Taken off by coupons.
    pub coupons: MinorUnits,
    /// Their taxes.
    pub tax: MinorUnits,
    /// Billed before, as thresholds were crossed.
    pub progressive: MinorUnits,
    /// What would be due.
    pub total: MinorUnits,
}

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] RateError),
    /// The subscription cannot be rated; says why.
    #[error(transparent)]
    Problem(#[from] RateProblem),
    /// Amounts past 64 bits.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A tax is missing.
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    /// The subscription has not started.
    #[error("the subscription has not started")]
    NotStarted,
}

impl From<ViewError> for PreviewError {
    fn from(error: ViewError) -> Self {
        Self::Problem(error.into())
    }
}

/// Works out a preview.
///
/// # Errors
/// When something cannot be read, or the subscription cannot be rated.
pub async fn preview(catalog: &Catalog, rater: &Rater, of: PreviewOf) -> Result<Preview, PreviewError> {
    let scope = BillingScope::Customer(of.organization, of.customer);
    let (view, terms) = view_and_terms_of(catalog, scope).await?;
    let view = Arc::new(view);
    let (lines, progressive) = match of.bounds {
        Some(bounds) => (vec![usage_between(&view, &of, bounds)?], MinorUnits::ZERO),
        None => {
            let acquired = catalog.database().pool().acquire().await;
            let mut connection = acquired.map_err(|error| LedgerError::Database(DatabaseError::from(error)))?;
            let billed = frontiers::read_of(&mut connection, &[of.subscription]).await?;
            let waiting = progressive::waiting(&mut connection, &[of.subscription]).await?;
            let amounts = waiting.iter().map(|bill| bill.amount);
            let taken_off = amounts.into_iter().try_fold(MinorUnits::ZERO, MinorUnits::plus)?;
            (open_period(&view, &terms, &of, billed.get(&of.subscription).copied().unwrap_or_default())?, taken_off)
        }
    };
    let currency = view.plan_at(view.subscription(of.subscription)?.plan_id, of.now)?.plan.currency;
    let billed = match lines.iter().find(|line| line.due.part == Part::Commitment) {
        Some(line) => billed_before(catalog, of.subscription, line.due.from).await?,
        None => Billed::default(),
    };
    let mut fees = fees_on(rater, &view, lines, &terms, &billed).await?;
    for fee in &mut fees {
        fee.taxes = applied_taxes(&terms, of.organization, of.customer, fee)?;
    }
    let bill = discounted(catalog, &of, currency, &fees, progressive).await?;
    for (fee, line) in fees.iter_mut().zip(&bill.lines) {
        fee.coupons = line.coupons.clone();
    }
    Ok(Preview {
        // Below 0 the invoice is 0, and the rest a credit note.
        total: bill.total.max(MinorUnits::ZERO),
        progressive,
        subtotal: bill.subtotal,
        coupons: bill.credits.coupons,
        tax: bill.taxes.amount,
        fees,
        currency,
    })
}

/// What a draft of these fees would show: coupons are taken off, credit notes and wallets are not asked.
async fn discounted(
    catalog: &Catalog,
    of: &PreviewOf,
    currency: Currency,
    fees: &[Fee],
    progressive: MinorUnits,
) -> Result<Bill, PreviewError> {
    let acquired = catalog.database().pool().acquire().await;
    let mut connection = acquired.map_err(|error| LedgerError::Database(DatabaseError::from(error)))?;
    let mut funds = funds::to_spend(&mut connection, "", &BTreeSet::from([of.customer])).await?;
    let mut bill = Bill {
        organization: of.organization,
        invoice: InvoiceId(uuid::Uuid::nil()),
        customer: of.customer,
        currency,
        kind: InvoiceKind::Subscription,
        issued: false,
        at: of.now,
        lines: fees.iter().map(BillLine::of).collect(),
        subtotal: total_of(fees)?,
        taxes: InvoiceTaxes::default(),
        credits: Credits { progressive, ..Credits::default() },
        total: MinorUnits::ZERO,
    };
    let mut own = funds.remove(&of.customer).unwrap_or_default();
    let spent = spend(&mut bill, &mut own)?;
    debug_assert!(spent.is_empty(), "a draft spends nothing");
    Ok(bill)
}

/// Everything that falls due with the end of the open usage period.
fn open_period(
    view: &RatingView,
    terms: &BillingTerms,
    of: &PreviewOf,
    billed: Frontiers,
) -> Result<Vec<PlannedLine>, PreviewError> {
    let subscription = view.subscription(of.subscription)?;
    let customer = view.customer(subscription.customer_id)?;
    let plans = view.plan_versions(subscription.plan_id);
    let calendar = view.usage_calendar(subscription)?.ok_or(PreviewError::NotStarted)?;
    let period_end = calendar.period_containing(of.now).end;
    let due_at = subscription.ended_at.map_or(period_end, |ended_at| ended_at.min(period_end));
    let billable = Billable { subscription, customer, plans, terms };
    let list = due_of(billable, &billed, due_at, Reach::SinceCreation).map_err(ViewError::from)?;
    let at_once = list.items.into_iter().filter(|due| due.due_at == due_at);
    at_once.map(|due| Ok(PlannedLine { plan: plan_of(view, &due)?, due })).collect()
}

/// Usage between two instants, priced as the period of the first.
fn usage_between(
    view: &RatingView,
    of: &PreviewOf,
    (from, to): (Timestamp, Timestamp),
) -> Result<PlannedLine, PreviewError> {
    let subscription = view.subscription(of.subscription)?;
    let calendar = view.usage_calendar(subscription)?.ok_or(PreviewError::NotStarted)?;
    let started_at = subscription.started_at.unwrap_or(from);
    let from = from.max(started_at);
    let to = subscription.ended_at.map_or(to, |ended_at| ended_at.min(to)).max(from);
    let period = calendar.period_containing(from);
    let share = share_owed(&period, from, to);
    let due = Due {
        subscription: of.subscription,
        part: Part::Usage,
        chain: Chain::Main,
        period,
        from,
        to,
        due_at: to,
        share,
        after: None,
        closes: None,
    };
    Ok(PlannedLine { plan: plan_of(view, &due)?, due })
}

fn plan_of(view: &RatingView, due: &Due) -> Result<Arc<RatablePlan>, ViewError> {
    let subscription = view.subscription(due.subscription)?;
    view.plan_at(subscription.plan_id, RatingView::versions_at(subscription, &due.period)).cloned()
}

async fn billed_before(
    catalog: &Catalog,
    subscription: SubscriptionId,
    from: Timestamp,
) -> Result<Billed, PreviewError> {
    let pool = catalog.database().pool();
    let mut connection = pool.acquire().await.map_err(|error| LedgerError::Database(DatabaseError::from(error)))?;
    Ok(counted::read(&mut connection, &[subscription], from).await?)
}

async fn fees_on(
    rater: &Rater,
    view: &Arc<RatingView>,
    lines: Vec<PlannedLine>,
    terms: &BillingTerms,
    billed: &Billed,
) -> Result<Vec<Fee>, PreviewError> {
    let of = |part: Part| lines.iter().filter(move |line| line.due.part == part).map(|line| line.due.to_rate());
    let (usage, carried): (Vec<RatingItem>, Vec<RatingItem>) = (of(Part::Usage).collect(), of(Part::Carried).collect());
    let cut = rater.store().committed_cut().await.map_err(RateError::from)?;
    let mut rated = rater.rate(view, usage, &cut).await?.into_iter();
    let mut carried = rater.carried_fees(view, carried, &cut).await?.into_iter();
    let mut maker = ChargeFees::default();
    let mut fees: Vec<Fee> = Vec::new();
    for line in &lines {
        match line.due.part {
            Part::PlanFee => fees.push(plan_fee(line)),
            Part::Commitment => fees.extend(commitment_on(terms, line, &fees, billed)?),
            Part::Carried => {
                if let Some(item) = carried.next() {
                    fees.extend(item.fees?.into_iter().map(|fee| maker.in_advance(line, fee)));
                }
            }
            // Rating answers every stretch it is asked, in order.
            Part::Usage => {
                if let Some(item) = rated.next() {
                    fees.extend(maker.of(line, item.fees?));
                }
            }
        }
    }
    Ok(fees)
}
