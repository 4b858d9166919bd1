//! Checks that a type cannot express, collected so that an answer names every fault at once, and serde faults in the
//! contract's words.

use crate::error::{ApiError, FieldError, Loc};
use domain::time::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};
use std::borrow::Cow;

/// Faults found so far.
#[derive(Debug, Default)]
pub struct Checks {
    faults: Vec<FieldError>,
}

impl Checks {
    /// No fault yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a fault of the body at `path`.
    pub fn fault(
        &mut self,
        kind: &'static str,
        path: impl IntoIterator<Item = Loc>,
        msg: impl Into<String>,
        input: &Value,
    ) {
        self.faults.push(FieldError::in_body(kind, path, msg, input));
    }

    /// Notes a rule that the body's field `name` breaks.
    pub fn broken(&mut self, name: &'static str, msg: impl Into<String>, input: impl Into<Value>) {
        self.fault("value_error", [Loc::from(name)], msg, &input.into());
    }

    /// The text of field `name` must have `least` to `most` characters.
    pub fn length(&mut self, name: &'static str, text: &str, least: usize, most: usize) {
        self.length_at([Loc::from(name)], text, least, most);
    }

    /// [`Checks::length`] for a nested field.
    pub fn length_at(&mut self, path: impl IntoIterator<Item = Loc>, text: &str, least: usize, most: usize) {
        let count = text.chars().count();
        let plural = |limit: usize| if limit == 1 { "character" } else { "characters" };
        if count < least {
            let msg = format!("String should have at least {least} {}", plural(least));
            self.fault("string_too_short", path, msg, &Value::from(text));
        } else if count > most {
            let msg = format!("String should have at most {most} {}", plural(most));
            self.fault("string_too_long", path, msg, &Value::from(text));
        }
    }

    /// The number of field `name` must be at least `least`.
    pub fn at_least(&mut self, name: &'static str, value: i64, least: i64) {
        if value < least {
            let msg = format!("Input should be greater than or equal to {least}");
            self.fault("greater_than_equal", [Loc::from(name)], msg, &Value::from(value));
        }
    }

    /// The number of field `name` must be at most `most`.
    pub fn at_most(&mut self, name: &'static str, value: i64, most: i64) {
        if value > most {
            let msg = format!("Input should be less than or equal to {most}");
            self.fault("less_than_equal", [Loc::from(name)], msg, &Value::from(value));
        }
    }

    /// The instant of field `name` must lie between 1970 and 2200: outside lies an uninitialised clock or a slip.
    pub fn instant(&mut self, name: &'static str, value: Timestamp) {
        if value < Timestamp::EARLIEST || value >= Timestamp::LATEST {
            self.broken(name, "should lie between 1970-01-01 and 2200-01-01", value.to_string());
        }
    }

    /// Takes over faults found elsewhere.
    pub fn extend(&mut self, faults: impl IntoIterator<Item = FieldError>) {
        self.faults.extend(faults);
    }

    /// Whether there is no fault so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The verdict.
    ///
    /// # Errors
    /// 422 with every fault noted.
    pub fn finish(self) -> Result<(), ApiError> {
        if self.faults.is_empty() { Ok(()) } else { Err(ApiError::validation(self.faults)) }
    }
}

/// For `Option<Option<T>>` with `#[serde(default, deserialize_with = "sent")]`: absent is `None`, null is `Some(None)`.
///
/// # Errors
/// As `T`.
pub fn sent<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// A serde fault of `body` as the contract tells it.
pub(crate) fn field_error(body: &Value, path: &Path, message: &str) -> FieldError {
    let mut loc: Vec<Loc> = path.iter().filter_map(segment).collect();
    let input = at(body, &loc);
    if let Some(name) = between(message, "missing field `", "`") {
        loc.push(Loc::from(name.to_string()));
        return FieldError::in_body("missing", loc, "Field required", input);
    }
    let (kind, msg) = match input {
        // serde_json says no more than this when a number does not fit an integer type.
        Value::Number(number) if message == "invalid number" => integer_fault(number.as_str()),
        _ => in_words(message),
    };
    FieldError::in_body(kind, loc, msg, input)
}

fn integer_fault(number: &str) -> (&'static str, Cow<'static, str>) {
    if number.contains(['.', 'e', 'E']) {
        return ("int_from_float", "Input should be a valid integer".into());
    }
    if number.parse::<i64>().is_ok_and(i64::is_negative) {
        // It fits a signed type, so the field's type is unsigned.
        return ("greater_than_equal", "Input should be greater than or equal to 0".into());
    }
    ("int_parsing_size", "Input is an integer out of range".into())
}

fn segment(segment: &Segment) -> Option<Loc> {
    match segment {
        Segment::Map { key } => Some(Loc::from(key.clone())),
        Segment::Seq { index } => Some(Loc::from(*index)),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn at<'a>(body: &'a Value, loc: &[Loc]) -> &'a Value {
    let mut value = body;
    for step in loc {
        let inner = match step {
            Loc::Name(name) => value.get(name.as_ref()),
            Loc::Index(index) => value.get(index),
        };
        match inner {
            Some(found) => value = found,
            None => return &Value::Null,
        }
    }
    value
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.split_once(after).map(|(inner, _)| inner)
}

/// serde's wording → (type, msg) in the wording that clients of the contract know.
fn in_words(message: &str) -> (&'static str, Cow<'_, str>) {
    if let Some(choices) = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected ")) {
        let names: Vec<String> = choices.1.split('`').skip(1).step_by(2).map(|name| format!("'{name}'")).collect();
        return ("enum", format!("Input should be {}", alternatives(&names)).into());
    }
    if message.starts_with("UUID parsing failed") || message.contains("expected a formatted UUID string") {
        return ("uuid_parsing", "Input should be a valid UUID".into());
    }
    if !message.starts_with("invalid type") && !message.starts_with("invalid value") {
        return ("value_error", message.into());
    }
    let expected = message.rsplit_once("expected ").map_or("", |(_, expected)| expected);
    match expected {
        "a string" | "a borrowed string" | "string or map" => ("string_type", "Input should be a valid string".into()),
        "a boolean" => ("bool_type", "Input should be a valid boolean".into()),
        "a sequence" => ("list_type", "Input should be a valid list".into()),
        "a map" => ("dict_type", "Input should be a valid dictionary".into()),
        number if is_integer_type(number) => ("int_type", "Input should be a valid integer".into()),
        other if other.starts_with("struct ") => ("dict_type", "Input should be a valid dictionary".into()),
        _ => ("value_error", message.into()),
    }
}

fn is_integer_type(name: &str) -> bool {
    matches!(name, "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize")
}

fn alternatives(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        Red,
        Green,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Inner {
        count: u32,
        colour: Colour,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        id: Option<uuid::Uuid>,
        items: Vec<Inner>,
        #[serde(default, deserialize_with = "sent")]
        note: Option<Option<String>>,
    }

    fn fault_of(body: Value) -> (String, Value, String) {
        let fault = serde_path_to_error::deserialize::<_, Outer>(body.clone()).unwrap_err();
        let error = field_error(&body, fault.path(), &fault.inner().to_string());
        (error.kind.to_string(), json!(error.loc), error.msg)
    }

    #[test]
    fn serde_faults_are_told_in_the_words_of_the_contract() {
        let cases = [
            (json!({"items": []}), "missing", json!(["body", "name"]), "Field required"),
            (json!({"name": 5, "items": []}), "string_type", json!(["body", "name"]), "Input should be a valid string"),
            (
                json!({"name": "n", "id": "x", "items": []}),
                "uuid_parsing",
                json!(["body", "id"]),
                "Input should be a valid UUID",
            ),
            (json!({"name": "n", "items": {}}), "list_type", json!(["body", "items"]), "Input should be a valid list"),
            (
                json!({"name": "n", "items": [{"count": -1, "colour": "red"}]}),
                "greater_than_equal",
                json!(["body", "items", 0, "count"]),
                "Input should be greater than or equal to 0",
            ),
            (
                json!({"name": "n", "items": [{"count": 1.5, "colour": "red"}]}),
                "int_from_float",
                json!(["body", "items", 0, "count"]),
                "Input should be a valid integer",
            ),
            (
                json!({"name": "n", "items": [{"count": 4294967296_u64, "colour": "red"}]}),
                "int_parsing_size",
                json!(["body", "items", 0, "count"]),
                "Input is an integer out of range",
            ),
            (
                json!({"name": "n", "items": [{"count": "1", "colour": "red"}]}),
                "int_type",
                json!(["body", "items", 0, "count"]),
                "Input should be a valid integer",
            ),
            (
                json!({"name": "n", "items": [{"count": 1, "colour": "blue"}]}),
                "enum",
                json!(["body", "items", 0, "colour"]),
                "Input should be 'red' or 'green'",
            ),
        ];
        for (body, kind, loc, msg) in cases {
            assert_eq!(fault_of(body.clone()), (kind.to_string(), loc, msg.to_string()), "{body}");
        }
    }

    #[test]
    fn absent_and_null_are_told_apart() {
        let absent: Outer = serde_json::from_value(json!({"name": "n", "items": []})).unwrap();
        let null: Outer = serde_json::from_value(json!({"name": "n", "items": [], "note": null})).unwrap();
        assert_eq!((absent.note, null.note), (None, Some(None)));
    }

    #[test]
    fn all_faults_are_told_at_once_and_lengths_count_characters() {
        let mut checks = Checks::new();
        checks.length("name", &"é".repeat(255), 1, 255);
        assert!(checks.is_clean());
        checks.length("name", "", 1, 255);
        checks.at_least("limit", 0, 1);
        checks.instant("started_at", Timestamp(-1));
        assert_eq!(checks.finish().unwrap_err().faults().len(), 3);
    }
}
