//! Finds top-level keys in the raw text of a JSON object without parsing the rest.
//!
//! The gateway has validated the text; here only as much is read as is needed to step over values. A text that is no object
//! after all answers with the keys found before the fault, never with a panic: the event is then counted without a value.

use std::borrow::Cow;

/// The raw text of one JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// What stands between the quotes, escapes as written.
    String(&'a str),
    /// The number's own text.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object or array with its brackets.
    Nested(&'a str),
}

/// Calls `on_field(key, value)` for each top-level member, in order. Keys come with their escapes resolved.
///
/// Stops at the first thing that is not JSON and returns whether the whole object was read.
pub fn each_field<'a>(object: &'a str, mut on_field: impl FnMut(Cow<'a, str>, RawValue<'a>)) -> bool {
    read_object(object, &mut on_field).is_some()
}

/// The value of one top-level key.
#[must_use]
pub fn field<'a>(object: &'a str, wanted: &str) -> Option<RawValue<'a>> {
    let mut found = None;
    each_field(object, |key, value| {
        if found.is_none() && key == wanted {
            found = Some(value);
        }
    });
    found
}

/// The text of a JSON string whose inside is `raw`.
#[must_use]
pub fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    // A lone surrogate has no text; its escape stands for itself, the same in every run.
    match serde_json::from_str::<String>(&format!("\"{raw}\"")) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(raw),
    }
}

fn read_object<'a>(text: &'a str, on_field: &mut impl FnMut(Cow<'a, str>, RawValue<'a>)) -> Option<()> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.skip_blanks();
    cursor.expect(b'{')?;
    cursor.skip_blanks();
    if cursor.peek()? == b'}' {
        return Some(());
    }
    loop {
        cursor.skip_blanks();
        cursor.expect(b'"')?;
        let key = cursor.rest_of_string()?;
        cursor.skip_blanks();
        cursor.expect(b':')?;
        cursor.skip_blanks();
        let value = cursor.value()?;
        on_field(unescaped(key), value);
        cursor.skip_blanks();
        match cursor.next()? {
            b',' => {}
            b'}' => return Some(()),
            _ => return None,
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// After the opening quote: the inside, with the cursor behind the closing quote.
    fn rest_of_string(&mut self) -> Option<&'a str> {
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at - 1),
                b'\\' => {
                    self.next()?;
                }
                _ => {}
            }
        }
    }

    fn value(&mut self) -> Option<RawValue<'a>> {
        match self.peek()? {
            b'"' => {
                self.at += 1;
                self.rest_of_string().map(RawValue::String)
            }
            b'{' | b'[' => self.nested().map(RawValue::Nested),
            b't' => self.word("true").map(|()| RawValue::Bool(true)),
            b'f' => self.word("false").map(|()| RawValue::Bool(false)),
            b'n' => self.word("null").map(|()| RawValue::Null),
            b'-' | b'0'..=b'9' => self.number().map(RawValue::Number),
            _ => None,
        }
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let end = self.at + word.len();
        (self.text.get(self.at..end)? == word).then_some(())?;
        self.at = end;
        Some(())
    }

    fn number(&mut self) -> Option<&'a str> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        self.text.get(start..self.at)
    }

    /// Steps over an object or array by counting brackets outside strings.
    fn nested(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return self.text.get(start..self.at);
                    }
                }
                b'"' => {
                    self.rest_of_string()?;
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn keys_inside_nested_values_and_strings_are_not_top_level_keys() {
        let object = r#"{"a":{"v":1,"x":"}"},"b":["{\"v\":2}"],"c":"\"v\":3","v":4}"#;
        assert_eq!(field(object, "v"), Some(RawValue::Number("4")));
    }

    #[test]
    fn a_key_written_with_escapes_is_the_same_key() {
        assert_eq!(field(r#"{"\u0076":1}"#, "v"), Some(RawValue::Number("1")));
    }

    #[test]
    fn a_number_keeps_its_own_text() {
        let object = r#" { "v" : 12345678901234567890.1234567890123456789e-3 } "#;
        assert_eq!(field(object, "v"), Some(RawValue::Number("12345678901234567890.1234567890123456789e-3")));
    }

    #[test]
    fn a_broken_text_yields_what_stood_before_the_fault() {
        for broken in ["", "{", "[1]", "{\"v\"", "{\"v\":", "{\"a\":1 \"v\":2}", "{\"a\":\"", "{\"a\":[}", "{\"a\":tru"]
        {
            assert!(!each_field(broken, |_, _| {}), "{broken}");
            assert_eq!(field(broken, "v"), None, "{broken}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}|[\"\\\\{}\\[\\],:\n\u{0}]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c\"\\\\é]{0,3}", inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    fn parsed(value: RawValue<'_>) -> Value {
        match value {
            RawValue::String(raw) => Value::from(unescaped(raw).into_owned()),
            RawValue::Number(text) | RawValue::Nested(text) => serde_json::from_str(text).unwrap(),
            RawValue::Bool(value) => Value::from(value),
            RawValue::Null => Value::Null,
        }
    }

    proptest! {
        #[test]
        fn every_object_reads_as_a_json_parser_reads_it(
            fields in prop::collection::vec(("[a-c\"\\\\é]{0,3}", any_json()), 0..6), pretty: bool,
        ) {
            let object = Value::Object(fields.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let mut seen = Vec::new();
            prop_assert!(each_field(&text, |key, value| seen.push((key.into_owned(), parsed(value)))));
            let wanted: Vec<_> = object.as_object().unwrap().clone().into_iter().collect();
            prop_assert_eq!(seen, wanted);
        }

        #[test]
        fn no_text_makes_the_scanner_panic(text in "[{}\\[\\]\",:\\\\a0-9.ntfé -]{0,40}") {
            each_field(&text, |_, _| {});
        }
    }
}
