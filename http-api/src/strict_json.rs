//! JSON, read strictly: what two readers could understand differently is refused.
//!
//! Refused beyond RFC 8259's syntax: a repeated member name, nesting deeper than [`MAX_DEPTH`], a NUL character in a text or
//! name (PostgreSQL cannot store it), and a number that no float holds as finite (`1e999`): arithmetic on its exact form would
//! take gigabytes. Numbers keep their decimal text.

use crate::decimal::MAX_EXPONENT;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Deepest nesting of lists and objects.
pub const MAX_DEPTH: usize = 64;

/// The name under which serde_json (feature `arbitrary_precision`) hands over the text of a number.
const NUMBER_TOKEN: &str = "$serde_json::private::Number";
/// Names that serde_json gives a meaning of its own.
const PRIVATE_PREFIX: &str = "$serde_json::private::";

/// Why a text is not JSON as we read it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct JsonFault {
    /// Byte position in the text.
    pub position: usize,
    /// What is wrong, without the place.
    pub reason: String,
}

/// Reads one JSON text.
///
/// # Errors
/// At the first thing that is refused, with its place.
pub fn parse(text: &[u8]) -> Result<Value, JsonFault> {
    if let Err(fault) = std::str::from_utf8(text) {
        return Err(JsonFault { position: fault.valid_up_to(), reason: "the body is not UTF-8".into() });
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = StrictValue { depth: 0 }.deserialize(&mut reader).map_err(|fault| located(text, &fault))?;
    reader.end().map_err(|fault| located(text, &fault))?;
    Ok(value)
}

fn located(text: &[u8], fault: &serde_json::Error) -> JsonFault {
    let line_start: usize =
        text.split_inclusive(|byte| *byte == b'\n').take(fault.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let position = (line_start + fault.column().saturating_sub(1)).min(text.len());
    let whole = fault.to_string();
    // serde_json appends " at line L column C"; the place is told by `position`.
    let reason = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(reason, _)| reason);
    JsonFault { position, reason: reason.to_string() }
}

#[derive(Clone, Copy)]
struct StrictValue {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for StrictValue {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl StrictValue {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

fn checked_text<E: Error>(text: String) -> Result<String, E> {
    if text.contains('\0') {
        return Err(E::custom("a text contains a NUL character"));
    }
    Ok(text)
}

fn checked_number<E: Error>(text: &str) -> Result<Number, E> {
    let exponent = text.split_once(['e', 'E']).map(|(_, exponent)| exponent.parse::<i64>());
    match exponent {
        Some(Ok(exponent)) if exponent.abs() > MAX_EXPONENT => Err(E::custom("a number is out of range")),
        Some(Err(_)) => Err(E::custom("a number is out of range")),
        _ => text.parse().map_err(|_| E::custom("a number is malformed")),
    }
}

impl<'de> Visitor<'de> for StrictValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        checked_text(text.to_string()).map(Value::String)
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        checked_text(text).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.is_empty() && name == NUMBER_TOKEN {
                return checked_number(&members.next_value::<String>()?).map(Value::Number);
            }
            if name.starts_with(PRIVATE_PREFIX) {
                return Err(A::Error::custom(format!("the member name '{PRIVATE_PREFIX}…' is reserved")));
            }
            let name = checked_text(name)?;
            if object.contains_key(&name) {
                let shown: String = name.chars().take(64).collect();
                return Err(A::Error::custom(format!("the member '{shown}' stands twice in one object")));
            }
            object.insert(name, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reason(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().reason
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, "stands twice"),
            (r#"{"a":1,"\u0061":2}"#, "stands twice"),
            (r#"["\u0000"]"#, "NUL"),
            (r#"{"\u0000":1}"#, "NUL"),
            ("1e999", "out of range"),
            ("1e-99999999999999999999", "out of range"),
            (r#"{"$serde_json::private::RawValue":"[1"}"#, "reserved"),
        ] {
            assert!(reason(text).contains(expected), "{text}: {}", reason(text));
        }
    }

    #[test]
    fn malformed_texts_are_refused_with_their_place() {
        for text in
            ["", " ", "{", "[1,]", "{\"a\":}", "NaN", "Infinity", "-", "01", "1.", ".5", "+1", "'a'", "[1] 2", "{a:1}"]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(parse(b"{\"a\": 1,\n \"b\": x}").unwrap_err().position, 15);
        assert_eq!(parse(b"\xff\xfe").unwrap_err().reason, "the body is not UTF-8");
        assert!(parse("\u{feff}{}".as_bytes()).is_err(), "a byte order mark is not JSON");
        assert!(parse(br#"["\ud800"]"#).is_err(), "a lone surrogate is no text");
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_err());
        assert!(parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn numbers_keep_their_decimal_text() {
        let text = "[0.1,12345678901234567890.123456789,1e+2,-0]";
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), text);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[^\0]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map("[^\0]{0,4}", inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_well_formed_value_reads_back_as_itself(value in any_json()) {
            prop_assert_eq!(parse(value.to_string().as_bytes()).unwrap(), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&text);
        }
    }
}
