//! What is extracted for one metric, and under which name the store remembers what it extracted.

use super::number::Number;
use super::scan::{RawValue, each_field};
use super::{dimension_of, number_of, text_of};
use domain::catalog::Aggregation;
use domain::snapshot::MetricEntry;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// What a value was found to be; stored beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ValueState {
    /// The metric needs no value.
    NotNeeded = 0,
    /// `value` or `text` holds it.
    Usable = 1,
    /// A number that `value` cannot hold: the raw properties do.
    OutOfScale = 2,
    /// The property is not there.
    Missing = 3,
    /// The property is there and cannot be used.
    Unusable = 4,
}

/// Which form of the property a metric aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Nothing: a count, or an expression over raw properties.
    None,
    /// An exact decimal.
    Number,
    /// A canonical text.
    Text,
}

impl Form {
    /// The form that `aggregation` needs.
    #[must_use]
    pub fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Count | Aggregation::Custom => Form::None,
            Aggregation::UniqueCount => Form::Text,
            Aggregation::Sum
            | Aggregation::Max
            | Aggregation::Min
            | Aggregation::Average
            | Aggregation::Latest
            | Aggregation::WeightedSum => Form::Number,
        }
    }
}

/// What to take out of each event of one metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtractionPlan {
    form: Form,
    field: String,
    dimensions: Vec<String>,
    value_of: u64,
    dimensions_of: u64,
}

/// What one event yielded; ready for its columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted<'a> {
    /// Times 10⁻¹⁸; 0 unless `state` is usable and the form a number.
    pub value: i128,
    /// What the value was found to be.
    pub state: ValueState,
    /// Empty unless `state` is usable and the form a text.
    pub text: Cow<'a, str>,
}

impl ExtractionPlan {
    /// For an event whose code no metric has: its values are read from the raw properties once one has.
    #[must_use]
    pub fn nothing() -> Self {
        Self::new(Form::None, None, &[])
    }

    /// For the current version of a metric.
    #[must_use]
    pub fn for_metric(metric: &MetricEntry) -> Self {
        Self::new(Form::of(metric.aggregation), metric.field_name.as_deref(), &metric.dimensions)
    }

    /// `field` in `form`, and the values of `dimensions` in their order.
    #[must_use]
    pub fn new(form: Form, field: Option<&str>, dimensions: &[String]) -> Self {
        let form = if field.is_none() { Form::None } else { form };
        let field = field.unwrap_or_default();
        Self {
            form,
            field: field.to_owned(),
            dimensions: dimensions.to_vec(),
            value_of: value_hash(form, field),
            dimensions_of: dimension_keys_hash(dimensions),
        }
    }

    /// Names what `value` and `text` were taken from: equal names, equal rule. 0 when nothing is taken.
    ///
    /// The store keeps this and not the metric's version: a new version that changes only the metric's name leaves
    /// every stored value usable.
    #[must_use]
    pub fn value_of(&self) -> u64 {
        self.value_of
    }

    /// Names the list of dimension keys; 0 when it is empty.
    #[must_use]
    pub fn dimensions_of(&self) -> u64 {
        self.dimensions_of
    }

    /// The dimension keys, in the order of their values.
    #[must_use]
    pub fn dimensions(&self) -> &[String] {
        &self.dimensions
    }

    /// Takes the value out of `properties` and appends the JSON array of dimension values to `dimensions` (nothing without keys).
    pub fn extract<'a>(&self, properties: &'a str, dimensions: &mut String) -> Extracted<'a> {
        if self.form == Form::None && self.dimensions.is_empty() {
            return Extracted { value: 0, state: ValueState::NotNeeded, text: Cow::Borrowed("") };
        }
        let mut field = None;
        let mut found: Vec<Option<RawValue<'a>>> = vec![None; self.dimensions.len()];
        each_field(properties, |key, value| {
            if self.form != Form::None && field.is_none() && key == self.field {
                field = Some(value);
            }
            for (place, _) in found.iter_mut().zip(&self.dimensions).filter(|(_, wanted)| **wanted == key) {
                place.get_or_insert(value);
            }
        });
        write_dimensions(found.into_iter(), dimensions);
        self.value(field)
    }

    fn value<'a>(&self, field: Option<RawValue<'a>>) -> Extracted<'a> {
        let nothing = |state| Extracted { value: 0, state, text: Cow::Borrowed("") };
        match self.form {
            Form::None => nothing(ValueState::NotNeeded),
            Form::Number => match number_of(field) {
                None => nothing(ValueState::Missing),
                Some(Number::Scaled(value)) => Extracted { value, ..nothing(ValueState::Usable) },
                Some(Number::OutOfScale(_)) => nothing(ValueState::OutOfScale),
                Some(Number::Unusable) => nothing(ValueState::Unusable),
            },
            Form::Text => match text_of(field) {
                Ok(None) => nothing(ValueState::Missing),
                Ok(Some(text)) => Extracted { text, ..nothing(ValueState::Usable) },
                Err(()) => nothing(ValueState::Unusable),
            },
        }
    }
}

/// XXH3-64 of the form and the property name; part of the stored format.
fn value_hash(form: Form, field: &str) -> u64 {
    match form {
        Form::None => 0,
        Form::Number => xxh3_64(format!("number {field}").as_bytes()).max(1),
        Form::Text => xxh3_64(format!("text {field}").as_bytes()).max(1),
    }
}

/// XXH3-64 of the JSON array of the keys; 0 for none. Part of the stored format.
#[must_use]
pub fn dimension_keys_hash(keys: &[String]) -> u64 {
    if keys.is_empty() {
        return 0;
    }
    let mut text = String::new();
    write_json_texts(keys.iter().map(|key| Some(Cow::Borrowed(key.as_str()))), &mut text);
    xxh3_64(text.as_bytes()).max(1)
}

/// The JSON array of the values of `keys`; empty without keys.
#[must_use]
pub fn dimensions_text(properties: &str, keys: &[String]) -> String {
    let mut text = String::new();
    ExtractionPlan::new(Form::None, None, keys).extract(properties, &mut text);
    text
}

fn write_dimensions<'a>(values: impl ExactSizeIterator<Item = Option<RawValue<'a>>>, out: &mut String) {
    if values.len() > 0 {
        write_json_texts(values.map(dimension_of), out);
    }
}

/// `["a",null,"b"]`, with JSON's shortest escapes, so that equal values have equal texts.
pub(super) fn write_json_texts<'a>(texts: impl Iterator<Item = Option<Cow<'a, str>>>, out: &mut String) {
    let mut separator = '[';
    for text in texts {
        out.push(separator);
        separator = ',';
        match text {
            None => out.push_str("null"),
            Some(text) if is_plain(&text) => {
                out.push('"');
                out.push_str(&text);
                out.push('"');
            }
            Some(text) => out.push_str(&serde_json::Value::from(text.into_owned()).to_string()),
        }
    }
    out.push(']');
}

/// Needs no escape in JSON.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn extracted(form: Form, properties: &str) -> (i128, ValueState, String) {
        let plan = ExtractionPlan::new(form, Some("v"), &[]);
        let seen = plan.extract(properties, &mut String::new());
        (seen.value, seen.state, seen.text.into_owned())
    }

    #[test]
    fn the_number_form_follows_the_table() {
        let one = 10_i128.pow(18);
        for (properties, value, state) in [
            (r#"{"v":1.5}"#, one * 3 / 2, ValueState::Usable),
            (r#"{"v":"1.5"}"#, one * 3 / 2, ValueState::Usable),
            (r#"{"v":"\u0031"}"#, one, ValueState::Usable),
            (r#"{"v":true}"#, 0, ValueState::Unusable),
            (r#"{"v":null}"#, 0, ValueState::Unusable),
            (r#"{"v":"NaN"}"#, 0, ValueState::Unusable),
            (r#"{"v":"Infinity"}"#, 0, ValueState::Unusable),
            (r#"{"v":""}"#, 0, ValueState::Unusable),
            (r#"{"v":[1]}"#, 0, ValueState::Unusable),
            (r#"{"v":1e30}"#, 0, ValueState::OutOfScale),
            (r#"{"w":1}"#, 0, ValueState::Missing),
            (r#"{"v":2,"v":3}"#, 2 * one, ValueState::Usable),
        ] {
            assert_eq!(extracted(Form::Number, properties), (value, state, String::new()), "{properties}");
        }
    }

    #[test]
    fn the_text_form_follows_the_table() {
        for (properties, text, state) in [
            (r#"{"v":1.0}"#, "1", ValueState::Usable),
            (r#"{"v":"1.0"}"#, "1.0", ValueState::Usable),
            (r#"{"v":"a\nb"}"#, "a\nb", ValueState::Usable),
            (r#"{"v":""}"#, "", ValueState::Usable),
            (r#"{"v":false}"#, "false", ValueState::Usable),
            (r#"{"v":null}"#, "", ValueState::Missing),
            (r#"{}"#, "", ValueState::Missing),
            (r#"{"v":{}}"#, "", ValueState::Unusable),
        ] {
            assert_eq!(extracted(Form::Text, properties), (0, state, text.into()), "{properties}");
        }
    }

    #[test]
    fn dimensions_are_a_json_array_in_key_order() {
        let properties = r#"{"tier":5.0,"region":"e\"u","deep":{"a": 1},"no":null}"#;
        let text = dimensions_text(properties, &keys(&["region", "tier", "gone", "no", "deep"]));
        assert_eq!(text, r#"["e\"u","5",null,null,"{\"a\": 1}"]"#);
        assert_eq!(dimensions_text(properties, &[]), "");
    }

    #[test]
    fn a_plain_count_takes_nothing_and_has_the_name_zero() {
        let plan = ExtractionPlan::new(Form::Number, None, &[]);
        assert_eq!((plan.value_of(), plan.dimensions_of()), (0, 0));
        assert_eq!(plan, ExtractionPlan::nothing());
    }

    #[test]
    fn stored_names_do_not_change_between_releases() {
        let plan = ExtractionPlan::new(Form::Number, Some("tokens"), &keys(&["region", "tier"]));
        let text = ExtractionPlan::new(Form::Text, Some("tokens"), &keys(&["tier", "region"]));
        assert_eq!(
            format!(
                "{:016x} {:016x} {:016x} {:016x}",
                plan.value_of(),
                plan.dimensions_of(),
                text.value_of(),
                text.dimensions_of()
            ),
            "aecf242a62b00b20 a9e9e7d5f72047bb aedacc71ec8e0ce8 3c57514b441219e8"
        );
    }
}
