//! The slow and obvious way to rate: plain loops over events and rational numbers, with no code of the rater.

use crate::fixtures::World;
use crate::store::Sent;
use domain::catalog::{Aggregation, Charge, ChargeModel, Metric, Subscription};
use domain::identity::{EventId, content_hash, fingerprint_term};
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

/// What is rated, and how long its whole period is.
pub struct Stretch {
    pub from: Timestamp,
    pub to: Timestamp,
    pub period_micros: i64,
}

/// Half away from zero to 20 digits, as quotients are.
fn settled(value: BigRational) -> BigRational {
    let scale = BigRational::from_integer(BigInt::from(10).pow(20));
    (value * &scale).round() / scale
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
    for event in events {
        let inside = stretch.from.0 <= event.sent.timestamp && event.sent.timestamp < stretch.to.0;
        let mine = owner(world, &event.sent).is_some_and(|owner| owner.id == subscription.id);
        if !inside || !mine || event.sent.code != metric.code {
            continue;
        }
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
    by_line
        .into_iter()
        .map(|(key, (prices, members))| (key, fee(world, metric, stretch, charge.model, &prices, &members)))
        .collect()
}

fn keys(properties: &Value) -> Vec<String> {
    properties["grouped_by"].as_array().into_iter().flatten().map(|key| key.as_str().unwrap().to_owned()).collect()
}

fn line_key(filter: Option<usize>, group: &[Option<&str>]) -> String {
    let filter = filter.map(|place| place.to_string()).unwrap_or_default();
    if group.is_empty() { filter } else { format!("{filter}:{}", serde_json::json!(group)) }
}

fn fee(
    world: &World,
    metric: &Metric,
    stretch: &Stretch,
    model: ChargeModel,
    prices: &Value,
    events: &[&NaiveEvent],
) -> NaiveFee {
    let zero = BigRational::from_integer(0.into());
    let numbers: Vec<BigRational> = events.iter().filter_map(|event| WORTHS[event.worth].1.map(rational)).collect();
    let units = match metric.aggregation {
        Aggregation::Count => BigRational::from_integer(events.len().into()),
        Aggregation::Sum => numbers.iter().sum(),
        Aggregation::Max => numbers.iter().max().cloned().unwrap_or(zero.clone()),
        Aggregation::Min => numbers.iter().min().cloned().unwrap_or(zero.clone()),
        Aggregation::Average if numbers.is_empty() => zero.clone(),
        Aggregation::Average => {
            let count = BigRational::from_integer(numbers.len().into());
            settled(numbers.iter().sum::<BigRational>() / count)
        }
        Aggregation::Latest => {
            let valued = events.iter().filter(|event| WORTHS[event.worth].1.is_some());
            let id = |event: &NaiveEvent| EventId::derive(world.organization, &event.sent.transaction_id);
            let newest = valued.max_by_key(|event| (event.sent.timestamp, id(event)));
            newest.map_or(zero.clone(), |event| rational(WORTHS[event.worth].1.unwrap())).max(zero.clone())
        }
        Aggregation::WeightedSum => {
            let area = |event: &&NaiveEvent| {
                let lasted = BigRational::from_integer((stretch.to.0 - event.sent.timestamp).into());
                WORTHS[event.worth].1.map_or(zero.clone(), rational) * lasted
            };
            let whole = BigRational::from_integer(stretch.period_micros.into());
            settled(events.iter().map(area).sum::<BigRational>() / whole)
        }
        Aggregation::UniqueCount => {
            let mut ordered: Vec<_> = events.to_vec();
            ordered.sort_by_key(|event| {
                (event.sent.timestamp, EventId::derive(world.organization, &event.sent.transaction_id))
            });
            let mut present = BTreeSet::new();
            for event in ordered {
                if let Some(text) = WORTHS[event.worth].2 {
                    if event.removes {
                        present.remove(text)
                    } else {
                        present.insert(text)
                    };
                }
            }
            BigRational::from_integer(present.len().into())
        }
        other => panic!("no oracle for {other:?}"),
    };
    let unusable = |event: &&&NaiveEvent| match metric.aggregation {
        Aggregation::Count => false,
        Aggregation::UniqueCount => WORTHS[event.worth].4,
        _ => WORTHS[event.worth].3,
    };
    let amount = price(model, prices, &units);
    let hundred = BigRational::from_integer(100.into());
    let term = |event: &NaiveEvent| {
        let id = EventId::derive(world.organization, &event.sent.transaction_id);
        fingerprint_term(id, content_hash(&event.sent.content()), Timestamp(event.sent.timestamp))
    };
    NaiveFee {
        cents: (&amount * hundred).round().to_integer(),
        amount,
        units,
        events_count: events.len() as u64,
        invalid_count: events.iter().filter(unusable).count() as u64,
        fingerprint: events.iter().fold(0, |sum, event| sum.wrapping_add(term(event))),
    }
}

fn price(model: ChargeModel, prices: &Value, units: &BigRational) -> BigRational {
    let zero = BigRational::from_integer(0.into());
    let number = |value: &Value| value.as_str().map(rational).unwrap_or_else(|| rational(&value.to_string()));
    match model {
        ChargeModel::Standard => units * number(&prices["amount"]),
        ChargeModel::Package => {
            let paid = (units - number(&prices["free_units"])).max(zero);
            (paid / number(&prices["package_size"])).ceil() * number(&prices["amount"])
        }
        ChargeModel::Graduated => {
            let (mut lower, mut total) = (zero.clone(), zero.clone());
            for (place, range) in prices["graduated_ranges"].as_array().unwrap().iter().enumerate() {
                if place > 0 && *units <= lower {
                    break;
                }
                let upper = if range["to_value"].is_null() { units.clone() } else { number(&range["to_value"]) };
                let inside = units.clone().min(upper.clone()) - &lower;
                total += inside * number(&range["per_unit_amount"]) + number(&range["flat_amount"]);
                lower = upper;
            }
            total
        }
        ChargeModel::Volume => {
            let ranges = prices["volume_ranges"].as_array().unwrap();
            let reached =
                ranges.iter().find(|range| range["to_value"].is_null() || *units <= number(&range["to_value"]));
            let range = reached.unwrap();
            units * number(&range["per_unit_amount"]) + number(&range["flat_amount"])
        }
        other => panic!("no oracle for {other:?}"),
    }
}
