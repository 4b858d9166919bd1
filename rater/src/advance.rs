//! Charges that are paid in advance: the fee of each event as it is accepted.
//!
//! [`Rater::advance_fees`] answers for the events of running periods that came in between two cuts: the caller bills them, moves
//! its cut on in the same transaction, and so bills each event exactly once (I4), whatever dies in between. Events are taken in
//! the order in which they were accepted, because that is when each is owed; usage before the first cut sets the level.
//!
//! - An event owes for what it raises the level of its filter and group above the highest point so far; what sinks gives nothing
//!   back inside the period ([`domain::pricing::AdvanceLevel`]).
//! - Of a recurring metric the level with which a period begins is owed as it begins ([`Rater::carried_fees`]).
//! - Where prices look at single events (percentage with allowances or limits, dynamic) it owes the difference it makes.
//! - Prorated, it owes for the local days from its own to the end of the stretch.
//!
//! Fees add up to what the period comes to at its highest point, but for rounding: each is rounded once (I5).
//!
//! Which stretches have new events is told by [`Rater::touched_stretches`].
//!
//! Only metrics whose level an event can raise are paid so ([`is_paid_in_advance`]); others are billed at the end of the period
//! however the charge is marked. Cost: the events of each stretch are read once a call, so callers ask for what
//! changed ([`crate::late::Changes`]); prices that look at single events look at all of them for each new one.

mod level;
mod proof;
mod touched;

use crate::plan::{PlannedItem, RatingPlan, only, plan};
use crate::rate::{RateError, Rater, in_background, read_event, span_of};
use crate::rated::{Line, RateProblem, RatedCharge, RatingItem};
use crate::usage::UsageEvent;
use crate::view::{RatablePlan, RatingView};
use aggregator::usage::EventOfFee;
use domain::catalog::{Aggregation, Charge, Metric};
use domain::identity::EventId;
use domain::money::MinorUnits;
use domain::position::{Cut, Position};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use level::Advance;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

pub use touched::{AdvancePayers, stretches_between};

/// Whether a charge is billed event by event.
#[must_use]
pub fn is_paid_in_advance(charge: &Charge, metric: &Metric) -> bool {
    use Aggregation::{Count, Custom, Max, Sum, UniqueCount};
    charge.pay_in_advance && matches!(metric.aggregation, Count | Sum | Max | UniqueCount | Custom)
}

/// Whether a line that rating makes at the end of a period is left out of the bill, because its events were billed as they came
/// in. What lacks to the charge's least amount is not: it shows only at the end.
#[must_use]
pub fn is_billed_already(rated: &RatedCharge) -> bool {
    is_paid_in_advance(&rated.charge, &rated.metric) && !rated.line.true_up
}

/// The event that a fee in advance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdvanceEvent {
    /// The event.
    pub id: EventId,
    /// When its usage happened.
    pub timestamp: Timestamp,
    /// Its term in a fingerprint.
    pub fingerprint: u128,
    /// When it was accepted, by its organization's clock: since when the fee is owed.
    pub accepted_at: Timestamp,
}

/// What one event owes, or what a level that was reached in earlier periods owes for this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvanceFee {
    /// The charge as it was in the plan's version.
    pub charge: Arc<Charge>,
    /// The version of its metric.
    pub metric: Arc<Metric>,
    /// Which of the charge's lines the event is in.
    pub line: Line,
    /// The event; absent: what the period began with.
    pub of: Option<AdvanceEvent>,
    /// Units owed for; 0 when it raises nothing.
    pub units: Quantity,
    /// Exact, in currency units.
    pub amount: Quantity,
    /// The amount, rounded once.
    pub amount_cents: MinorUnits,
}

/// The fees of one stretch, in the order their events were accepted; or why it cannot be rated.
#[derive(Clone, Debug)]
pub struct AdvancedItem {
    /// Which stretch.
    pub item: RatingItem,
    /// The plan's version, when it is known.
    pub plan: Option<Arc<RatablePlan>>,
    /// A fee for each event in each charge that is paid in advance, also of 0.
    pub fees: Result<Vec<AdvanceFee>, RateProblem>,
}

/// An event with where it stands in the order of acceptance.
struct Accepted {
    order: (Timestamp, Position),
    is_new: bool,
    event: UsageEvent,
}

impl Rater {
    /// What the events of `items` that came in after `after` and up to `until` owe under charges that are paid in advance.
    ///
    /// # Errors
    /// When the store does not answer. What concerns one stretch only is in its own answer.
    pub async fn advance_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<AdvancedItem>, RateError> {
        let (planned, events) = self.advance_events(view, items, after, until, read_event).await?;
        in_background(move || price_all(&planned, events)).await
    }

    /// What recurring metrics carry over into `items` owes for them under charges that are paid in advance: due as each begins.
    ///
    /// # Errors
    /// When the store does not answer. What concerns one stretch only is in its own answer.
    pub async fn carried_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<AdvancedItem>, RateError> {
        let (planned, events) = self.advance_events(view, items, cut, cut, read_event).await?;
        in_background(move || price_carried(&planned, events)).await
    }

    /// The events of charges that are paid in advance, by slot, what they carry over included.
    async fn advance_events(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        after: &Cut,
        until: &Cut,
        read: fn(EventOfFee) -> UsageEvent,
    ) -> Result<(RatingPlan, EventsBySlot), RateError> {
        let (planning, at) = (view.clone(), until.clone());
        let planned = in_background(move || plan(&planning, items, &at)).await?;
        let wanted = advance_slots(&planned);
        let mut events = EventsBySlot::new();
        for query in &planned.queries {
            let question = only(&query.query, &wanted);
            if question.windows.is_empty() {
                continue;
            }
            let keep = |member: EventOfFee| {
                let slot = usize::try_from(member.slot).unwrap_or(usize::MAX);
                events.entry(slot).or_default().push(accepted(member, after, read));
            };
            self.store().stream_events_in(&question, keep).await?;
        }
        for of_slot in events.values_mut() {
            of_slot.sort_unstable_by_key(|event| event.order);
        }
        Ok((planned, events))
    }
}

type EventsBySlot = HashMap<usize, Vec<Accepted>>;

fn accepted(member: EventOfFee, after: &Cut, read: fn(EventOfFee) -> UsageEvent) -> Accepted {
    let position = member.event.position;
    Accepted { order: (member.event.ingested_at, position), is_new: !after.contains(position), event: read(member) }
}

/// The slots of charges that are paid in advance, what they carry over included.
fn advance_slots(planned: &RatingPlan) -> Vec<usize> {
    let mut slots = BTreeSet::new();
    for item in &planned.items {
        let (Ok(charges), Some(plan)) = (&item.charges, &item.plan) else { continue };
        for charge in charges {
            let metric = &planned.slots[charge.slot].shape.rules.metric;
            if is_paid_in_advance(&plan.plan.charges[charge.place], metric) {
                slots.extend(std::iter::once(charge.slot).chain(charge.carried));
            }
        }
    }
    slots.into_iter().collect()
}

fn price_all(planned: &RatingPlan, events: EventsBySlot) -> Vec<AdvancedItem> {
    let charges = |item: &PlannedItem| -> Result<Vec<AdvanceFee>, RateProblem> {
        let mut fees = Vec::new();
        each_charge(planned, &events, item, |mut advance, own| {
            for accepted in own {
                fees.extend(advance.take(&accepted.event, accepted.order.0)?.filter(|_| accepted.is_new));
            }
            Ok(())
        })?;
        Ok(fees)
    };
    answered(planned, charges)
}

fn price_carried(planned: &RatingPlan, events: EventsBySlot) -> Vec<AdvancedItem> {
    let charges = |item: &PlannedItem| -> Result<Vec<AdvanceFee>, RateProblem> {
        let mut fees = Vec::new();
        each_charge(planned, &events, item, |advance, _| {
            fees.extend(advance.standing()?);
            Ok(())
        })?;
        Ok(fees)
    };
    answered(planned, charges)
}

fn answered(
    planned: &RatingPlan,
    fees: impl Fn(&PlannedItem) -> Result<Vec<AdvanceFee>, RateProblem>,
) -> Vec<AdvancedItem> {
    let items = planned.items.iter();
    items.map(|item| AdvancedItem { item: item.item.clone(), plan: item.plan.clone(), fees: fees(item) }).collect()
}

/// Hands over each charge of a stretch that is paid in advance, with its levels as the stretch begins, and the events of the
/// stretch in the order they were accepted.
fn each_charge<'a>(
    planned: &'a RatingPlan,
    events: &'a EventsBySlot,
    item: &'a PlannedItem,
    mut with: impl FnMut(Advance<'a>, Vec<&'a Accepted>) -> Result<(), RateProblem>,
) -> Result<(), RateProblem> {
    let charges = item.charges.as_ref().map_err(Clone::clone)?;
    let Some(plan) = &item.plan else { return Ok(()) };
    let of_slot = |slot: usize| events.get(&slot).map(Vec::as_slice).unwrap_or_default();
    for charge in charges {
        let ratable = plan.charges()[charge.place].as_ref().map_err(Clone::clone)?;
        let shape = &planned.slots[charge.slot].shape;
        if is_paid_in_advance(&ratable.charge, &shape.rules.metric) {
            let mut advance = Advance::of(ratable, &shape.rules, &shape.keys, span_of(&item.item), plan);
            // What is carried over is a slot of its own, or the earlier events of this one.
            let all = charge.carried.map(of_slot).unwrap_or_default().iter().chain(of_slot(charge.slot));
            let (before, own): (Vec<_>, Vec<_>) = all.partition(|one| one.event.timestamp < item.item.from);
            for accepted in before {
                advance.take(&accepted.event, accepted.order.0)?;
            }
            advance.begin();
            with(advance, own)?;
        }
    }
    Ok(())
}
