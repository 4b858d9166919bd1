//! Charges that are paid in advance: the fee of each event as it is accepted.
//!
//! [`Rater::advance_fees`] answers for the events of running periods that came in between two cuts: the caller bills them, moves
//! its cut on in the same transaction, and so bills each event exactly once (I4), whatever dies in between. Events are taken in
//! the order in which they were accepted, because that is when each is owed; usage before the first cut sets the level.
//!
//! - An event owes for what it raises the level of its filter and group above the highest point so far; what sinks gives nothing
//!   back inside the period ([`AdvanceLevel`]).
//! - Where prices look at single events (percentage with allowances or limits, dynamic) it owes the difference it makes.
//! - Prorated, it owes for the local days from its own to the end of the stretch.
//!
//! Fees add up to what the period comes to at its highest point, but for rounding: each is rounded once (I5).
//!
//! Only metrics whose level an event can raise are paid so ([`is_paid_in_advance`]); others are billed at the end of the period
//! however the charge is marked. Cost: the events of each stretch are read once a call, so callers ask for what
//! changed ([`crate::late::Changes`]); prices that look at single events look at all of them for each new one.

use crate::aggregate::{MetricRules, Span, Value};
use crate::lines::Group;
use crate::plan::{RatingPlan, only, plan};
use crate::price::rounded;
use crate::rate::{RateError, Rater, in_background, read_event, span_of};
use crate::rated::{Line, RateProblem, RatingItem};
use crate::usage::{EventRules, UsageEvent, dynamic_amount};
use crate::view::{RatableCharge, RatablePlan, RatingView};
use aggregator::usage::EventOfFee;
use domain::catalog::{Aggregation, Charge, Metric};
use domain::identity::EventId;
use domain::money::MinorUnits;
use domain::position::{Cut, Position};
use domain::pricing::{AdvanceLevel, EventUnits, PriceModel, UsageToPrice, advance_fee};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Digits of prorated units.
const PRORATED_DIGITS: u32 = 5;
/// Digits of a prorated amount, before it is rounded to cents.
const AMOUNT_DIGITS: u32 = 30;

/// Whether a charge is billed event by event.
#[must_use]
pub fn is_paid_in_advance(charge: &Charge, metric: &Metric) -> bool {
    use Aggregation::{Count, Custom, Max, Sum, UniqueCount};
    charge.pay_in_advance && matches!(metric.aggregation, Count | Sum | Max | UniqueCount | Custom)
}

/// What one event owes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvanceFee {
    /// The charge as it was in the plan's version.
    pub charge: Arc<Charge>,
    /// The version of its metric.
    pub metric: Arc<Metric>,
    /// Which of the charge's lines the event is in.
    pub line: Line,
    /// The event.
    pub event: EventId,
    /// When its usage happened.
    pub timestamp: Timestamp,
    /// Its term in a fingerprint.
    pub fingerprint: u128,
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
        let (planning, at) = (view.clone(), until.clone());
        let planned = in_background(move || plan(&planning, items, &at)).await?;
        let wanted = advance_slots(&planned);
        let mut events: HashMap<usize, Vec<Accepted>> = HashMap::new();
        for query in &planned.queries {
            let question = only(&query.query, &wanted);
            let keep = |member: EventOfFee| {
                let slot = usize::try_from(member.slot).unwrap_or(usize::MAX);
                events.entry(slot).or_default().push(accepted(member, after));
            };
            self.store().stream_events_in(&question, keep).await?;
        }
        in_background(move || price_all(&planned, events)).await
    }
}

fn accepted(member: EventOfFee, after: &Cut) -> Accepted {
    let position = member.event.position;
    Accepted {
        order: (member.event.ingested_at, position),
        is_new: !after.contains(position),
        event: read_event(member),
    }
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

fn price_all(planned: &RatingPlan, mut events: HashMap<usize, Vec<Accepted>>) -> Vec<AdvancedItem> {
    for of_slot in events.values_mut() {
        of_slot.sort_unstable_by_key(|event| event.order);
    }
    let price = |item: &crate::plan::PlannedItem| -> Result<Vec<AdvanceFee>, RateProblem> {
        let charges = item.charges.as_ref().map_err(Clone::clone)?;
        let Some(plan) = &item.plan else { return Ok(Vec::new()) };
        let mut fees = Vec::new();
        for charge in charges {
            let ratable = plan.charges()[charge.place].as_ref().map_err(Clone::clone)?;
            let shape = &planned.slots[charge.slot].shape;
            if !is_paid_in_advance(&ratable.charge, &shape.rules.metric) {
                continue;
            }
            let mut advance = Advance::of(ratable, &shape.rules, &shape.keys, span_of(&item.item), plan);
            let before = charge.carried.and_then(|slot| events.get(&slot)).into_iter().flatten();
            for accepted in before.chain(events.get(&charge.slot).into_iter().flatten()) {
                let fee = advance.take(&accepted.event)?;
                fees.extend(fee.filter(|_| accepted.is_new && accepted.event.timestamp >= item.item.from));
            }
        }
        Ok(fees)
    };
    let items = planned.items.iter();
    items.map(|item| AdvancedItem { item: item.item.clone(), plan: item.plan.clone(), fees: price(item) }).collect()
}

/// One charge as its events come in.
struct Advance<'a> {
    rules: EventRules<'a>,
    ratable: &'a RatableCharge,
    plan: &'a RatablePlan,
    states: BTreeMap<(usize, Group), State>,
}

/// Where one filter and group of a charge stands.
#[derive(Default)]
struct State {
    level: AdvanceLevel,
    events_count: u64,
    present: BTreeSet<String>,
    each: Vec<EventUnits>,
    dynamic_total: Quantity,
}

impl State {
    /// By how much an event changes the level.
    fn change(&mut self, aggregation: Aggregation, value: &Value) -> Quantity {
        match (aggregation, value) {
            (Aggregation::Count, _) => Quantity::ONE,
            (Aggregation::Max, Value::Number(number)) => {
                let rise = number - &self.level.current;
                // The first value is the maximum, also below 0.
                if self.events_count == 0 || rise.is_positive() { rise } else { Quantity::ZERO }
            }
            (_, Value::Number(number)) => number.clone(),
            (_, Value::Added(text)) if self.present.insert(text.clone()) => Quantity::ONE,
            (_, Value::Removed(text)) if self.present.remove(text) => -&Quantity::ONE,
            _ => Quantity::ZERO,
        }
    }
}

impl<'a> Advance<'a> {
    fn of(
        ratable: &'a RatableCharge,
        metric: &'a MetricRules,
        keys: &'a [String],
        span: Span,
        plan: &'a RatablePlan,
    ) -> Self {
        let rules = EventRules {
            lines: &ratable.lines,
            metric,
            keys,
            span,
            exponent: plan.plan.currency.exponent(),
            prorated: ratable.charge.prorated,
        };
        Self { rules, ratable, plan, states: BTreeMap::new() }
    }

    /// Takes the next event and tells what it owes; nothing when its value cannot be used.
    fn take(&mut self, event: &UsageEvent) -> Result<Option<AdvanceFee>, RateProblem> {
        let metric = &self.rules.metric.metric;
        let value = self.rules.metric.value_of(&event.properties);
        if value == Value::Unusable {
            return Ok(None);
        }
        let place = self.rules.place_of(event);
        let priced_line = &self.ratable.lines.all()[place.0];
        let model = &priced_line.model;
        let state = self.states.entry(place.clone()).or_default();
        let needs = model.needs();
        let looks_at_events = needs.events || needs.dynamic_total;
        let before = usage_of(metric, state, looks_at_events);
        let change = state.change(metric.aggregation, &value);
        let owed = state.level.add(&change);
        state.events_count += 1;
        if needs.events {
            state.each.push(EventUnits::whole(change.clone()));
        }
        if let PriceModel::Dynamic(dynamic) = model {
            state.dynamic_total += &dynamic_amount(dynamic, self.rules.exponent, event);
        }
        let with = usage_of(metric, state, looks_at_events);
        let pricing =
            |reason| RateProblem::Pricing { charge: self.ratable.charge.id, code: metric.code.clone(), reason };
        let amount = advance_fee(model, &before, &with).map_err(pricing)?;
        let units = if looks_at_events { change } else { owed };
        let (units, amount) = self.for_its_days(event, units, amount);
        let cents = self.plan.plan.currency.to_minor_units(&amount.to_big()).map_err(|reason| RateProblem::Money {
            charge: self.ratable.charge.id,
            code: metric.code.clone(),
            reason,
        })?;
        let line = Line {
            filter: priced_line.filter,
            filter_values: priced_line.values.clone(),
            display_name: priced_line.display_name.clone(),
            group: place.1,
            true_up: false,
        };
        Ok(Some(AdvanceFee {
            charge: self.ratable.charge.clone(),
            metric: metric.clone(),
            line,
            event: event.id,
            timestamp: event.timestamp,
            fingerprint: event.term,
            units,
            amount,
            amount_cents: cents,
        }))
    }

    /// Units and amount for the days from the event's to the end of the stretch, when the charge is prorated.
    fn for_its_days(&self, event: &UsageEvent, units: Quantity, amount: Quantity) -> (Quantity, Quantity) {
        if !self.rules.prorated {
            return (units, amount);
        }
        let span = self.rules.span;
        let days = span.period.proration(event.timestamp.max(span.from), span.to);
        let part = days.of_quantity_up(&units, PRORATED_DIGITS);
        // Without units there is nothing to take a part of.
        let share = (&amount * &part).divided(&units, AMOUNT_DIGITS).unwrap_or_default();
        (part, share)
    }
}

/// The usage that is paid so far: up to the highest point, or, where prices look at events, as it is.
fn usage_of(metric: &Metric, state: &State, looks_at_events: bool) -> UsageToPrice {
    let units = if looks_at_events { &state.level.current } else { &state.level.maximum };
    UsageToPrice {
        units: rounded(metric, units.clone()),
        full_units: None,
        events_count: state.events_count,
        events: Some(state.each.clone()),
        dynamic_total: Some(state.dynamic_total.clone()),
    }
}
