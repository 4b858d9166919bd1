//! One charge that is paid in advance, as its events come in: where each filter and group stands, and what the next event owes.

use super::{AdvanceEvent, AdvanceFee};
use crate::aggregate::{MetricRules, Span, Value};
use crate::lines::Group;
use crate::price::rounded;
use crate::rated::{Line, RateProblem};
use crate::usage::{EventRules, UsageEvent, dynamic_amount};
use crate::view::{RatableCharge, RatablePlan};
use domain::catalog::{Aggregation, Metric};
use domain::pricing::{AdvanceLevel, EventUnits, PriceModel, PricingError, UsageToPrice, advance_fee};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Digits of prorated units.
const PRORATED_DIGITS: u32 = 5;
/// Digits of a prorated amount, before it is rounded to cents.
const AMOUNT_DIGITS: u32 = 30;

/// One charge as its events come in.
pub(super) struct Advance<'a> {
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
    pub(super) fn of(
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
    pub(super) fn take(
        &mut self,
        event: &UsageEvent,
        accepted_at: Timestamp,
    ) -> Result<Option<AdvanceFee>, RateProblem> {
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
        let amount = advance_fee(model, &before, &with).map_err(|reason| self.unpriced(reason))?;
        let units = if looks_at_events { change } else { owed };
        let of = Some(AdvanceEvent { id: event.id, timestamp: event.timestamp, fingerprint: event.term, accepted_at });
        self.fee(place, of, units, amount).map(Some)
    }

    /// The stretch begins: what was taken before it is where its levels stand, and from there they are paid anew.
    pub(super) fn begin(&mut self) {
        for state in self.states.values_mut() {
            state.level.maximum = state.level.current.clone().or_zero();
        }
    }

    /// What the levels with which the stretch began owe for it, in the order of filters and groups.
    pub(super) fn standing(&self) -> Result<Vec<AdvanceFee>, RateProblem> {
        let metric = &self.rules.metric.metric;
        let mut fees = Vec::new();
        for (place, state) in &self.states {
            let model = &self.ratable.lines.all()[place.0].model;
            let needs = model.needs();
            let usage = usage_of(metric, state, needs.events || needs.dynamic_total);
            if !usage.units.is_positive() {
                continue;
            }
            let priced = model.price(&usage).map_err(|reason| self.unpriced(reason))?;
            fees.push(self.fee(place.clone(), None, usage.units, priced.amount)?);
        }
        Ok(fees)
    }

    fn unpriced(&self, reason: PricingError) -> RateProblem {
        let code = self.rules.metric.metric.code.clone();
        RateProblem::Pricing { charge: self.ratable.charge.id, code, reason }
    }

    fn fee(
        &self,
        (line, group): (usize, Group),
        of: Option<AdvanceEvent>,
        units: Quantity,
        amount: Quantity,
    ) -> Result<AdvanceFee, RateProblem> {
        let metric = &self.rules.metric.metric;
        let priced_line = &self.ratable.lines.all()[line];
        let when = of.map_or(self.rules.span.from, |event| event.timestamp);
        let (units, amount) = self.for_its_days(when, units, amount);
        let cents = self.plan.plan.currency.to_minor_units(&amount.to_big()).map_err(|reason| RateProblem::Money {
            charge: self.ratable.charge.id,
            code: metric.code.clone(),
            reason,
        })?;
        let line = Line {
            filter: priced_line.filter,
            filter_values: priced_line.values.clone(),
            display_name: priced_line.display_name.clone(),
            group,
            true_up: false,
        };
        let (charge, metric) = (self.ratable.charge.clone(), metric.clone());
        Ok(AdvanceFee { charge, metric, line, of, units, amount, amount_cents: cents })
    }

    /// Units and amount for the days from that of `when` to the end of the stretch, when the charge is prorated.
    fn for_its_days(&self, when: Timestamp, units: Quantity, amount: Quantity) -> (Quantity, Quantity) {
        if !self.rules.prorated {
            return (units, amount);
        }
        let span = self.rules.span;
        let days = span.period.proration(when.max(span.from), span.to);
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
