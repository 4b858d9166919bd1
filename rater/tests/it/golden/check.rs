//! Comparing what is expected with what came out, key by key; a key that nobody compared is a difference too.

use domain::catalog::RoundingFunction;
use domain::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeSet;

/// The expectations of one case.
pub struct Check {
    id: String,
    expected: Value,
    compared: BTreeSet<String>,
    differences: Vec<String>,
    assertions: usize,
}

/// Keys that say how to compare, not what.
const MANNERS: [&str; 6] = [
    "unit_amount_rounded_to",
    "amount_rounded_to",
    "amount_rounding",
    "aggregation_rounded_to",
    "per_event_rounded_to",
    "tolerance",
];

impl Check {
    pub fn new(case: &Value) -> Self {
        Self {
            id: case["id"].as_str().unwrap_or("a case without an id").to_owned(),
            expected: case["expected"].clone(),
            compared: BTreeSet::new(),
            differences: Vec::new(),
            assertions: 0,
        }
    }

    pub fn expected(&self) -> Value {
        self.expected.clone()
    }

    /// Whether the case states `key`.
    pub fn wants(&self, key: &str) -> bool {
        self.expected.get(key).is_some()
    }

    pub fn assertions(&self) -> usize {
        self.assertions
    }

    /// Notes that all of `key` was compared.
    pub fn covered(&mut self, key: &str) {
        self.compared.insert(key.to_owned());
    }

    /// Compares a number stated under `path` as given.
    pub fn number(&mut self, path: &str, want: &Value, got: &Quantity) {
        let wanted = number(want);
        self.compare(path, wanted == Some(got.clone()), want, got);
    }

    /// Compares a number with the digits that the case rounds it to.
    pub fn rounded(&mut self, path: &str, want: &Value, got: &Quantity, digits: Option<&Value>) {
        let digits = digits.and_then(Value::as_i64).map(|digits| i32::try_from(digits).unwrap());
        let shown = digits.map_or(got.clone(), |digits| got.rounded(RoundingFunction::Round, digits));
        self.number(path, want, &shown);
    }

    /// Compares a number that may be off by a little.
    pub fn near(&mut self, path: &str, want: &Value, got: &Quantity, tolerance: &Value) {
        let off = |wanted: Quantity| {
            let difference = &wanted - got;
            if difference.is_negative() { -&difference } else { difference }
        };
        let fits = number(want).zip(number(tolerance)).is_some_and(|(wanted, tolerance)| off(wanted) <= tolerance);
        self.compare(path, fits, want, got);
    }

    /// Compares one of the top-level numbers of a case, when it states it.
    pub fn top(&mut self, key: &str, got: &Quantity) {
        let want = self.expected[key].clone();
        if want.is_null() {
            return;
        }
        let digits = self.expected.get(format!("{key}_rounded_to")).cloned();
        self.covered(key);
        match self.expected.get("tolerance").cloned() {
            Some(tolerance) => self.near(key, &want, got, &tolerance),
            None => self.rounded(key, &want, got, digits.as_ref()),
        }
    }

    /// A difference for each key of `value` that is not among `known`: what a case says and nobody heeds.
    pub fn only_keys(&mut self, path: &str, value: &Value, known: &[&str]) {
        for key in value.as_object().into_iter().flat_map(|fields| fields.keys()) {
            if !known.contains(&key.as_str()) {
                self.differ(&format!("{path}{key}"), "a key that is known", key);
            }
        }
    }

    pub fn same(&mut self, path: &str, want: &Value, got: &Value) {
        self.compare(path, want == got, want, got);
    }

    pub fn differ(&mut self, path: &str, want: impl std::fmt::Display, got: impl std::fmt::Display) {
        self.assertions += 1;
        self.differences.push(format!("{}: {path}: want {want}, got {got}", self.id));
    }

    fn compare(&mut self, path: &str, equal: bool, want: &Value, got: &dyn std::fmt::Display) {
        self.assertions += 1;
        if !equal {
            self.differences.push(format!("{}: {path}: want {want}, got {got}", self.id));
        }
    }

    /// All differences; keys that were not compared are among them.
    pub fn finish(mut self) -> Vec<String> {
        if self.assertions == 0 {
            self.differences.push(format!("{}: nothing was compared", self.id));
        }
        for key in self.expected.as_object().into_iter().flat_map(|expected| expected.keys()) {
            if !self.compared.contains(key) && !MANNERS.contains(&key.as_str()) {
                self.differences.push(format!("{}: nothing knows how to check '{key}'", self.id));
            }
        }
        self.differences
    }
}

pub fn number(value: &Value) -> Option<Quantity> {
    Quantity::from_json(value).ok()
}

/// A number that a case's input must have.
pub fn given(value: &Value) -> Quantity {
    number(value).unwrap_or_else(|| panic!("{value} is no number"))
}
