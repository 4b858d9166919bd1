//! The slow and obvious way to rate: plain loops over events and rational numbers, with no code of the rater.

use crate::fixtures::World;
use crate::naive_prices::{NaiveUsage, price, whole};
use crate::store::Sent;
use domain::catalog::{Aggregation, Charge, Metric, Subscription};
use domain::identity::{EventId, content_hash, fingerprint_term};
use domain::period::Period;
use domain::time::Timestamp;
use num_bigint::BigInt;
use num_rational::BigRational;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

pub fn rational(text: &str) -> BigRational {
    let (mantissa, exponent) = text.split_once('e').map_or((text, 0), |(m, e)| (m, e.parse::<i32>().unwrap()));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: BigInt = format!("{integer}{fraction}").parse().unwrap();
    let ten = BigRational::from_integer(10.into());
    BigRational::from_integer(digits) * ten.pow(exponent - i32::try_from(fraction.len()).unwrap())
}

/// A fee, as far as the two ways must agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NaiveFee {
    pub units: BigRational,
    pub amount: BigRational,
    pub cents: BigInt,
    pub events_count: u64,
    pub invalid_count: u64,
    pub fingerprint: u128,
}

/// What one event's property `v` is worth: (JSON text or nothing, number, text it is counted by, unusable as a number,
/// unusable as a text).
pub type Worth = (Option<&'static str>, Option<&'static str>, Option<&'static str>, bool, bool);

pub const WORTHS: [Worth; 15] = [
    (Some("1"), Some("1"), Some("1"), false, false),
    (Some("1.0"), Some("1"), Some("1"), false, false),
    (Some("\"1\""), Some("1"), Some("1"), false, false),
    (Some("2.5"), Some("2.5"), Some("2.5"), false, false),
    (Some("\"2.50\""), Some("2.5"), Some("2.50"), false, false),
    (Some("-3"), Some("-3"), Some("-3"), false, false),
    (Some("1e2"), Some("100"), Some("100"), false, false),
    (
        Some("0.0000000000000000000001"),
        Some("0.0000000000000000000001"),
        Some("0.0000000000000000000001"),
        false,
        false,
    ),
    (
        Some("12345678901234567890123.5"),
        Some("12345678901234567890123.5"),
        Some("12345678901234567890123.5"),
        false,
        false,
    ),
    (Some("\"abc\""), None, Some("abc"), true, false),
    (Some("true"), None, Some("true"), true, false),
    (Some("null"), None, None, true, false),
    (Some("[1]"), None, None, true, true),
    (Some("\"1e99\""), None, Some("1e99"), true, false),
    (None, None, None, false, false),
];

/// JSON text of a dimension and the text it is compared by.
pub const REGIONS: [(Option<&str>, Option<&str>); 5] = [
    (Some("\"eu\""), Some("eu")),
    (Some("\"us\""), Some("us")),
    (Some("5"), Some("5")),
    (Some("null"), None),
    (None, None),
];

#[derive(Clone, Debug)]
pub struct NaiveEvent {
    pub sent: Sent,
    pub worth: usize,
    pub region: usize,
    pub kind: usize,
    pub removes: bool,
}

/// The subscription an event counts for: the oldest that fits its names, is active, and is charged for its code.
pub fn owner<'a>(world: &'a World, event: &Sent) -> Option<&'a Subscription> {
    world.subscriptions.iter().find(|subscription| {
        let customer = world.customers.iter().find(|customer| customer.id == subscription.customer_id).unwrap();
        let plan = world.plans.iter().find(|plan| plan.id == subscription.plan_id).unwrap();
        let charged = plan.charges.iter().any(|charge| metric_of(world, charge).code == event.code);
        let named = !event.customer.is_empty() || !event.subscription.is_empty();
        named
            && charged
            && (event.customer.is_empty() || event.customer == customer.external_id)
            && (event.subscription.is_empty() || event.subscription == subscription.external_id)
            && subscription.started_at.unwrap().0 <= event.timestamp
            && subscription.ended_at.is_none_or(|end| event.timestamp < end.0)
    })
}

pub fn metric_of<'a>(world: &'a World, charge: &Charge) -> &'a Metric {
    world.metrics.iter().find(|metric| metric.id == charge.metric_id).unwrap()
}

/// What is rated, and of which period.
pub struct Stretch {
    pub from: Timestamp,
    pub to: Timestamp,
    pub period: Period,
}

/// Half away from zero to 20 digits, as quotients are.
fn settled(value: BigRational) -> BigRational {
    let scale = BigRational::from_integer(BigInt::from(10).pow(20));
    (value * &scale).round() / scale
}

/// Whether an event counts for `subscription`: in the stretch, or, for a recurring metric, carried over from before it.
fn counts(world: &World, metric: &Metric, subscription: &Subscription, stretch: &Stretch, event: &Sent) -> bool {
    if event.code != metric.code || event.timestamp >= stretch.to.0 {
        return false;
    }
    let Some(owner) = owner(world, event) else { return false };
    if event.timestamp >= stretch.from.0 {
        return owner.id == subscription.id;
    }
    let same_line = owner.external_id == subscription.external_id && owner.customer_id == subscription.customer_id;
    metric.recurring && same_line && owner.created_at <= subscription.created_at
}

/// All fees of one charge in a stretch, by line key.
pub fn fees(
    world: &World,
    charge: &Charge,
    subscription: &Subscription,
    stretch: &Stretch,
    events: &[NaiveEvent],
) -> BTreeMap<String, NaiveFee> {
    let metric = metric_of(world, charge);
    let mut by_line: BTreeMap<String, (Value, Vec<&NaiveEvent>)> = BTreeMap::new();
    let grouped: Vec<String> = keys(&charge.properties);
    for event in events.iter().filter(|event| counts(world, metric, subscription, stretch, &event.sent)) {
        let value_of = |key: &str| match key {
            "region" => REGIONS[event.region].1,
            "kind" => REGIONS[event.kind].1,
            _ => None,
        };
        let filter = (0..charge.filters.len())
            .filter(|place| {
                charge.filters[*place].values.iter().all(|(key, accepted)| {
                    value_of(key).is_some_and(|value| accepted.iter().any(|v| v == value || v == "*any value*"))
                })
            })
            // Most keys first, then the order; the tests do not nest values of one key.
            .min_by_key(|place| (usize::MAX - charge.filters[*place].values.len(), *place));
        let properties = filter.map_or(charge.properties.clone(), |place| charge.filters[place].properties.clone());
        let group: Vec<Option<&str>> = grouped.iter().map(|key| value_of(key)).collect();
        let key = line_key(filter, &group);
        by_line.entry(key).or_insert_with(|| (properties, Vec::new())).1.push(event);
    }
    let lines = std::iter::once((None, &charge.properties))
        .chain(charge.filters.iter().enumerate().map(|(place, filter)| (Some(place), &filter.properties)));
    for (filter, properties) in lines {
        let prefix = line_key(filter, &[]);
        let own = |key: &String| *key == prefix || key.starts_with(&format!("{prefix}:"));
        if !by_line.keys().any(own) {
            by_line.insert(prefix, (properties.clone(), Vec::new()));
        }
    }
    by_line.into_iter().map(|(key, (prices, members))| (key, fee(world, charge, stretch, &prices, members))).collect()
}

fn keys(properties: &Value) -> Vec<String> {
    properties["grouped_by"].as_array().into_iter().flatten().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn line_key(filter: Option<usize>, group: &[Option<&str>]) -> String {
    let filter = filter.map(|place| place.to_string()).unwrap_or_default();
    if group.is_empty() { filter } else { format!("{filter}:{}", serde_json::json!(group)) }
}

/// What an event is worth to a metric: a number, nothing, or something unusable.
enum Worthwhile {
    Number(BigRational),
    Nothing,
    Unusable,
}

fn worth(aggregation: Aggregation, event: &NaiveEvent) -> Worthwhile {
    let (_, number, _, unusable_number, unusable_text) = WORTHS[event.worth];
    match (aggregation, number) {
        (Aggregation::Count, _) => Worthwhile::Number(whole(1)),
        (Aggregation::UniqueCount, _) if unusable_text => Worthwhile::Unusable,
        (Aggregation::UniqueCount, _) => Worthwhile::Nothing,
        // (v + 1) × −v / 4, as the metric's expression says; without a number it has no value.
        (Aggregation::Custom, Some(v)) => {
            Worthwhile::Number(settled((rational(v) + whole(1)) * -rational(v) / whole(4)))
        }
        (Aggregation::Custom, None) => Worthwhile::Unusable,
        (_, Some(number)) => Worthwhile::Number(rational(number)),
        (_, None) if unusable_number => Worthwhile::Unusable,
        (_, None) => Worthwhile::Nothing,
    }
}

fn fee(world: &World, charge: &Charge, stretch: &Stretch, prices: &Value, mut events: Vec<&NaiveEvent>) -> NaiveFee {
    let metric = metric_of(world, charge);
    let id = |event: &NaiveEvent| EventId::derive(world.organization, &event.sent.transaction_id);
    events.sort_by_key(|event| (event.sent.timestamp, id(event)));
    let own: Vec<&NaiveEvent> = events.iter().filter(|event| event.sent.timestamp >= stretch.from.0).copied().collect();
    let invalid = |event: &&&NaiveEvent| matches!(worth(metric.aggregation, event), Worthwhile::Unusable);
    let invalid_count = own.iter().filter(invalid).count() as u64;
    let quantity = quantity(metric.aggregation, stretch, &events);
    let units = if charge.prorated { prorated(metric.aggregation, stretch, &events) } else { quantity.clone() };
    let usage = NaiveUsage {
        events_count: own.len() as u64 - invalid_count,
        each: each(metric.aggregation, &events, &quantity),
        stated: events.iter().map(|event| stated(event)).sum(),
        units: units.clone(),
    };
    let amount = price(charge.model, prices, &usage);
    let term = |event: &&NaiveEvent| {
        fingerprint_term(id(event), content_hash(&event.sent.content()), Timestamp(event.sent.timestamp))
    };
    NaiveFee {
        cents: (&amount * whole(100)).round().to_integer(),
        amount,
        units,
        events_count: own.len() as u64,
        invalid_count,
        fingerprint: own.iter().map(term).fold(0, u128::wrapping_add),
    }
}

/// What events in the order of their time come to.
fn quantity(aggregation: Aggregation, stretch: &Stretch, events: &[&NaiveEvent]) -> BigRational {
    let numbers: Vec<(i64, BigRational)> = events
        .iter()
        .filter_map(|event| match worth(aggregation, event) {
            Worthwhile::Number(number) => Some((event.sent.timestamp, number)),
            _ => None,
        })
        .collect();
    let values = || numbers.iter().map(|(_, number)| number);
    match aggregation {
        Aggregation::Count => whole(events.len()),
        Aggregation::Sum | Aggregation::Custom => values().sum(),
        Aggregation::Max => values().max().cloned().unwrap_or(whole(0)),
        Aggregation::Min => values().min().cloned().unwrap_or(whole(0)),
        Aggregation::Average if numbers.is_empty() => whole(0),
        Aggregation::Average => settled(values().sum::<BigRational>() / whole(numbers.len())),
        Aggregation::Latest => values().next_back().cloned().unwrap_or(whole(0)).max(whole(0)),
        Aggregation::WeightedSum => {
            let area = |(at, number): &(i64, BigRational)| number * whole(stretch.to.0 - (*at).max(stretch.from.0));
            let whole_period = whole(stretch.period.end.0 - stretch.period.start.0);
            settled(numbers.iter().map(area).sum::<BigRational>() / whole_period)
        }
        Aggregation::UniqueCount => {
            let mut present = BTreeSet::new();
            for event in events {
                match WORTHS[event.worth].2 {
                    Some(text) if event.removes => drop(present.remove(text)),
                    Some(text) => drop(present.insert(text)),
                    None => {}
                }
            }
            whole(present.len())
        }
    }
}

/// What each event brings, for prices that look at events one by one.
fn each(aggregation: Aggregation, events: &[&NaiveEvent], quantity: &BigRational) -> Vec<BigRational> {
    use Aggregation::{Count, Custom, Sum};
    if !matches!(aggregation, Count | Sum | Custom) {
        return if events.is_empty() { Vec::new() } else { vec![quantity.clone()] };
    }
    let brings = |event: &&NaiveEvent| match worth(aggregation, event) {
        Worthwhile::Number(number) => Some(number),
        Worthwhile::Nothing => Some(whole(0)),
        Worthwhile::Unusable => None,
    };
    events.iter().filter_map(brings).collect()
}

/// What an event of a dynamic charge says it costs: cents, else `v` times `v`.
fn stated(event: &NaiveEvent) -> BigRational {
    if !event.sent.precise_total.is_empty() {
        return rational(&event.sent.precise_total) / whole(100);
    }
    let v = WORTHS[event.worth].1.map_or(whole(0), rational);
    &v * &v
}

/// Each event for its share of the period's local days, its own included; rounded up to five digits in the end.
fn prorated(aggregation: Aggregation, stretch: &Stretch, events: &[&NaiveEvent]) -> BigRational {
    let date = |micros: i64| Timestamp(micros).to_chrono().with_timezone(&stretch.period.zone).date_naive();
    let last = date(stretch.to.0 - 1);
    let days = (stretch.period.end_day - stretch.period.first_day).num_days();
    let share = |event: &&NaiveEvent| match worth(aggregation, event) {
        Worthwhile::Number(number) => {
            let first = date(event.sent.timestamp.max(stretch.from.0));
            number * whole((last - first).num_days() + 1) / whole(days)
        }
        _ => whole(0),
    };
    let scale = whole(100_000);
    (events.iter().map(share).sum::<BigRational>() * &scale).ceil() / scale
}
