//! From single events to a quantity: the rules of every aggregation, in plain loops over the events of one fee.
//!
//! The store computes count, sum, max and unique_count of any number of fees in one query; this is the same for one fee, event
//! by event, and for the aggregations that the store does not compute. Proofs count with it.
//!
//! | aggregation | result | missing value | no events |
//! |---|---|---|---|
//! | count | number of events | – | 0 |
//! | sum | Σ value | 0 | 0 |
//! | max, min | greatest, least value | left out | 0 |
//! | average | Σ value / events that have one, to [`QUOTIENT_DIGITS`] | left out | 0 |
//! | latest | value of the newest event that has one, never below 0 | left out | 0 |
//! | unique_count | values whose newest operation is not `remove` | left out | 0 |
//! | custom | Σ of the metric's expression | left out, as unusable | 0 |
//! | weighted_sum | Σ value × (end − time) / length of the period, to [`QUOTIENT_DIGITS`] | 0 | 0 |
//!
//! Of a **recurring** metric the events before what is rated are given too, and count as if they were in it: its quantity
//! goes on from period to period. (A weighted sum counts them from the start of what is rated.) Charges may be **prorated** by
//! days: [`prorated`].
//!
//! Events at one instant are ordered by id, so that every replay gives the same answer. A value that is there but unusable
//! (text, null, too long) is left out like a missing one, and counted (I9): one bad event never blocks a period.

mod prorated;

pub use prorated::{Prorated, prorated};

use aggregator::extract::{RawValue, field, number_of, text_of};
use domain::catalog::{Aggregation, Metric};
use domain::expression::{Expression, ExpressionError};
use domain::identity::EventId;
use domain::period::{Period, Proration};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Digits after the decimal point of a quantity that is a quotient.
pub const QUOTIENT_DIGITS: u32 = 20;
/// The property that says whether an event of a unique_count adds or removes its value.
pub const OPERATION_TYPE: &str = "operation_type";

/// What one event brings to its metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(Quantity),
    /// A text that counts as one value.
    Added(String),
    /// A text that no longer counts.
    Removed(String),
    /// The property is not there, or the metric needs none.
    Missing,
    /// The property is there and cannot be used.
    Unusable,
}

/// One event as aggregations see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricEvent {
    /// When the usage happened.
    pub timestamp: Timestamp,
    /// Breaks ties of the timestamp.
    pub id: EventId,
    /// What it brings.
    pub value: Value,
}

/// A version of a metric with its expression read.
#[derive(Clone, Debug)]
pub struct MetricRules {
    /// The version.
    pub metric: Arc<Metric>,
    expression: Option<Expression>,
}

impl MetricRules {
    /// Reads the expression of a custom metric.
    ///
    /// # Errors
    /// When it has none, or one that cannot be read; the catalog refuses both.
    pub fn new(metric: Arc<Metric>) -> Result<Self, ExpressionError> {
        let expression = match metric.aggregation {
            Aggregation::Custom => Some(Expression::parse(metric.expression.as_deref().unwrap_or_default())?),
            _ => None,
        };
        Ok(Self { metric, expression })
    }

    /// What an event brings to the metric, from its raw properties.
    #[must_use]
    pub fn value_of(&self, properties: &str) -> Value {
        match &self.expression {
            Some(expression) => {
                let number = |name: &str| exact_number(field(properties, name));
                expression.evaluate(&number).map_or(Value::Unusable, Value::Number)
            }
            None => property_value(&self.metric, properties),
        }
    }
}

fn exact_number(raw: Option<RawValue<'_>>) -> Option<Quantity> {
    number_of(raw)?.to_big().map(Quantity::from)
}

fn property_value(metric: &Metric, properties: &str) -> Value {
    let raw = metric.field_name.as_deref().and_then(|name| field(properties, name));
    match metric.aggregation {
        Aggregation::Count | Aggregation::Custom => Value::Missing,
        Aggregation::UniqueCount => match text_of(raw) {
            Ok(Some(text)) if removes(properties) => Value::Removed(text.into_owned()),
            Ok(Some(text)) => Value::Added(text.into_owned()),
            Ok(None) => Value::Missing,
            Err(()) => Value::Unusable,
        },
        Aggregation::Sum
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::Average
        | Aggregation::Latest
        | Aggregation::WeightedSum => match raw {
            None => Value::Missing,
            present => exact_number(present).map_or(Value::Unusable, Value::Number),
        },
    }
}

fn removes(properties: &str) -> bool {
    matches!(field(properties, OPERATION_TYPE), Some(RawValue::String("remove")))
}

/// What is rated, and of which period: weighted sums and proration divide by the whole period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First instant that is rated.
    pub from: Timestamp,
    /// First instant after what is rated.
    pub to: Timestamp,
    /// The period it lies in.
    pub period: Period,
}

impl Span {
    /// Microseconds of the whole period.
    fn period_micros(&self) -> Quantity {
        Quantity::from(self.period.end.0 - self.period.start.0)
    }

    /// The level whose area under the whole period is `area`, in units × microseconds.
    #[must_use]
    pub fn level(&self, area: &Quantity) -> Quantity {
        area.divided(&self.period_micros(), QUOTIENT_DIGITS).unwrap_or_default()
    }

    /// Local days from that of `instant` to the end of what is rated, of those of the period; for an instant before what is
    /// rated, all days of it.
    fn days_from(&self, instant: Timestamp) -> Proration {
        self.period.proration(instant.max(self.from), self.to)
    }
}

/// Puts events in the order in which they count.
pub fn sort(events: &mut [MetricEvent]) {
    events.sort_unstable_by_key(|event| (event.timestamp, event.id));
}

/// The quantity of `events`, which are in order, before the metric's rounding.
#[must_use]
pub fn aggregate(aggregation: Aggregation, events: &[MetricEvent], span: Span) -> Quantity {
    let numbers = || {
        events.iter().filter_map(|event| match &event.value {
            Value::Number(number) => Some((event.timestamp, number)),
            _ => None,
        })
    };
    let only_numbers = || numbers().map(|(_, number)| number);
    match aggregation {
        Aggregation::Count => count(events.len()),
        Aggregation::Sum | Aggregation::Custom => only_numbers().sum(),
        Aggregation::Max => only_numbers().max().cloned().unwrap_or_default(),
        Aggregation::Min => only_numbers().min().cloned().unwrap_or_default(),
        Aggregation::Average => average(&only_numbers().sum(), only_numbers().count()),
        Aggregation::Latest => newest(events).map(Quantity::or_zero).unwrap_or_default(),
        Aggregation::UniqueCount => unique_count(events),
        Aggregation::WeightedSum => {
            let micros =
                |(at, number): (Timestamp, &Quantity)| number * &Quantity::from(span.to.0 - at.max(span.from).0);
            let area = numbers().map(micros).fold(Quantity::ZERO, |total, part| &total + &part);
            span.level(&area)
        }
    }
}

/// The value of the newest of `events`, which are in order, that has one: as it was sent, also below 0.
#[must_use]
pub fn newest(events: &[MetricEvent]) -> Option<&Quantity> {
    events.iter().rev().find_map(|event| match &event.value {
        Value::Number(number) => Some(number),
        _ => None,
    })
}

/// The mean of `number` values that add up to `total`; 0 of none.
#[must_use]
pub fn average(total: &Quantity, number: usize) -> Quantity {
    total.divided(&count(number), QUOTIENT_DIGITS).unwrap_or_default()
}

fn count(number: usize) -> Quantity {
    // usize is at most 64 bits on every target Rust has.
    Quantity::from(u64::try_from(number).unwrap_or(u64::MAX))
}

fn unique_count(events: &[MetricEvent]) -> Quantity {
    let mut present: BTreeMap<&str, bool> = BTreeMap::new();
    for event in events {
        match &event.value {
            Value::Added(text) => present.insert(text, true),
            Value::Removed(text) => present.insert(text, false),
            _ => None,
        };
    }
    count(present.values().filter(|present| **present).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ids::MetricId;

    fn metric(aggregation: Aggregation) -> MetricRules {
        let metric = Metric {
            id: MetricId::random(),
            version: 1,
            valid_from: Timestamp(0),
            code: "m".into(),
            name: "m".into(),
            aggregation,
            field_name: Some("v".into()),
            expression: Some("v * 2 + w".into()),
            recurring: false,
            rounding: None,
            filters: Vec::new(),
        };
        MetricRules::new(Arc::new(metric)).unwrap()
    }

    /// Events `(second, properties)`; ids grow with their place.
    fn quantity(aggregation: Aggregation, given: &[(i64, &str)]) -> String {
        let metric = metric(aggregation);
        let mut events: Vec<_> = (1_u128..)
            .zip(given)
            .map(|(id, (second, properties))| MetricEvent {
                timestamp: Timestamp(second * 1_000_000),
                id: EventId(id),
                value: metric.value_of(properties),
            })
            .collect();
        events.reverse();
        let midnight = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let period = Period {
            start: Timestamp(0),
            end: Timestamp(10_000_000),
            first_day: midnight,
            end_day: midnight.succ_opt().unwrap(),
            zone: chrono_tz::UTC,
        };
        let span = Span { from: Timestamp(0), to: Timestamp(10_000_000), period };
        sort(&mut events);
        aggregate(aggregation, &events, span).to_string()
    }

    const MIXED: [(i64, &str); 6] = [
        (0, r#"{"v":"-5"}"#),
        (2, r#"{"v":1.5}"#),
        (2, r#"{"v":"-1"}"#),
        (3, r#"{"v":"x"}"#),
        (4, r#"{"v":null}"#),
        (5, r#"{"w":7}"#),
    ];

    #[test]
    fn unusable_and_missing_values_are_left_out_and_events_still_counted() {
        assert_eq!(quantity(Aggregation::Count, &MIXED), "6");
        assert_eq!(quantity(Aggregation::Sum, &MIXED), "-4.5");
        assert_eq!(quantity(Aggregation::Max, &MIXED), "1.5");
        assert_eq!(quantity(Aggregation::Min, &MIXED), "-5");
        assert_eq!(quantity(Aggregation::Average, &MIXED), "-1.5");
        // -5 × 10/10 + 1.5 × 8/10 − 1 × 8/10
        assert_eq!(quantity(Aggregation::WeightedSum, &MIXED), "-4.6");
    }

    #[test]
    fn the_latest_of_one_instant_is_the_one_with_the_greatest_id_and_never_negative() {
        assert_eq!(quantity(Aggregation::Latest, &[(2, r#"{"v":3}"#), (2, r#"{"v":4}"#), (1, r#"{"v":9}"#)]), "4");
        assert_eq!(quantity(Aggregation::Latest, &MIXED), "0");
    }

    #[test]
    fn a_custom_metric_adds_up_its_expression_and_leaves_out_events_it_does_not_fit() {
        let given = [(1, r#"{"v":1,"w":"0.5"}"#), (2, r#"{"v":2,"w":1}"#), (3, r#"{"v":2}"#)];
        assert_eq!(quantity(Aggregation::Custom, &given), "7.5");
    }

    #[test]
    fn all_aggregations_of_nothing_are_zero() {
        use Aggregation::{Average, Count, Latest, Max, Min, Sum, UniqueCount, WeightedSum};
        for aggregation in [Average, Count, Latest, Max, Min, Sum, UniqueCount, WeightedSum] {
            assert_eq!(quantity(aggregation, &[]), "0", "{aggregation:?}");
        }
    }

    #[test]
    fn numbers_and_their_texts_are_one_value_and_a_removed_value_no_longer_counts() {
        let given = [
            (1, r#"{"v":1}"#),
            (2, r#"{"v":"1"}"#),
            (3, r#"{"v":1.0}"#),
            (4, r#"{"v":"a"}"#),
            (5, r#"{"v":"a","operation_type":"remove"}"#),
            (6, r#"{"v":true}"#),
            (7, r#"{"v":[1]}"#),
        ];
        assert_eq!(quantity(Aggregation::UniqueCount, &given), "2");
        let again = [(5, r#"{"v":"a","operation_type":"remove"}"#), (6, r#"{"v":"a"}"#)];
        assert_eq!(quantity(Aggregation::UniqueCount, &again), "1");
    }
}
