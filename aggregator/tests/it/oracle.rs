//! A slow and obvious model: what usage must come to, by the rules' text, sharing no code with the store.

use crate::support::Sent;
use aggregator::usage::{Measure, UsageQuery, UsageRow};
use bigdecimal::BigDecimal;
use domain::identity::{EventId, content_hash, fingerprint_term};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// `-?digits[.digits][e[+-]digits]` with at most 38 digits either side of the point.
fn decimal(text: &str) -> Option<BigDecimal> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (number, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(number, rest)| (number, Some(rest)));
    let number_is_plain = match number.split_once('.') {
        Some((integer, fraction)) => plain(integer) && plain(fraction),
        None => plain(number),
    };
    let exponent_is_plain = exponent.is_none_or(|rest| plain(rest.strip_prefix(['+', '-']).unwrap_or(rest)));
    if !number_is_plain || !exponent_is_plain || exponent.is_some_and(|rest| rest.len() > 4) {
        return None;
    }
    let value: BigDecimal = text.parse().ok()?;
    let limit: BigDecimal = "1e38".parse().unwrap();
    (value.abs() < limit && value.normalized().fractional_digit_count() <= 38).then_some(value)
}

enum Seen<T> {
    Missing,
    Unusable,
    Usable(T),
}

fn number(property: Option<&Value>) -> Seen<BigDecimal> {
    let text = match property {
        None => return Seen::Missing,
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        Some(_) => return Seen::Unusable,
    };
    decimal(&text).map_or(Seen::Unusable, Seen::Usable)
}

fn text(property: Option<&Value>) -> Seen<String> {
    match property {
        None | Some(Value::Null) => Seen::Missing,
        Some(Value::Bool(truth)) => Seen::Usable(truth.to_string()),
        Some(Value::String(text)) => Seen::Usable(text.clone()),
        Some(Value::Number(number)) => {
            let plain = decimal(&number.to_string()).map(|value| value.normalized().to_plain_string());
            Seen::Usable(plain.unwrap_or_else(|| number.to_string()))
        }
        Some(_) => Seen::Unusable,
    }
}

fn dimension(property: Option<&Value>) -> Value {
    match (property, text(property)) {
        (_, Seen::Usable(text)) => Value::String(text),
        (_, Seen::Missing) => Value::Null,
        (property, Seen::Unusable) => Value::String(property.unwrap().to_string()),
    }
}

/// An event, its properties, and the property its scope aggregates.
type Member<'a> = (&'a Sent, Value, Option<String>);

/// Rows of `query` over exactly these events, by (slot, dimensions).
pub fn usage(organization: OrganizationId, events: &[Sent], query: &UsageQuery) -> BTreeMap<(u32, String), UsageRow> {
    let mut groups: BTreeMap<(u32, String), Vec<Member<'_>>> = BTreeMap::new();
    for event in events {
        let series = event.series(organization);
        let holds = |window: &&aggregator::usage::UsageWindow| {
            window.series == series && window.from.0 <= event.timestamp && event.timestamp < window.to.0
        };
        for window in query.windows.iter().filter(holds) {
            let scope = &query.scopes[window.scope as usize];
            let properties: Value = serde_json::from_str(&event.properties).unwrap();
            let dimensions: Vec<Value> = scope.dimensions.iter().map(|key| dimension(properties.get(key))).collect();
            let grouped = query.by_dimensions && !dimensions.is_empty();
            let key = if grouped { Value::Array(dimensions).to_string() } else { String::new() };
            groups.entry((window.slot, key)).or_default().push((event, properties, scope.field_name.clone()));
        }
    }
    groups.into_iter().map(|(key, members)| (key.clone(), row(organization, key, &members, query.measure))).collect()
}

fn row(
    organization: OrganizationId,
    (slot, dimensions): (u32, String),
    members: &[Member<'_>],
    measure: Measure,
) -> UsageRow {
    let (mut fingerprint, mut invalid_count, mut numbers, mut texts, mut with_text) =
        (0_u128, 0, Vec::new(), BTreeSet::new(), 0);
    for (event, properties, field) in members {
        let id = EventId::derive(organization, &event.transaction_id);
        let term = fingerprint_term(id, content_hash(&event.content()), Timestamp(event.timestamp));
        fingerprint = fingerprint.wrapping_add(term);
        let property = field.as_ref().and_then(|field| properties.get(field));
        match measure {
            Measure::Count => {}
            Measure::Sum | Measure::Max | Measure::Min | Measure::Latest | Measure::WeightedSum => {
                match number(property) {
                    Seen::Missing => {}
                    Seen::Unusable => invalid_count += 1,
                    Seen::Usable(value) => numbers.push((event.timestamp, id, value)),
                }
            }
            Measure::UniqueCount => match text(property) {
                Seen::Missing => {}
                Seen::Unusable => invalid_count += 1,
                Seen::Usable(value) => {
                    with_text += 1;
                    texts.insert(value);
                }
            },
        }
    }
    let events_count = members.len() as u64;
    let values = || numbers.iter().map(|(_, _, value)| value);
    let newest = numbers.iter().max_by_key(|(at, id, _)| (*at, *id)).filter(|_| measure == Measure::Latest);
    let moment: BigDecimal = match measure {
        Measure::WeightedSum => numbers.iter().map(|(at, _, value)| value * BigDecimal::from(*at)).sum(),
        _ => BigDecimal::from(0),
    };
    let (quantity, valued_count) = match measure {
        Measure::Count => (BigDecimal::from(events_count), events_count),
        Measure::Sum | Measure::WeightedSum => (values().sum(), numbers.len() as u64),
        Measure::Max => (values().max().cloned().unwrap_or_default(), numbers.len() as u64),
        Measure::Min => (values().min().cloned().unwrap_or_default(), numbers.len() as u64),
        Measure::Latest => (newest.map(|(_, _, value)| value.clone()).unwrap_or_default(), numbers.len() as u64),
        Measure::UniqueCount => (BigDecimal::from(texts.len() as u64), with_text),
    };
    UsageRow {
        slot,
        dimensions,
        events_count,
        fingerprint,
        quantity: quantity.normalized(),
        moment: moment.normalized(),
        newest: newest.map(|(at, id, _)| (Timestamp(*at), *id)),
        invalid_count,
        valued_count,
    }
}
