//! The usage of one charge's fees, put together from single events. ([`crate::rows`] puts the same together from rows.)

use crate::aggregate::{MetricEvent, MetricRules, Span, Value, aggregate, prorated, sort};
use crate::lines::{ChargeLines, Group};
use crate::rated::Line;
use aggregator::extract::{dimension_of, field, number_of};
use aggregator::usage::UsageRow;
use domain::catalog::Aggregation;
use domain::identity::EventId;
use domain::pricing::dynamic::Dynamic;
use domain::pricing::{EventUnits, PriceModel};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::BTreeMap;

/// What one fee of a charge is priced by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineUsage {
    /// Before the metric's rounding; prorated when the charge is.
    pub quantity: Quantity,
    /// The same before proration, when the charge is prorated.
    pub full_quantity: Option<Quantity>,
    /// Events in it.
    pub events_count: u64,
    /// Those whose value is unusable.
    pub invalid_count: u64,
    /// Those whose value took part in the quantity.
    pub valued_count: u64,
    /// Sum of their fingerprint terms.
    pub fingerprint: u128,
    /// The events one by one, where the prices look at them.
    pub events: Option<Vec<EventUnits>>,
    /// What the events say they cost, where the prices are that.
    pub dynamic_total: Option<Quantity>,
}

/// Usage by line (as in [`ChargeLines::all`]) and group, in the order of fees. Every line is there, also without events.
pub type UsageByLine = BTreeMap<(usize, Group), LineUsage>;

/// Values of an event's (or a row's) properties.
#[derive(Clone, Copy, Debug)]
pub struct Dimensions<'a> {
    /// Property names, sorted.
    pub keys: &'a [String],
    /// A value each; absent where the property is.
    pub values: &'a [Option<String>],
}

impl<'a> Dimensions<'a> {
    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a str> {
        let place = self.keys.binary_search_by(|known| known.as_str().cmp(key)).ok()?;
        self.values.get(place)?.as_deref()
    }
}

/// Reads the values of a row's dimensions.
///
/// The store writes them; a text that is no such array is a defect of the store and reads as "all absent", which the
/// fingerprint of the fee still covers.
#[must_use]
pub fn row_dimensions(row: &UsageRow) -> Vec<Option<String>> {
    if row.dimensions.is_empty() {
        return Vec::new();
    }
    serde_json::from_str(&row.dimensions).unwrap_or_else(|error| {
        tracing::error!(%error, dimensions = row.dimensions, "the store answered dimensions that cannot be read");
        Vec::new()
    })
}

/// Adds the usage of other events to that of some: counts and sums add up, of maxima the greater stays.
pub fn absorb(usage: &mut LineUsage, aggregation: Aggregation, other: &LineUsage) {
    if aggregation != Aggregation::Max {
        usage.quantity += &other.quantity;
    } else if other.valued_count > 0 && (usage.valued_count == 0 || other.quantity > usage.quantity) {
        usage.quantity = other.quantity.clone();
    }
    usage.valued_count += other.valued_count;
    usage.events_count += other.events_count;
    usage.invalid_count += other.invalid_count;
    usage.fingerprint = usage.fingerprint.wrapping_add(other.fingerprint);
}

/// Every line without events gets an entry: each charge, each filter, has a fee, also of 0.
pub(crate) fn with_empty_lines(lines: &ChargeLines, mut usage: UsageByLine) -> UsageByLine {
    for (line, priced) in lines.all().iter().enumerate() {
        let has_events = usage.range((line, Group::default())..).next().is_some_and(|((found, _), _)| *found == line);
        if !has_events {
            usage.insert((line, Group::default()), empty(&priced.model));
        }
    }
    usage
}

fn empty(model: &PriceModel) -> LineUsage {
    let needs = model.needs();
    LineUsage {
        events: needs.events.then(Vec::new),
        dynamic_total: needs.dynamic_total.then_some(Quantity::ZERO),
        ..LineUsage::default()
    }
}

/// One event, with its raw properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageEvent {
    /// When the usage happened.
    pub timestamp: Timestamp,
    /// Its id.
    pub id: EventId,
    /// Its term in a fee's fingerprint.
    pub term: u128,
    /// One JSON object.
    pub properties: String,
    /// What it says it costs in minor units; empty when it does not.
    pub precise_total: String,
}

/// How the events of one charge become its fees.
#[derive(Clone, Copy, Debug)]
pub struct EventRules<'a> {
    /// The charge's fees.
    pub lines: &'a ChargeLines,
    /// The metric.
    pub metric: &'a MetricRules,
    /// Properties that decide where an event belongs, sorted.
    pub keys: &'a [String],
    /// What is rated, of which period.
    pub span: Span,
    /// Digits of the plan's currency.
    pub exponent: u32,
    /// Whether units count for the days they are used.
    pub prorated: bool,
}

impl EventRules<'_> {
    /// The line and group of an event.
    pub(crate) fn place_of(&self, event: &UsageEvent) -> (usize, Group) {
        let read = |key: &String| dimension_of(field(&event.properties, key)).map(std::borrow::Cow::into_owned);
        let values: Vec<Option<String>> = self.keys.iter().map(read).collect();
        let dimensions = Dimensions { keys: self.keys, values: &values };
        let line = self.lines.line_of(|key| dimensions.get(key));
        (line, self.lines.group_of(line, |key| dimensions.get(key)))
    }

    /// The key of the fee that an event is in.
    #[must_use]
    pub fn line_key_of(&self, event: &UsageEvent) -> String {
        let (line, group) = self.place_of(event);
        Line { filter: self.lines.all()[line].filter, group, ..Line::default() }.key()
    }
}

/// Usage of a charge from single events, in any order.
#[must_use]
pub fn from_events(rules: EventRules<'_>, events: &[UsageEvent]) -> UsageByLine {
    let mut by_line: BTreeMap<(usize, Group), Vec<&UsageEvent>> = BTreeMap::new();
    for event in events {
        by_line.entry(rules.place_of(event)).or_default().push(event);
    }
    let usage = by_line.into_iter().map(|((line, group), members)| {
        let model = &rules.lines.all()[line].model;
        ((line, group), line_usage(rules, model, &members))
    });
    with_empty_lines(rules.lines, usage.collect())
}

fn line_usage(rules: EventRules<'_>, model: &PriceModel, events: &[&UsageEvent]) -> LineUsage {
    let aggregation = rules.metric.metric.aggregation;
    let mut metric_events: Vec<MetricEvent> = events
        .iter()
        .map(|event| MetricEvent {
            timestamp: event.timestamp,
            id: event.id,
            value: rules.metric.value_of(&event.properties),
        })
        .collect();
    sort(&mut metric_events);
    let quantity = aggregate(aggregation, &metric_events, rules.span);
    // Events from before only carry their quantity over; they were counted in their own period.
    let own = |event: &MetricEvent| event.timestamp >= rules.span.from;
    let number_with = |wanted: fn(&Value) -> bool| -> u64 {
        let found = metric_events.iter().filter(|event| own(event) && wanted(&event.value));
        // A count of things in memory fits 64 bits.
        u64::try_from(found.count()).unwrap_or(u64::MAX)
    };
    let own_term = |event: &&UsageEvent| if event.timestamp >= rules.span.from { event.term } else { 0 };
    let needs = model.needs();
    let by_days = if rules.prorated { prorated(aggregation, &metric_events, rules.span) } else { None };
    let dynamic = match model {
        PriceModel::Dynamic(dynamic) => Some(dynamic_total(dynamic, rules.exponent, events)),
        _ => None,
    };
    LineUsage {
        events_count: number_with(|_| true),
        invalid_count: number_with(|value| *value == Value::Unusable),
        valued_count: number_with(|value| !matches!(value, Value::Unusable | Value::Missing)),
        fingerprint: events.iter().map(own_term).fold(0, u128::wrapping_add),
        events: match &by_days {
            Some(prorated) => Some(prorated.events.clone()),
            None => needs.events.then(|| event_units(aggregation, &metric_events, &quantity)),
        },
        dynamic_total: dynamic,
        full_quantity: by_days.is_some().then(|| quantity.clone()),
        quantity: by_days.map_or(quantity, |prorated| prorated.units),
    }
}

/// What each event brings to a count or a sum, in order; for quantities that are no sum over events one entry brings all.
fn event_units(aggregation: Aggregation, events: &[MetricEvent], quantity: &Quantity) -> Vec<EventUnits> {
    let units = |event: &MetricEvent| match (&event.value, aggregation) {
        (Value::Unusable, _) => None,
        (_, Aggregation::Count) => Some(Quantity::ONE),
        (Value::Number(number), _) => Some(number.clone()),
        _ => Some(Quantity::ZERO),
    };
    match aggregation {
        Aggregation::Count | Aggregation::Sum | Aggregation::Custom => {
            events.iter().filter_map(units).map(EventUnits::whole).collect()
        }
        _ if events.is_empty() => Vec::new(),
        _ => vec![EventUnits::whole(quantity.clone())],
    }
}

fn dynamic_total(dynamic: &Dynamic, exponent: u32, events: &[&UsageEvent]) -> Quantity {
    events.iter().map(|event| dynamic_amount(dynamic, exponent, event)).fold(Quantity::ZERO, |total, one| &total + &one)
}

/// What one event of a dynamic charge says it costs, in currency units of 10^-`exponent` minor units.
pub(crate) fn dynamic_amount(dynamic: &Dynamic, exponent: u32, event: &UsageEvent) -> Quantity {
    let number = |name: &str| {
        let read = number_of(field(&event.properties, name)).and_then(|number| number.to_big());
        read.map_or(Quantity::ZERO, Quantity::from)
    };
    let stated = Quantity::parse(&event.precise_total).ok();
    let (price, quantity) = (number(&dynamic.price_field), number(&dynamic.quantity_field));
    Dynamic::event_amount(stated.as_ref(), exponent, &price, &quantity)
}
