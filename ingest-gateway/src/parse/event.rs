//! One event object: its members, checked, straight into the columns of a batch.
//!
//! Problems of fields are collected and the scan goes on, so that one answer names all of them; a flaw of the text itself ends
//! it. An event with a problem adds no row.

use super::problem::{Field, Flaw, Place, Problems};
use super::scan::{Kind, Scan, Scanner, Syntax, duplicate};
use super::timestamp::event_time;
use domain::event::MAX_NAME_CHARS;
use domain::event_batch::EventRow;
use domain::identity::Content;
use domain::quantity::{Quantity, QuantityError};
use domain::time::Timestamp;
use std::borrow::Cow;

/// Longest text of `precise_total_amount_cents`: sign, 38 digits, point, 38 digits, exponent, and as much again of zeros.
const MAX_DECIMAL_CHARS: usize = 160;

/// Whether the organization has a metric of this code.
pub type KnowsCode<'c> = &'c dyn Fn(&str) -> bool;

/// Reads events from a text and collects what is wrong with them.
pub(super) struct EventReader<'a, 'c> {
    pub(super) scanner: Scanner<'a>,
    pub(super) problems: Problems,
    /// Index of the event that is being read, in a list.
    pub(super) event: Option<u32>,
    /// The list went past its limit and was left there.
    pub(super) has_too_many: bool,
    field: Option<Field>,
    knows_code: KnowsCode<'c>,
    /// The code accepted last: events of one metric mostly come together, and need one look-up then.
    known_code: &'a str,
    /// The event that is being read. It stays here, and is filled in place, because moving it costs as much as a name.
    draft: Draft<'a>,
}

/// What one event object said so far.
#[derive(Default)]
struct Draft<'a> {
    /// Bit per [`Field`]: its member was there, valid or not.
    present: u8,
    /// Customer or subscription was there and wrong, and is reported as such.
    subject_is_wrong: bool,
    transaction_id: Cow<'a, str>,
    customer: Cow<'a, str>,
    subscription: Cow<'a, str>,
    code: Cow<'a, str>,
    timestamp: Timestamp,
    /// Empty when absent.
    properties: &'a str,
    precise_total: Cow<'a, str>,
}

impl Draft<'_> {
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
    fn row(&self) -> EventRow<'_> {
        EventRow {
            transaction_id: &self.transaction_id,
            timestamp: self.timestamp,
            content: Content {
                code: &self.code,
                customer: &self.customer,
                subscription: &self.subscription,
                properties: if self.properties.is_empty() { "{}" } else { self.properties },
                precise_total_amount_cents: &self.precise_total,
            },
        }
    }
}

impl<'a, 'c> EventReader<'a, 'c> {
    pub(super) fn new(body: &'a [u8], max_depth: u32, knows_code: KnowsCode<'c>) -> Scan<Self> {
        let scanner = Scanner::new(body, max_depth)?;
        let (problems, draft) = (Problems::default(), Draft::default());
        Ok(Self { scanner, problems, event: None, has_too_many: false, field: None, knows_code, known_code: "", draft })
    }

    /// What is being read, for a flaw of the text.
    fn place(&self) -> Place {
        Place::Event { event: self.event, field: self.field }
    }

    /// What is wrong with the body, after a scan that ended with `end`.
    pub(super) fn outcome(self, end: Scan<()>) -> Result<(), Problems> {
        let events = self.problems.events;
        match end {
            // What else is wrong with such a text cannot be known.
            Err(syntax) => Err(Problems { events, ..malformed(self.place(), *syntax) }),
            Ok(()) if self.problems.is_empty() => Ok(()),
            Ok(()) => Err(self.problems),
        }
    }

    /// The event read last, as a batch takes it.
    pub(super) fn row(&self) -> EventRow<'_> {
        self.draft.row()
    }

    /// Reads the event that begins here; its problems are collected.
    pub(super) fn event(&mut self) -> Scan<()> {
        self.problems.events += 1;
        if self.scanner.kind() != Kind::Object {
            return self.refuse(Flaw::NotAnObject);
        }
        self.draft = Draft::default();
        let opened = self.scanner.open_object();
        let mut more = self.scanner.enter(b'}');
        while more {
            let name = self.scanner.name()?.decode()?;
            self.field = Field::named(&name);
            match self.field {
                Some(field) if self.draft.first(field) => self.member(field)?,
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
        self.check_presence();
        Ok(())
    }

    #[inline]
    fn member(&mut self, field: Field) -> Scan<()> {
        match field {
            Field::TransactionId => self.draft.transaction_id = self.name_text()?.unwrap_or_default(),
            Field::Code => self.code()?,
            Field::ExternalCustomerId => self.draft.customer = self.subject()?,
            Field::ExternalSubscriptionId => self.draft.subscription = self.subject()?,
            Field::Timestamp => self.timestamp()?,
            Field::Properties => self.properties()?,
            Field::PreciseTotalAmountCents => self.draft.precise_total = self.decimal()?,
        }
        Ok(())
    }

    /// Notes a problem of the field (or event) that is being read.
    #[cold]
    fn report(&mut self, flaw: Flaw) {
        self.problems.add(self.place(), flaw);
    }

    /// Reports that a value has the wrong type, and passes it.
    #[cold]
    fn refuse(&mut self, flaw: Flaw) -> Scan<()> {
        self.scanner.value()?;
        self.report(flaw);
        Ok(())
    }

    /// A name of 1–255 characters; `None` when it is reported.
    #[inline]
    fn name_text(&mut self) -> Scan<Option<Cow<'a, str>>> {
        if self.scanner.kind() != Kind::String {
            return self.refuse(Flaw::NotAString).map(|()| None);
        }
        let text = self.scanner.string()?.decode()?;
        match flaw_of_name(&text) {
            None => Ok(Some(text)),
            Some(flaw) => {
                self.report(flaw);
                Ok(None)
            }
        }
    }

    #[inline]
    fn code(&mut self) -> Scan<()> {
        let Some(code) = self.name_text()? else { return Ok(()) };
        if code != self.known_code {
            if !(self.knows_code)(&code) {
                self.report(Flaw::UnknownCode(code.into_owned()));
                return Ok(());
            }
            if let Cow::Borrowed(text) = code {
                self.known_code = text;
            }
        }
        self.draft.code = code;
        Ok(())
    }

    /// A name that may be absent, also as null.
    #[inline]
    fn subject(&mut self) -> Scan<Cow<'a, str>> {
        if self.scanner.kind() == Kind::Null {
            return self.scanner.value().map(|_| Cow::Borrowed(""));
        }
        let text = self.name_text()?;
        self.draft.subject_is_wrong |= text.is_none();
        Ok(text.unwrap_or_default())
    }

    #[inline]
    fn timestamp(&mut self) -> Scan<()> {
        if self.scanner.kind() != Kind::String {
            return self.refuse(Flaw::NotATimeText);
        }
        let text = self.scanner.string()?.decode()?;
        match event_time(&text) {
            Ok(instant) => self.draft.timestamp = instant,
            Err(flaw) => self.report(flaw),
        }
        Ok(())
    }

    #[inline]
    fn properties(&mut self) -> Scan<()> {
        if self.scanner.kind() != Kind::Object {
            return self.refuse(Flaw::NotAnObject);
        }
        self.draft.properties = self.scanner.value()?;
        Ok(())
    }

    /// A decimal as a number or in a string, in its own digits; null means absent.
    fn decimal(&mut self) -> Scan<Cow<'a, str>> {
        let text = match self.scanner.kind() {
            Kind::String => self.scanner.string()?.decode()?,
            Kind::Number => Cow::Borrowed(self.scanner.number()?),
            Kind::Null => return self.scanner.value().map(|_| Cow::Borrowed("")),
            _ => return self.refuse(Flaw::NotANumber).map(|()| Cow::Borrowed("")),
        };
        match Quantity::parse(&text) {
            Ok(_) if text.len() > MAX_DECIMAL_CHARS => self.report(QuantityError::TooLong.into()),
            Ok(_) => {}
            Err(error) => self.report(error.into()),
        }
        Ok(text)
    }

    #[inline]
    fn check_presence(&mut self) {
        for field in [Field::TransactionId, Field::Code, Field::Timestamp] {
            if !self.draft.has(field) {
                self.problems.add(Place::Event { event: self.event, field: Some(field) }, Flaw::Missing);
            }
        }
        let somebody = !self.draft.customer.is_empty() || !self.draft.subscription.is_empty();
        if !somebody && !self.draft.subject_is_wrong {
            let field = Some(Field::ExternalCustomerId);
            self.problems.add(Place::Event { event: self.event, field }, Flaw::Nobody);
        }
    }
}

/// A flaw of the text as the only problem of a body.
pub(super) fn malformed(place: Place, syntax: Syntax) -> Problems {
    Problems::only(place, Flaw::Malformed(syntax))
}

#[inline]
fn flaw_of_name(text: &str) -> Option<Flaw> {
    match text.len() {
        0 => Some(Flaw::Empty),
        _ if text.bytes().any(|byte| byte == 0) => Some(Flaw::HasNul),
        // A character takes at least a byte, so a text of 255 bytes needs no count.
        length if length > MAX_NAME_CHARS && text.chars().count() > MAX_NAME_CHARS => Some(Flaw::TooLong),
        _ => None,
    }
}
