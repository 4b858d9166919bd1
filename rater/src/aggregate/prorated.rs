//! Proration by local days: what is used for a part of a period counts for that part.
//!
//! - sum, count, custom: an event counts for the days from its own to the end of what is rated, of the days of the period; an
//!   event of a recurring metric from before counts for all days of what is rated.
//! - unique_count: a value counts for the days on which it was present at any moment.
//! - the others are levels, not amounts: proration does not change them.
//!
//! The result is rounded up to [`UNIT_DIGITS`] digits, once.

use super::{MetricEvent, Span, Value};
use domain::catalog::{Aggregation, RoundingFunction};
use domain::period::Proration;
use domain::pricing::EventUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Digits after the decimal point of prorated units.
pub const UNIT_DIGITS: u32 = 5;
/// Digits of one event's prorated units before they are added up.
const EVENT_DIGITS: u32 = 30;

/// Prorated units, in all and event by event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prorated {
    /// Rounded up to [`UNIT_DIGITS`] digits.
    pub units: Quantity,
    /// What makes it up, in order.
    pub events: Vec<EventUnits>,
}

/// Prorates the quantity of `events`, which are in order; absent for aggregations that proration does not change.
#[must_use]
pub fn prorated(aggregation: Aggregation, events: &[MetricEvent], span: Span) -> Option<Prorated> {
    let units = match aggregation {
        Aggregation::Count | Aggregation::Sum | Aggregation::Custom => amounts(aggregation, events, span),
        Aggregation::UniqueCount => presences(events, span),
        _ => return None,
    };
    let total: Quantity = units.iter().map(|event| &event.prorated_units).sum();
    // The quotients are cut at 30 digits: what lies beyond must not lift a whole number to the next step.
    let settled = total.rounded(RoundingFunction::Round, EVENT_DIGITS.cast_signed() - 6);
    Some(Prorated { units: settled.rounded(RoundingFunction::Ceil, UNIT_DIGITS.cast_signed()), events: units })
}

fn share(units: &Quantity, days: Proration) -> Quantity {
    let parts = units * &Quantity::from(u64::from(days.days));
    parts.divided(&Quantity::from(u64::from(days.of)), EVENT_DIGITS).unwrap_or_default()
}

fn amounts(aggregation: Aggregation, events: &[MetricEvent], span: Span) -> Vec<EventUnits> {
    let units = |event: &MetricEvent| match (&event.value, aggregation) {
        (_, Aggregation::Count) => Some(Quantity::ONE),
        (Value::Number(number), _) => Some(number.clone()),
        _ => None,
    };
    let prorate = |event: &MetricEvent| {
        let units = units(event)?;
        Some(EventUnits { prorated_units: share(&units, span.days_from(event.timestamp)), units })
    };
    events.iter().filter_map(prorate).collect()
}

/// When a value came and went.
#[derive(Default)]
struct Presence {
    since: Option<Timestamp>,
    /// Local days on which it was there, counted from the period's first.
    days: BTreeSet<u32>,
}

impl Presence {
    /// Adds the days of `[since, until)` that are rated; an instant counts as its day.
    fn add_days(&mut self, since: Timestamp, until: Timestamp, span: Span) {
        let (first, last) = (since.max(span.from), Timestamp(until.0.max(since.0 + 1)).min(span.to));
        if first >= last {
            return;
        }
        let before = |instant: Timestamp| span.period.proration(span.period.start, Timestamp(instant.0 + 1)).days;
        self.days.extend(before(first)..=before(Timestamp(last.0 - 1)));
    }
}

fn presences(events: &[MetricEvent], span: Span) -> Vec<EventUnits> {
    let mut values: BTreeMap<&str, Presence> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for event in events {
        let (text, added) = match &event.value {
            Value::Added(text) => (text.as_str(), true),
            Value::Removed(text) => (text.as_str(), false),
            _ => continue,
        };
        let presence = values.entry(text).or_insert_with(|| {
            order.push(text);
            Presence::default()
        });
        match (presence.since, added) {
            (None, true) => presence.since = Some(event.timestamp),
            (Some(since), false) => {
                presence.add_days(since, event.timestamp, span);
                presence.since = None;
            }
            _ => {}
        }
    }
    let mut units = Vec::with_capacity(order.len());
    for text in order {
        let mut presence = values.remove(text).unwrap_or_default();
        if let Some(since) = presence.since {
            presence.add_days(since, span.to, span);
        }
        let days = u32::try_from(presence.days.len()).unwrap_or(u32::MAX);
        let prorated_units = share(&Quantity::ONE, Proration { days, of: span.period.days() });
        units.push(EventUnits { units: Quantity::ONE, prorated_units });
        if presence.since.is_none() {
            // It is gone: the level sinks again, and what it cost for its days stays.
            units.push(EventUnits { units: -&Quantity::ONE, prorated_units: Quantity::ZERO });
        }
    }
    units
}
