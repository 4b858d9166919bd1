//! Drafts rated again: the usage on them at a newer cut, commitments filled up again, taxes as the catalog says now. Pure but for
//! the question to the rater.
//!
//! Usage that was adjusted stays as it was first billed, at its first cut: an invoice that was taken back is made again while the adjustment
//! of what came late stands on another one. Rated at a newer cut it would hold the late events too.

use super::RunError;
use super::terms::applied_taxes;
use crate::assemble::{PlannedLine, status_at};
use crate::charge_fee::ChargeFees;
use crate::commitment::{RefillError, refilled};
use crate::due::{Chain, Due, Part, share_of};
use crate::fee_period::period_of_fee;
use crate::inputs::{BillingInputs, World};
use crate::ledger::drafts::{ReworkedDraft, is_reworked};
use crate::ledger::fees::StoredFee;
use crate::ledger::invoices::StoredInvoice;
use crate::model::{Credits, Fee, FeeKind, InvoiceStatus};
use crate::tax::{Taxed, taxes_of};
use catalog::billing::{BillingTerms, UnknownTax};
use domain::ids::{InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::{RateProblem, RatedItem, RatingItem, RatingView, ViewError};
use std::collections::{HashMap, HashSet};

/// Why a draft stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotReworked {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Rating(#[from] RateProblem),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    #[error(transparent)]
    Commitment(#[from] RefillError),
}

/// Stretches whose usage was adjusted after it was billed, by their first instants.
pub(crate) type AdjustedStretches = HashSet<(SubscriptionId, Timestamp)>;

/// A draft to be rated again, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Rework {
    pub(crate) organization: OrganizationId,
    pub(crate) invoice: StoredInvoice,
    /// When it is issued from now on.
    pub(crate) issued_at: Timestamp,
    /// By when to pay from now on.
    pub(crate) due_date: Timestamp,
    /// Whether it is issued with it.
    pub(crate) issue: bool,
}

/// Each draft as it is to be, or why it stays as it is; in their order.
pub(crate) async fn rework_all(
    inputs: &dyn BillingInputs,
    world: &World,
    cut: &Cut,
    adjusted: &AdjustedStretches,
    drafts: Vec<Rework>,
) -> Result<Vec<(InvoiceId, Result<ReworkedDraft, NotReworked>)>, RunError> {
    let usage: Vec<_> = drafts.iter().map(|draft| usage_on(&world.view, &draft.invoice, adjusted)).collect();
    let items: Vec<RatingItem> = usage.iter().flatten().flatten().map(|(_, item)| item.clone()).collect();
    let mut rated = match items.is_empty() {
        true => Vec::new().into_iter(),
        false => inputs.rate(&world.view, items, cut).await?.into_iter(),
    };
    let mut maker = ChargeFees::default();
    let mut reworked = Vec::with_capacity(drafts.len());
    for (draft, usage) in drafts.into_iter().zip(usage) {
        let id = draft.invoice.id;
        let outcome = match usage {
            Ok(usage) => {
                let stretches: Vec<RatedItem> = rated.by_ref().take(usage.len()).collect();
                rework(&mut maker, &world.terms, draft, adjusted, &usage, stretches)
            }
            Err(why) => Err(why.into()),
        };
        reworked.push((id, outcome));
    }
    Ok(reworked)
}

/// The subscriptions whose usage is on drafts.
pub(crate) fn subscriptions_on<'a>(drafts: impl Iterator<Item = &'a StoredInvoice>) -> Vec<SubscriptionId> {
    let mut subscriptions: Vec<_> = drafts.flat_map(|draft| &draft.fees).filter_map(usage_of).collect();
    subscriptions.sort_unstable();
    subscriptions.dedup();
    subscriptions
}

/// The stretches of usage on a draft that are rated again, as they were billed, each with the line its first fee stands on.
fn usage_on(
    view: &RatingView,
    invoice: &StoredInvoice,
    adjusted: &AdjustedStretches,
) -> Result<Vec<(i64, RatingItem)>, ViewError> {
    let mut seen: HashSet<(SubscriptionId, Timestamp)> = HashSet::new();
    let mut items = Vec::new();
    for fee in &invoice.fees {
        let Some(subscription) = usage_of(fee) else { continue };
        if is_settled(fee, adjusted) || !seen.insert((subscription, fee.from)) {
            continue;
        }
        let period = period_of_fee(view, fee, subscription)?;
        let minimum_share = share_of(view.subscription(subscription)?, &period, fee.from, fee.to);
        items.push((fee.line, RatingItem { subscription, period, from: fee.from, to: fee.to, minimum_share }));
    }
    Ok(items)
}

fn usage_of(fee: &StoredFee) -> Option<SubscriptionId> {
    if fee.kind == FeeKind::Charge && fee.in_advance.is_none() { fee.subscription } else { None }
}

fn is_settled(fee: &StoredFee, adjusted: &AdjustedStretches) -> bool {
    usage_of(fee).is_some_and(|subscription| adjusted.contains(&(subscription, fee.from)))
}

fn rework(
    maker: &mut ChargeFees,
    terms: &BillingTerms,
    draft: Rework,
    adjusted: &AdjustedStretches,
    usage: &[(i64, RatingItem)],
    rated: Vec<RatedItem>,
) -> Result<ReworkedDraft, NotReworked> {
    let Rework { organization, invoice, issued_at, due_date, issue } = draft;
    let mut anew = Vec::new();
    for ((line, _), stretch) in usage.iter().zip(rated) {
        anew.extend(fees_of(maker, stretch)?.into_iter().map(|fee| (*line, fee)));
    }
    let (kept, replaced): (Vec<&StoredFee>, Vec<&StoredFee>) =
        invoice.fees.iter().partition(|fee| !is_reworked(fee) || is_settled(fee, adjusted));
    for fee in invoice.fees.iter().filter(|fee| fee.kind == FeeKind::Commitment) {
        let filled = refilled(fee, &replaced, &anew)?;
        anew.push((fee.line, filled));
    }
    for (_, fee) in &mut anew {
        fee.taxes = applied_taxes(terms, organization, invoice.customer, fee)?;
    }
    let amounts = kept.iter().map(|fee| fee.amount).chain(anew.iter().map(|(_, fee)| fee.amount));
    let subtotal = amounts.into_iter().try_fold(MinorUnits::ZERO, MinorUnits::plus)?;
    // Without coupons: these are taken off when it is written.
    let none = Quantity::ZERO;
    let taxed = kept.iter().map(|fee| Taxed { amount: fee.amount, coupons: &none, taxes: &fee.taxes });
    let taxes = taxes_of(taxed.chain(anew.iter().map(|(_, fee)| Taxed::fee(fee))))?;
    let total = subtotal.plus(taxes.amount)?;
    let settled = kept.iter().filter(|fee| is_settled(fee, adjusted)).map(|fee| fee.id).collect();
    let status = if issue { status_at(issued_at, issued_at, total) } else { InvoiceStatus::Draft };
    Ok(ReworkedDraft {
        organization,
        settled,
        status,
        issued_at,
        due_date,
        anew,
        subtotal,
        taxes,
        // What is taken off is worked out when it is written.
        credits: Credits::default(),
        kept_coupons: HashMap::new(),
        total,
        draft: invoice,
    })
}

fn fees_of(maker: &mut ChargeFees, rated: RatedItem) -> Result<Vec<Fee>, RateProblem> {
    let fees = rated.fees?;
    let Some(plan) = rated.plan else { return Ok(Vec::new()) };
    let item = rated.item;
    let due = Due {
        subscription: item.subscription,
        part: Part::Usage,
        chain: Chain::Main,
        period: item.period,
        from: item.from,
        to: item.to,
        due_at: item.to,
        share: item.minimum_share,
        after: None,
        closes: None,
    };
    Ok(maker.of(&PlannedLine { due, plan }, fees))
}
