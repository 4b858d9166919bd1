//! CloudEvents 1.0: as JSON (structured mode, batches) and with their attributes in the request's head (binary mode).
//!
//! | attribute | becomes |
//! |---|---|
//! | `source` and `id` | transaction_id `SOURCE ID`, with one space between: together they are unique, and a source has no spaces, so no two pairs make one id |
//! | `subject` | external_customer_id; required here |
//! | `type` | code |
//! | `time` | timestamp; absent: now |
//! | `data`, `data_base64` | properties: one JSON object, as sent; absent: `{}` |
//!
//! Other attributes are passed over. null means absent, as the JSON format says.

use super::event::{Dialect, EventReader, malformed};
use super::problem::{Field, Flaw, Place, Problems};
use super::scan::{Kind, Scan, Scanner};
use super::timestamp::event_time;
use super::{KnowsCode, ParseLimits};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::event::MAX_NAME_CHARS;
use domain::event_batch::EventBatch;
use std::borrow::Cow;

/// Structured mode.
pub(super) struct CloudEvent;

impl Dialect for CloudEvent {
    #[inline]
    fn field(name: &str) -> Option<Field> {
        Field::of_cloud_event(name)
    }

    #[inline]
    fn member(reader: &mut EventReader<'_, '_>, field: Field) -> Scan<()> {
        match (field, reader.scanner.kind()) {
            (Field::SpecVersion | Field::Id | Field::Source | Field::Type, Kind::Null) => reader.refuse(Flaw::Missing),
            (_, Kind::Null) => reader.scanner.value().map(drop),
            (Field::Data, _) => reader.properties(),
            (_, Kind::String) => {
                let text = reader.scanner.string()?.decode()?;
                reader.attribute(field, text);
                Ok(())
            }
            (Field::Subject, _) => {
                reader.refuse(Flaw::NotAString)?;
                reader.checked_subject(None);
                Ok(())
            }
            _ => reader.refuse(Flaw::NotAString),
        }
    }

    #[inline]
    fn check(reader: &mut EventReader<'_, '_>) {
        reader.require(&[Field::SpecVersion, Field::Id, Field::Source, Field::Type]);
        reader.require_somebody(Field::Subject, Flaw::Missing);
        if reader.draft.has(Field::Data) && reader.draft.has(Field::DataBase64) {
            reader.report_at(Field::DataBase64, Flaw::DataTwice);
        }
        let draft = &mut reader.draft;
        let (source, id) = (std::mem::take(&mut draft.source), std::mem::take(&mut draft.transaction_id));
        let length = source.len() + 1 + id.len();
        if length > MAX_NAME_CHARS && source.chars().count() + 1 + id.chars().count() > MAX_NAME_CHARS {
            return reader.report_at(Field::Id, Flaw::TooLongTogether);
        }
        let mut transaction_id = String::with_capacity(length);
        transaction_id.push_str(&source);
        transaction_id.push(' ');
        transaction_id.push_str(&id);
        draft.transaction_id = Cow::Owned(transaction_id);
    }
}

impl<'a> EventReader<'a, '_> {
    /// Takes an attribute that is a text, from the body or from the head.
    #[inline]
    fn attribute(&mut self, field: Field, text: Cow<'a, str>) {
        match field {
            Field::SpecVersion if text != "1.0" => self.report(Flaw::WrongVersion),
            Field::Id => self.draft.transaction_id = self.checked_name(text).unwrap_or_default(),
            Field::Source => self.source(text),
            Field::Type => self.draft.code = self.checked_name(text).unwrap_or_default(),
            Field::Subject => {
                let subject = self.checked_name(text);
                self.draft.customer = self.checked_subject(subject);
            }
            Field::Time => self.take_time(event_time(&text)),
            Field::DataContentType if !is_json(&text) => self.report(Flaw::NotJson),
            Field::DataBase64 => self.data_base64(&text),
            _ => {}
        }
    }

    fn source(&mut self, text: Cow<'a, str>) {
        let Some(source) = self.checked_name(text) else { return };
        if source.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return self.report(Flaw::NotAUri);
        }
        self.draft.source = source;
    }

    fn data_base64(&mut self, text: &str) {
        let object = STANDARD.decode(text).ok().and_then(|bytes| json_object(bytes, self.scanner.max_depth()));
        match object {
            Some(object) => self.draft.properties = Cow::Owned(object),
            None => self.report(Flaw::BadBase64),
        }
    }
}

/// The text of one strict JSON object and nothing else.
fn json_object(bytes: Vec<u8>, max_depth: u32) -> Option<String> {
    let mut scanner = Scanner::new(&bytes, max_depth).ok()?;
    scanner.skip_white();
    if scanner.kind() != Kind::Object {
        return None;
    }
    let object = scanner.value().ok()?.to_owned();
    scanner.end().ok()?;
    Some(object)
}

/// Whether a media type is JSON: `application/json`, `text/json`, or any with the suffix `+json`; parameters do not matter.
pub(crate) fn is_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

/// Attributes of a CloudEvent in binary mode, from the request's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Each with its text as sent, in the order of the head; `None`: not percent-encoded UTF-8.
    pub texts: Vec<(Field, Option<String>)>,
}

/// Appends the CloudEvent of these attributes whose data is `body`; an empty body is no data.
///
/// # Errors
/// What is wrong with it; the batch is unchanged then.
pub fn parse_binary_cloud_event(
    attributes: &Attributes,
    body: &[u8],
    limits: ParseLimits,
    knows_code: KnowsCode<'_>,
    batch: &mut EventBatch,
) -> Result<(), Problems> {
    let mut reader = EventReader::new(body, limits.max_depth, batch.ingested_at, knows_code)
        .map_err(|syntax| malformed(Place::BODY, *syntax))?;
    reader.problems.events = 1;
    reader.in_headers = true;
    for (field, text) in &attributes.texts {
        reader.field = Some(*field);
        match text {
            _ if !reader.draft.first(*field) => reader.report(Flaw::HeaderTwice),
            None => reader.report(Flaw::BadHeader),
            Some(text) => reader.attribute(*field, Cow::Borrowed(text)),
        }
    }
    CloudEvent::check(&mut reader);
    (reader.in_headers, reader.field) = (false, None);
    let end = read_data(&mut reader);
    if end.is_ok() && reader.problems.is_empty() {
        batch.push(&reader.row());
    }
    reader.outcome(end)
}

fn read_data(reader: &mut EventReader<'_, '_>) -> Scan<()> {
    reader.scanner.skip_white();
    if reader.scanner.is_at_end() {
        return Ok(());
    }
    reader.properties()?;
    reader.scanner.end()
}
