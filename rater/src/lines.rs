//! The fees of one charge: which filter and which group an event belongs to. Each event belongs to exactly one.
//!
//! An event is priced by the most specific filter that it matches: the one with most keys; of those, one that accepts less (a
//! filter on `cloud: [aws]` is more specific than one on `cloud: [aws, gcp]`); then the first in the plan's order. An event that
//! matches none is priced by the charge's own properties. Inside its filter it belongs to the group of its values for the
//! properties that the filter (or the charge) is grouped by; a property that is absent is a value of its own.
//!
//! The filter keys that a metric declares say what charges may filter by; they leave no event out.
//!
//! Values are compared as texts; `"*any value*"` accepts every event that has the property.

use domain::catalog::ChargeFilter;
use domain::pricing::PriceModel;
use std::collections::BTreeMap;

/// Stands for every value of a property in a filter.
pub const ANY_VALUE: &str = "*any value*";

/// One of a charge's prices: a filter's, or the charge's own.
#[derive(Clone, Debug)]
pub struct PricedLine {
    /// Place of the filter in the plan's order; absent for the charge's own prices.
    pub filter: Option<usize>,
    /// key → accepted values; empty for the charge's own prices.
    pub values: BTreeMap<String, Vec<String>>,
    /// Title on invoices, when the filter has one.
    pub display_name: Option<String>,
    /// Its prices.
    pub model: PriceModel,
    /// Properties whose values split it into one fee each.
    pub group_keys: Vec<String>,
}

/// All prices of a charge.
#[derive(Clone, Debug)]
pub struct ChargeLines {
    /// Filters in the plan's order, the charge's own prices last.
    lines: Vec<PricedLine>,
    /// Places of the filters, the most specific first.
    by_specificity: Vec<usize>,
    /// Properties that decide about an event, sorted.
    keys: Vec<String>,
}

impl ChargeLines {
    /// From a charge's own prices and groups, and those of its filters in order.
    #[must_use]
    pub fn new(own: (PriceModel, Vec<String>), filters: Vec<(&ChargeFilter, PriceModel, Vec<String>)>) -> Self {
        let mut lines: Vec<PricedLine> = filters
            .into_iter()
            .enumerate()
            .map(|(place, (filter, model, group_keys))| PricedLine {
                filter: Some(place),
                values: filter.values.clone(),
                display_name: filter.invoice_display_name.clone(),
                model,
                group_keys,
            })
            .collect();
        let by_specificity = by_specificity(&lines);
        let (model, group_keys) = own;
        lines.push(PricedLine { filter: None, values: BTreeMap::new(), display_name: None, model, group_keys });
        let named = lines.iter().flat_map(|line| line.values.keys().chain(&line.group_keys));
        let mut keys: Vec<String> = named.cloned().collect();
        keys.sort();
        keys.dedup();
        Self { lines, by_specificity, keys }
    }

    /// Filters in the plan's order, the charge's own prices last.
    #[must_use]
    pub fn all(&self) -> &[PricedLine] {
        &self.lines
    }

    /// The properties that decide which line and group an event belongs to, sorted; none for a plain charge.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Whether one line takes all events and is not grouped.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.keys.is_empty() && self.lines.len() == 1
    }

    /// Whether every combination of values of [`ChargeLines::keys`] is a fee of its own.
    #[must_use]
    pub fn is_finest(&self) -> bool {
        self.lines.len() == 1 && self.lines[0].group_keys.len() == self.keys.len()
    }

    /// The line of an event whose properties are `value_of` (absent properties: `None`).
    pub fn line_of<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> usize {
        let matches = |line: &PricedLine| {
            line.values.iter().all(|(key, accepted)| value_of(key).is_some_and(|value| accepts(accepted, value)))
        };
        let own = self.lines.len() - 1;
        self.by_specificity.iter().copied().find(|place| matches(&self.lines[*place])).unwrap_or(own)
    }

    /// The group of an event in a line.
    pub fn group_of<'a>(&self, line: usize, value_of: impl Fn(&str) -> Option<&'a str>) -> Group {
        Group(self.lines[line].group_keys.iter().map(|key| (key.clone(), value_of(key).map(str::to_owned))).collect())
    }
}

/// Values of the properties a line is grouped by, in the order of the keys; empty when it is not grouped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub Vec<(String, Option<String>)>);

impl Group {
    /// As a JSON object, absent values null.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.0
            .iter()
            .map(|(key, value)| (key.clone(), serde_json::json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

fn accepts(accepted: &[String], value: &str) -> bool {
    accepted.iter().any(|candidate| candidate == value || candidate == ANY_VALUE)
}

/// Whether `one` accepts nothing that `other` does not, key by key, and less on some key.
fn is_narrower(one: &PricedLine, other: &PricedLine) -> bool {
    let covers = |wide: &[String], narrow: &[String]| {
        wide.iter().any(|value| value == ANY_VALUE) || narrow.iter().all(|value| wide.contains(value))
    };
    let within = |narrow: &PricedLine, wide: &PricedLine| {
        narrow.values.iter().all(|(key, values)| wide.values.get(key).is_some_and(|accepted| covers(accepted, values)))
    };
    one.values.keys().eq(other.values.keys()) && within(one, other) && !within(other, one)
}

/// Places ordered so that a more specific line comes before a less specific one. "Narrower" is a partial order, so each
/// line is put before the first one it is narrower than.
fn by_specificity(lines: &[PricedLine]) -> Vec<usize> {
    let mut ordered: Vec<usize> = Vec::with_capacity(lines.len());
    for (place, line) in lines.iter().enumerate() {
        let comes_before = |other: &usize| {
            let other = &lines[*other];
            line.values.len() > other.values.len() || is_narrower(line, other)
        };
        let at = ordered.iter().position(comes_before).unwrap_or(ordered.len());
        ordered.insert(at, place);
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalog::ChargeModel;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn lines(filters: &[Value], grouped_by: &[&str]) -> ChargeLines {
        let price = || PriceModel::parse(ChargeModel::Standard, &json!({"amount": "1"})).unwrap();
        let filters: Vec<ChargeFilter> = filters
            .iter()
            .map(|values| ChargeFilter {
                values: serde_json::from_value(values.clone()).unwrap(),
                properties: json!({}),
                invoice_display_name: None,
            })
            .collect();
        let keys = grouped_by.iter().map(|key| (*key).to_owned()).collect();
        ChargeLines::new((price(), keys), filters.iter().map(|filter| (filter, price(), Vec::new())).collect())
    }

    /// The filter that prices an event; absent: the charge's own prices.
    fn filter_of(lines: &ChargeLines, event: &Value) -> Option<usize> {
        lines.all()[lines.line_of(|key| event.get(key).and_then(Value::as_str))].filter
    }

    #[test]
    fn most_keys_win_then_the_narrower_values_then_the_order() {
        let filters = [
            json!({"cloud": ["aws", "gcp"]}),
            json!({"cloud": ["aws"]}),
            json!({"cloud": ["aws"]}),
            json!({"cloud": ["*any value*"], "region": ["eu"]}),
            json!({"cloud": ["gcp", "azure"]}),
        ];
        let lines = lines(&filters, &[]);
        assert_eq!(filter_of(&lines, &json!({"cloud": "aws"})), Some(1));
        assert_eq!(filter_of(&lines, &json!({"cloud": "gcp"})), Some(0));
        assert_eq!(filter_of(&lines, &json!({"cloud": "azure"})), Some(4));
        assert_eq!(filter_of(&lines, &json!({"cloud": "aws", "region": "eu"})), Some(3));
        assert_eq!(filter_of(&lines, &json!({"region": "eu"})), None);
    }

    #[test]
    fn any_value_is_wider_than_every_list() {
        let lines = lines(&[json!({"cloud": ["*any value*"]}), json!({"cloud": ["aws"]})], &[]);
        assert_eq!(filter_of(&lines, &json!({"cloud": "aws"})), Some(1));
        assert_eq!(filter_of(&lines, &json!({"cloud": "gcp"})), Some(0));
        assert_eq!(filter_of(&lines, &json!({})), None);
    }

    #[test]
    fn an_absent_value_is_a_group_of_its_own() {
        let lines = lines(&[], &["region", "country"]);
        let event = json!({"country": "fr"});
        let group = lines.group_of(lines.line_of(|_| None), |key| event.get(key).and_then(Value::as_str));
        assert_eq!(group.to_json(), json!({"region": null, "country": "fr"}));
        assert_eq!(lines.keys(), ["country", "region"]);
        assert!(lines.is_finest() && !lines.is_plain());
    }

    proptest! {
        #[test]
        fn no_filter_that_matches_is_more_specific_than_the_one_chosen(
            filters in prop::collection::vec(prop::collection::btree_map("[ab]", prop::collection::vec("[xyz]|\\*any value\\*", 1..3), 1..3), 0..6),
            event in prop::collection::btree_map("[ab]", "[xyz]", 0..3),
        ) {
            let given: Vec<Value> = filters.iter().map(|values| json!(values)).collect();
            let lines = lines(&given, &[]);
            let event = json!(event);
            let value_of = |key: &str| event.get(key).and_then(Value::as_str);
            let chosen = filter_of(&lines, &event);
            let matching: Vec<usize> = (0..filters.len())
                .filter(|place| filters[*place].iter().all(|(key, values)| value_of(key).is_some_and(|value| values.iter().any(|v| v == value || v == ANY_VALUE))))
                .collect();
            prop_assert_eq!(chosen.is_some(), !matching.is_empty());
            if let Some(chosen) = chosen {
                prop_assert!(matching.contains(&chosen));
                for other in matching {
                    prop_assert!(filters[other].len() <= filters[chosen].len());
                    prop_assert!(!is_narrower(&lines.all()[other], &lines.all()[chosen]));
                }
            }
        }
    }
}
