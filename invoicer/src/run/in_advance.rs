//! Usage that is paid in advance, billed as it comes in: an invoice for each event (or, where its charge is not invoiceable, a
//! fee by itself), with a fee for each charge that is paid so.
//!
//! A pass goes from the position in the ledger to what is in the store, and moves it on in the transaction that writes the fees:
//! of two passes at once one writes nothing and goes again, and whoever dies leaves all or nothing (I4). Three things are not
//! covered by that one position, and are kept per payer ([`advanced`]):
//! - a subscription that is seen for the first time owes for its events since it started, however early they came;
//! - one whose fees cannot be worked out keeps the position up to which it paid, is tried again with each pass, and keeps no
//!   other from being billed;
//! - what a recurring metric carries into a period is due as that begins, with a billing run ([`crate::due::Part::Carried`]).
//!
//! Invoices are issued as of the event's acceptance, by the organization's clock: days of grace are for what may still change.
//!
//! Cost: while nothing came in, one row of the ledger and the store's last position; else one question to the store about the
//! metrics concerned, and the events of the stretches they are in.

use super::plan::Problems;
use super::terms::applied_taxes;
use super::{RunError, Shared};
use crate::assemble::{PlannedLine, add_up};
use crate::charge_fee::ChargeFees;
use crate::due::{Chain, Due, Part};
use crate::inputs::World;
use crate::ledger::advanced::{self, Payer, Progress};
use crate::ledger::fee_rows::insert_lone_fees;
use crate::ledger::write::{BatchContext, insert_all};
use crate::ledger::{LedgerError, runs, tally};
use crate::model::{Credits, Fee, Invoice, InvoiceKind, InvoiceStatus};
use crate::tax::InvoiceTaxes;
use catalog::billing::UnknownTax;
use domain::identity::EventId;
use domain::ids::{InvoiceId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::period::later_by_days;
use domain::period::{PeriodError, Timezones};
use domain::position::Cut;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use rater::advance::{AdvanceEvent, AdvanceFee, AdvancePayers, AdvancedItem, stretches_between};
use rater::view::RatablePlan;
use rater::{RateProblem, RatingItem, ViewError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Passes in a row of which another was first; each time some pass has made progress.
const MAX_ATTEMPTS: usize = 100;

/// A year: how far ahead of the clock an event may be stamped that came in before its subscription was first seen.
const AHEAD_MICROS: i64 = 366 * 24 * 3600 * MICROS_PER_SECOND;

/// The catalog with who pays in advance.
#[derive(Clone)]
struct Payers {
    world: World,
    payers: Arc<AdvancePayers>,
}

/// Who pays in advance, for as long as the catalog does not change; absent where nobody does, so that no catalog is held for it.
pub(super) struct Known {
    mark: String,
    payers: Option<Payers>,
}

/// What a pass wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BilledInAdvance {
    /// Invoices issued.
    pub invoices: usize,
    /// Fees on them and by themselves.
    pub fees: usize,
}

/// Why what a subscription owes is left for a later pass.
#[derive(Debug, thiserror::Error)]
enum HeldUp {
    #[error(transparent)]
    Rating(#[from] RateProblem),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    #[error(transparent)]
    Period(#[from] PeriodError),
}

/// Stretches with the cut after which their events are owed.
struct Owed {
    after: Cut,
    items: Vec<RatingItem>,
}

/// What a pass is to write.
#[derive(Default)]
struct Bills {
    invoices: Vec<Invoice>,
    lone: Vec<Invoice>,
    payers: Vec<Payer>,
}

impl Shared {
    /// Bills what came in up to `cut`, or farther where that was billed before.
    pub(super) async fn bill_in_advance_up_to(&self, cut: &Cut) -> Result<BilledInAdvance, RunError> {
        let mut cached = self.payers.lock().await;
        let known = self.payers_now(cached.take()).await?;
        let Some(known) = cached.insert(known).payers.clone() else { return Ok(BilledInAdvance::default()) };
        for _ in 0..MAX_ATTEMPTS {
            if let Some(billed) = self.pass(&known, cut).await? {
                return Ok(billed);
            }
        }
        Err(RunError::Ledger(LedgerError::Contended))
    }

    async fn payers_now(&self, cached: Option<Known>) -> Result<Known, RunError> {
        if !self.inputs.may_charge_in_advance().await? {
            return Ok(Known { mark: String::new(), payers: None });
        }
        // Read before the catalog: what changes in between is seen by the next pass.
        let mark = self.inputs.catalog_mark().await?;
        if let Some(known) = cached.filter(|known| known.mark == mark) {
            return Ok(known);
        }
        let world = self.world_at(&mark).await?;
        let payers = Arc::new(AdvancePayers::of(&world.view));
        let found = (!payers.is_empty()).then_some(Payers { world, payers });
        Ok(Known { mark, payers: found })
    }

    /// One attempt; absent when another was first.
    async fn pass(&self, known: &Payers, cut: &Cut) -> Result<Option<BilledInAdvance>, RunError> {
        let progress = advanced::read(&mut *self.connection().await?).await?;
        let until = joined(&progress.cut, cut);
        let is_new = |id: &SubscriptionId| !progress.payers.contains_key(id);
        let is_held = |id: &SubscriptionId| matches!(progress.payers.get(id), Some(Some(_)));
        if until == progress.cut && !known.payers.subscriptions().any(|id| is_new(&id) || is_held(&id)) {
            return Ok(Some(BilledInAdvance::default()));
        }
        let owed = self.owed(known, &progress, &until).await?;
        let mut problems = Problems::default();
        let mut bills = Bills::default();
        for Owed { after, items } in owed {
            let answered = self.inputs.advance_fees(&known.world.view, items, &after, &until).await?;
            self.add(known, &progress, &after, answered, &mut bills, &mut problems);
        }
        for id in known.payers.subscriptions().filter(is_new) {
            if !bills.payers.iter().any(|payer| payer.subscription == id) {
                bills.payers.extend(payer(known, id, None));
            }
        }
        self.write_advanced(&progress, &until, bills).await
    }

    /// Whose stretches to look at, from where on.
    async fn owed(&self, known: &Payers, progress: &Progress, until: &Cut) -> Result<Vec<Owed>, RunError> {
        let (view, payers) = (&known.world.view, &known.payers);
        let mut starts: Vec<(Cut, HashSet<SubscriptionId>)> = Vec::new();
        let mut fresh = Vec::new();
        for id in payers.subscriptions() {
            match progress.payers.get(&id) {
                None => fresh.push(id),
                Some(None) => {}
                Some(Some(after)) => match starts.iter_mut().find(|(cut, _)| cut == after) {
                    Some((_, held)) => _ = held.insert(id),
                    None => starts.push((after.clone(), HashSet::from([id]))),
                },
            }
        }
        let mut owed = Vec::new();
        if !fresh.is_empty() {
            fresh.sort_unstable();
            let mut items = Vec::new();
            for id in fresh {
                items.extend(self.since_start(known, id));
            }
            owed.push(Owed { after: Cut::default(), items });
        }
        for (after, held) in starts {
            let only = Arc::new(payers.only(|id| held.contains(id)));
            let items = self.inputs.touched_stretches(view, &only, &after, until).await?;
            owed.push(Owed { after, items });
        }
        let others = Arc::new(payers.only(|id| matches!(progress.payers.get(id), Some(None))));
        let items = self.inputs.touched_stretches(view, &others, &progress.cut, until).await?;
        owed.push(Owed { after: progress.cut.clone(), items });
        Ok(owed)
    }

    /// The stretches of a subscription from its start to a year from now: its first events may be stamped ahead of the clock.
    fn since_start(&self, known: &Payers, id: SubscriptionId) -> Vec<RatingItem> {
        let view = &known.world.view;
        let Ok(subscription) = view.subscription(id) else { return Vec::new() };
        let started_at = subscription.started_at.unwrap_or(subscription.created_at);
        let now = self.now_of(known, id).max(started_at);
        let last = Timestamp(now.0.saturating_add(AHEAD_MICROS));
        // What its periods rest on is missing: its billing run names it.
        stretches_between(view, subscription, started_at, last).unwrap_or_default()
    }

    /// A sandbox has its own clock.
    fn now_of(&self, known: &Payers, id: SubscriptionId) -> Timestamp {
        let organization = known.world.view.subscription(id).map(|one| one.organization).ok();
        let sandbox = organization.and_then(|id| known.world.sandboxes.get(&id));
        sandbox.copied().unwrap_or_else(|| self.clock.now())
    }

    /// Makes bills of what was answered; a subscription with any stretch that cannot be billed is held up as a whole.
    fn add(
        &self,
        known: &Payers,
        progress: &Progress,
        after: &Cut,
        answered: Vec<AdvancedItem>,
        bills: &mut Bills,
        problems: &mut Problems,
    ) {
        let mut by_subscription: BTreeMap<SubscriptionId, Vec<AdvancedItem>> = BTreeMap::new();
        for item in answered {
            by_subscription.entry(item.item.subscription).or_default().push(item);
        }
        let mut maker = ChargeFees::default();
        for (id, items) in by_subscription {
            let outcome: Result<Vec<_>, HeldUp> =
                items.into_iter().map(|item| bills_of(&mut maker, &known.world, item)).collect();
            match outcome {
                Ok(made) => {
                    for (invoices, lone) in made {
                        bills.invoices.extend(invoices);
                        bills.lone.extend(lone);
                    }
                    if !matches!(progress.payers.get(&id), Some(None)) {
                        bills.payers.extend(payer(known, id, None));
                    }
                }
                Err(why) => {
                    problems.note(format_args!("usage in advance of subscription {id}"), why);
                    bills.payers.extend(payer(known, id, Some(after.clone())));
                }
            }
        }
    }

    async fn write_advanced(
        &self,
        progress: &Progress,
        until: &Cut,
        mut bills: Bills,
    ) -> Result<Option<BilledInAdvance>, RunError> {
        // Numbers grow with time.
        bills.invoices.sort_by_key(|invoice| (invoice.organization, invoice.issued_at));
        let mut write = self.database.write().await?;
        if !advanced::advance(write.connection(), progress, until).await? {
            return Ok(None);
        }
        advanced::keep_payers(write.connection(), &bills.payers).await?;
        let mut billed = BilledInAdvance { invoices: bills.invoices.len(), fees: 0 };
        billed.fees = bills.invoices.iter().chain(&bills.lone).map(|invoice| invoice.fees.len()).sum();
        if billed.fees > 0 {
            let cut_id = runs::keep_positions(write.connection(), until).await?;
            let context = BatchContext { run: None, cut_id, now: self.clock.now(), row_lock: write.for_update() };
            insert_all(write.connection(), &context, bills.invoices.iter_mut()).await?;
            insert_lone_fees(write.connection(), &context, bills.lone.iter()).await?;
        }
        if let Some(first) = bills.invoices.first() {
            tally::fold_sometimes(write.connection(), first.organization).await?;
        }
        write.commit().await?;
        metrics::counter!("tollgate_advance_fees_total").increment(billed.fees as u64);
        Ok(Some(billed))
    }
}

/// Up to where the farther of two is, partition by partition.
pub(super) fn joined(one: &Cut, other: &Cut) -> Cut {
    let mut joined = one.clone();
    let known: BTreeMap<(u16, u16), u64> =
        one.iter().map(|(epoch, partition, last)| ((epoch, partition), last)).collect();
    for (epoch, partition, last) in other.iter() {
        if known.get(&(epoch, partition)).is_none_or(|before| *before < last) {
            joined.set(epoch, partition, last);
        }
    }
    joined
}

fn payer(known: &Payers, id: SubscriptionId, owed_after: Option<Cut>) -> Option<Payer> {
    let subscription = known.world.view.subscription(id).ok()?;
    Some(Payer { subscription: id, organization: subscription.organization, owed_after })
}

/// The fees of one stretch as invoices of one event each, and those that stand by themselves.
fn bills_of(maker: &mut ChargeFees, world: &World, item: AdvancedItem) -> Result<(Vec<Invoice>, Vec<Invoice>), HeldUp> {
    let fees = item.fees?;
    let Some(plan) = item.plan else { return Ok((Vec::new(), Vec::new())) };
    let line = line_of(&item.item, plan);
    let mut order: Vec<AdvanceEvent> = Vec::new();
    let mut by_event: HashMap<EventId, (Vec<Fee>, Vec<Fee>)> = HashMap::new();
    for fee in fees {
        let Some(event) = fee.of else { continue };
        let (invoiced, lone) = by_event.entry(event.id).or_insert_with(|| {
            order.push(event);
            Default::default()
        });
        let place = if is_invoiced(&fee) { invoiced } else { lone };
        place.push(taxed(world, &line, maker.in_advance(&line, fee))?);
    }
    let (mut invoices, mut lone) = (Vec::new(), Vec::new());
    for event in order {
        let Some((on_invoice, by_themselves)) = by_event.remove(&event.id) else { continue };
        let occasion = format!("event:{}", event.id);
        if !on_invoice.is_empty() {
            invoices.push(invoice_of(world, &line, occasion.clone(), on_invoice, event.accepted_at)?);
        }
        if !by_themselves.is_empty() {
            lone.push(invoice_of(world, &line, occasion, by_themselves, event.accepted_at)?);
        }
    }
    Ok((invoices, lone))
}

fn is_invoiced(fee: &AdvanceFee) -> bool {
    fee.charge.invoiceable
}

pub(super) fn line_of(item: &RatingItem, plan: Arc<RatablePlan>) -> PlannedLine {
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
    PlannedLine { due, plan }
}

fn taxed(world: &World, line: &PlannedLine, mut fee: Fee) -> Result<Fee, HeldUp> {
    let subscription = world.view.subscription(line.due.subscription)?;
    fee.taxes = applied_taxes(&world.terms, subscription.organization, subscription.customer_id, &fee)?;
    Ok(fee)
}

fn invoice_of(
    world: &World,
    line: &PlannedLine,
    occasion: String,
    fees: Vec<Fee>,
    now: Timestamp,
) -> Result<Invoice, HeldUp> {
    let subscription = world.view.subscription(line.due.subscription)?;
    let customer = world.view.customer(subscription.customer_id)?;
    let zone = Timezones::parse(&customer.timezones)?.at(now);
    let mut invoice = Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization: subscription.organization,
        customer: subscription.customer_id,
        subscription: Some(subscription.id),
        kind: InvoiceKind::Subscription,
        status: InvoiceStatus::Finalized,
        currency: line.plan.plan.currency,
        due_at: now,
        occasion,
        period_start: line.due.from,
        period_end: line.due.to,
        issued_at: now,
        due_date: later_by_days(zone, now, customer.net_payment_term_days),
        paid_at: None,
        run: None,
        regenerated_from: None,
        entity: world.terms.entity(subscription.organization, customer.id).map(|entity| entity.id),
        fees,
        subtotal: MinorUnits::ZERO,
        taxes: InvoiceTaxes::default(),
        credits: Credits::default(),
        total: MinorUnits::ZERO,
    };
    add_up(&mut invoice, now)?;
    Ok(invoice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_never_goes_back_in_any_partition() {
        let cut = |offsets: &[(u16, u64)]| {
            let mut cut = Cut::default();
            offsets.iter().for_each(|(partition, last)| cut.set(0, *partition, *last));
            cut
        };
        assert_eq!(joined(&cut(&[(0, 5), (1, 9)]), &cut(&[(0, 7), (1, 2), (2, 0)])), cut(&[(0, 7), (1, 9), (2, 0)]));
    }
}
