//! One event object: its members, checked, straight into the columns of a batch.
//!
//! Problems of fields are collected and the scan goes on, so that one answer names all of them; a flaw of the text itself ends
//! it. An event with a problem adds no row.

use super::problem::{Field, Flaw, Place, Problems};
use super::scan::{Kind, RawText, Scan, Scanner, Syntax, duplicate};
use super::timestamp::event_time;
use domain::event::MAX_NAME_CHARS;
use domain::event_batch::EventRow;
use domain::identity::Content;
use domain::quantity::{Quantity, QuantityError};
use domain::time::Timestamp;
use std::borrow::Cow;

/// Longest text of `precise_total_amount_cents`: sign, 38 digits, point, 38 digits, exponent, and as much again of zeros.
const MAX_DECIMAL_CHARS: usize = 160;

/// Reads events from a text and collects what is wrong with them.
pub(super) struct EventReader<'a> {
    pub(super) scanner: Scanner<'a>,
    pub(super) problems: Problems,
    /// Index of the event that is being read, in a list.
    pub(super) event: Option<u32>,
    /// The list went past its limit and was left there.
    pub(super) has_too_many: bool,
    field: Option<Field>,
}

/// What one event object said so far.
#[derive(Default)]
pub(super) struct Draft<'a> {
    /// Bit per [`Field`]: its member was there, valid or not.
    present: u8,
    /// Customer or subscription was there and wrong, and is reported as such.
    subject_is_wrong: bool,
    transaction_id: Cow<'a, str>,
    customer: Cow<'a, str>,
    subscription: Cow<'a, str>,
    code: Cow<'a, str>,
    timestamp: Timestamp,
    properties: Option<&'a str>,
    precise_total: Cow<'a, str>,
}

impl<'a> Draft<'a> {
    /// Notes that a member was there; false when it was there before.
    fn first(&mut self, field: Field) -> bool {
        let bit = 1 << field as u8;
        let first = self.present & bit == 0;
        self.present |= bit;
        first
    }

    fn has(&self, field: Field) -> bool {
        self.present & (1 << field as u8) != 0
    }

    /// The event as a batch takes it.
    pub(super) fn row(&self) -> EventRow<'_> {
        EventRow {
            transaction_id: &self.transaction_id,
            timestamp: self.timestamp,
            content: Content {
                code: &self.code,
                customer: &self.customer,
                subscription: &self.subscription,
                properties: self.properties.unwrap_or("{}"),
                precise_total_amount_cents: &self.precise_total,
            },
        }
    }
}

impl<'a> EventReader<'a> {
    pub(super) fn new(body: &'a [u8], max_depth: u32) -> Scan<Self> {
        let scanner = Scanner::new(body, max_depth)?;
        Ok(Self { scanner, problems: Problems::default(), event: None, has_too_many: false, field: None })
    }

    /// What is being read, for a flaw of the text.
    pub(super) fn place(&self) -> Place {
        Place::Event { event: self.event, field: self.field }
    }

    /// Reads the event that begins here; `None` when it has a problem, which is collected.
    pub(super) fn event(&mut self) -> Scan<Option<Draft<'a>>> {
        if self.scanner.kind() != Kind::Object {
            self.scanner.value()?;
            self.problems.add(self.place(), Flaw::NotAnObject);
            return Ok(None);
        }
        let problems_before = self.problems.total;
        let draft = self.members()?;
        self.check_presence(&draft);
        Ok((self.problems.total == problems_before).then_some(draft))
    }

    fn members(&mut self) -> Scan<Draft<'a>> {
        let mut draft = Draft::default();
        let opened = self.scanner.open_object();
        let mut more = self.scanner.enter(b'}');
        while more {
            let name = self.scanner.name()?.decode()?;
            self.field = Field::named(&name);
            match self.field {
                Some(field) if draft.first(field) => self.member(field, &mut draft)?,
                Some(field) => return Err(duplicate(self.scanner.position(), field.name())),
                None => {
                    self.scanner.note_name(name);
                    self.scanner.value()?;
                }
            }
            self.field = None;
            more = self.scanner.more(b'}', "a comma or a closing brace")?;
        }
        self.scanner.close_object(opened)?;
        Ok(draft)
    }

    fn member(&mut self, field: Field, draft: &mut Draft<'a>) -> Scan<()> {
        let outcome = match field {
            Field::TransactionId => self.name_text(false)?.map(|text| draft.transaction_id = text),
            Field::Code => self.name_text(false)?.map(|text| draft.code = text),
            Field::ExternalCustomerId => self.name_text(true)?.map(|text| draft.customer = text),
            Field::ExternalSubscriptionId => self.name_text(true)?.map(|text| draft.subscription = text),
            Field::Timestamp => self.timestamp()?.map(|instant| draft.timestamp = instant),
            Field::Properties => self.properties()?.map(|text| draft.properties = Some(text)),
            Field::PreciseTotalAmountCents => self.decimal()?.map(|text| draft.precise_total = text),
        };
        if let Err(problem) = outcome {
            draft.subject_is_wrong |= matches!(field, Field::ExternalCustomerId | Field::ExternalSubscriptionId);
            self.problems.add(self.place(), problem);
        }
        Ok(())
    }

    /// A name of 1–255 characters; null means absent (the empty text) where the member is optional.
    fn name_text(&mut self, optional: bool) -> Scan<Result<Cow<'a, str>, Flaw>> {
        match self.scanner.kind() {
            Kind::String => checked_name(self.scanner.string()?),
            Kind::Null if optional => self.scanner.value().map(|_| Ok(Cow::Borrowed(""))),
            _ => self.scanner.value().map(|_| Err(Flaw::NotAString)),
        }
    }

    fn timestamp(&mut self) -> Scan<Result<Timestamp, Flaw>> {
        match self.scanner.kind() {
            Kind::String => Ok(event_time(&self.scanner.string()?.decode()?)),
            _ => self.scanner.value().map(|_| Err(Flaw::NotATimeText)),
        }
    }

    fn properties(&mut self) -> Scan<Result<&'a str, Flaw>> {
        let kind = self.scanner.kind();
        let text = self.scanner.value()?;
        Ok(if kind == Kind::Object { Ok(text) } else { Err(Flaw::NotAnObject) })
    }

    /// A decimal as a number or in a string, in its own digits; null means absent.
    fn decimal(&mut self) -> Scan<Result<Cow<'a, str>, Flaw>> {
        let text = match self.scanner.kind() {
            Kind::String => self.scanner.string()?.decode()?,
            Kind::Number => Cow::Borrowed(self.scanner.number()?),
            Kind::Null => return self.scanner.value().map(|_| Ok(Cow::Borrowed(""))),
            _ => return self.scanner.value().map(|_| Err(Flaw::NotANumber)),
        };
        Ok(match Quantity::parse(&text) {
            Ok(_) if text.len() > MAX_DECIMAL_CHARS => Err(QuantityError::TooLong.into()),
            Ok(_) => Ok(text),
            Err(error) => Err(error.into()),
        })
    }

    fn check_presence(&mut self, draft: &Draft<'a>) {
        for field in [Field::TransactionId, Field::Code, Field::Timestamp] {
            if !draft.has(field) {
                self.problems.add(Place::Event { event: self.event, field: Some(field) }, Flaw::Missing);
            }
        }
        let somebody = !draft.customer.is_empty() || !draft.subscription.is_empty();
        if !somebody && !draft.subject_is_wrong {
            let field = Some(Field::ExternalCustomerId);
            self.problems.add(Place::Event { event: self.event, field }, Flaw::Nobody);
        }
    }
}

/// A flaw of the text as the only problem of a body: what else is wrong with it cannot be known.
pub(super) fn malformed(place: Place, syntax: Syntax) -> Problems {
    Problems::only(place, Flaw::Malformed(syntax))
}

#[inline]
fn checked_name(raw: RawText<'_>) -> Scan<Result<Cow<'_, str>, Flaw>> {
    let text = raw.decode()?;
    // A control character can only come from an escape, hence stand in a text that was decoded.
    let has_nul = matches!(&text, Cow::Owned(decoded) if decoded.contains('\0'));
    Ok(match text.len() {
        0 => Err(Flaw::Empty),
        _ if has_nul => Err(Flaw::HasNul),
        // A character takes at least a byte, so a text of 255 bytes needs no count.
        length if length > MAX_NAME_CHARS && text.chars().count() > MAX_NAME_CHARS => Err(Flaw::TooLong),
        _ => Ok(text),
    })
}
