//! CSV, NDJSON and JSON to records: a line number and named values. Numbers keep their decimal text.

use http_api::strict_json;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::BufRead;
use std::path::Path;

/// Form of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma-separated, first line names the columns.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// A list of objects, or one object with the list under `events`.
    Json,
}

impl Format {
    /// By the file's name, without a compression suffix.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let stem = super::source::stem(path);
        match stem.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    /// Line where it begins (CSV, NDJSON), or number in the list (JSON), from 1.
    pub line: u64,
    /// Values by column name, or why the row cannot be read.
    pub fields: Result<Map<String, Value>, String>,
}

/// What the receiver of records answers: whether it wants more.
pub(super) type Wanted = bool;

/// Why a file cannot be read on; rows before it were handed over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(pub String);

/// Hands over each record of `input` in order until the receiver wants no more.
pub(super) fn read(
    input: impl BufRead,
    format: Format,
    receive: impl FnMut(Record) -> Wanted,
) -> Result<(), Unreadable> {
    match format {
        Format::Csv => read_csv(input, receive),
        Format::Ndjson => read_lines(input, receive),
        Format::Json => read_list(input, receive),
    }
}

fn read_csv(input: impl BufRead, mut receive: impl FnMut(Record) -> Wanted) -> Result<(), Unreadable> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
    let headers = reader.headers().map_err(|fault| Unreadable(format!("line 1: {fault}")))?.clone();
    let names: Vec<&str> = headers.iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    if let Some(repeated) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        return Err(Unreadable(format!("line 1: two columns are named '{repeated}'")));
    }
    let mut row = csv::StringRecord::new();
    loop {
        let line = reader.position().line();
        let fields = match reader.read_record(&mut row) {
            Ok(false) => return Ok(()),
            Ok(true) if row.len() != names.len() => {
                Err(format!("has {} columns, the first line names {}", row.len(), names.len()))
            }
            Ok(true) => Ok(names.iter().zip(&row).map(|(name, text)| ((*name).to_string(), csv_value(text))).collect()),
            Err(fault) if matches!(fault.kind(), csv::ErrorKind::Utf8 { .. }) => Err("is not UTF-8".to_string()),
            Err(fault) => return Err(Unreadable(fault.to_string())),
        };
        let begins = row.position().map_or(line, csv::Position::line);
        if !receive(Record { line: begins, fields }) {
            return Ok(());
        }
    }
}

/// A CSV cell: a plain decimal number is one, everything else is text. `007` and `1e5` stay texts: the first is a code, the
/// second may be one.
pub(super) fn csv_value(text: &str) -> Value {
    if is_plain_decimal(text) {
        // With `arbitrary_precision` the number keeps this very text; what passes the check above always parses.
        if let Ok(number) = text.parse() {
            return Value::Number(number);
        }
    }
    Value::String(text.to_string())
}

fn is_plain_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(whole, part)| (whole, Some(part)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(digits)
}

/// Longest line of NDJSON: far above any event the server takes, so that its own refusal is what the user sees.
const LONGEST_LINE: usize = 4 << 20;

fn read_lines(mut input: impl BufRead, mut receive: impl FnMut(Record) -> Wanted) -> Result<(), Unreadable> {
    let mut line = 0;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        line += 1;
        let limit = LONGEST_LINE as u64 + 1;
        let read = std::io::Read::take(&mut input, limit)
            .read_until(b'\n', &mut bytes)
            .map_err(|fault| Unreadable(format!("line {line}: {fault}")))?;
        if read == 0 {
            return Ok(());
        }
        if bytes.len() > LONGEST_LINE {
            return Err(Unreadable(format!("line {line}: longer than {} MiB", LONGEST_LINE >> 20)));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        if !receive(Record { line, fields: object(bytes.trim_ascii()) }) {
            return Ok(());
        }
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    match strict_json::parse(bytes) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err("is no JSON object".to_string()),
        Err(fault) => Err(format!("is not JSON: {fault} (byte {})", fault.position)),
    }
}

fn read_list(mut input: impl BufRead, receive: impl FnMut(Record) -> Wanted) -> Result<(), Unreadable> {
    // A byte order mark is no JSON, but common in files made on Windows.
    if input.fill_buf().is_ok_and(|start| start.starts_with(b"\xef\xbb\xbf")) {
        input.consume(3);
    }
    let mut receiver = ListReader { receive, line: 0, stopped: false };
    let mut reader = serde_json::Deserializer::from_reader(input);
    let outcome = receiver.deserialize(&mut reader).and_then(|()| reader.end());
    match outcome {
        Err(_) if receiver.stopped => Ok(()),
        Err(fault) => Err(Unreadable(fault.to_string())),
        Ok(()) => Ok(()),
    }
}

/// Reads `[…]` or `{"events": […]}` item by item: a file of gigabytes is never in memory as a whole.
struct ListReader<F> {
    receive: F,
    line: u64,
    stopped: bool,
}

impl<'de, F: FnMut(Record) -> Wanted> DeserializeSeed<'de> for &mut ListReader<F> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(Record) -> Wanted> Visitor<'de> for &mut ListReader<F> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of objects, or an object with such a list under 'events'")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            self.line += 1;
            let record = Record { line: self.line, fields: object(item.get().as_bytes()) };
            if !(self.receive)(record) {
                self.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(name) = members.next_key::<String>()? {
            if name == "events" {
                members.next_value_seed(&mut *self)?;
                found = true;
            } else {
                members.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        if found { Ok(()) } else { Err(A::Error::custom("the object has no list 'events'")) }
    }
}

#[cfg(test)]
mod tests;
