//! One event object: its members, checked, straight into the columns of a batch. What is the same in every dialect is here;
//! what differs is behind [`Dialect`]: [`Contract`] here, `lago.rs`, `cloud_event.rs`.
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

/// What tells one dialect from another. Calls are resolved when compiled: the contract's events pay nothing for the others.
pub(super) trait Dialect {
    /// The member of that name, if the dialect has one.
    fn field(name: &str) -> Option<Field>;

    /// Reads the member's value into the draft, or reports what is wrong with it. Whether an unknown code is wrong is the
    /// dialect's to say: only the contract has it so.
    fn member(reader: &mut EventReader<'_, '_>, field: Field) -> Scan<()>;

    /// After the last member: reports what is missing.
    fn check(reader: &mut EventReader<'_, '_>);
}

/// Reads events from a text and collects what is wrong with them.
pub(super) struct EventReader<'a, 'c> {
    pub(super) scanner: Scanner<'a>,
    pub(super) problems: Problems,
    /// Index of the event that is being read, in a list.
    pub(super) event: Option<u32>,
    /// The list went past its limit and was left there.
    pub(super) has_too_many: bool,
    /// Which member is being read.
    pub(super) field: Option<Field>,
    /// Members are those of the request's head.
    pub(super) in_headers: bool,
    /// The time of an event that carries none, where a dialect allows that.
    now: Timestamp,
    knows_code: KnowsCode<'c>,
    /// The code accepted last: events of one metric mostly come together, and need one look-up then.
    known_code: &'a str,
    /// The event that is being read. It stays here, and is filled in place, because moving it costs as much as a name.
    pub(super) draft: Draft<'a>,
}

/// What one event object said so far.
#[derive(Default)]
pub(super) struct Draft<'a> {
    /// Bit per [`Field`]: its member was there, valid or not.
    present: u32,
    /// Customer or subscription was there and wrong, and is reported as such.
    subject_is_wrong: bool,
    pub(super) transaction_id: Cow<'a, str>,
    /// Of a CloudEvent: with the id it makes the transaction_id.
    pub(super) source: Cow<'a, str>,
    pub(super) customer: Cow<'a, str>,
    pub(super) subscription: Cow<'a, str>,
    pub(super) code: Cow<'a, str>,
    pub(super) timestamp: Timestamp,
    /// Empty when absent.
    pub(super) properties: Cow<'a, str>,
    pub(super) precise_total: Cow<'a, str>,
}

impl Draft<'_> {
    /// Notes that a member was there; false when it was there before.
    pub(super) fn first(&mut self, field: Field) -> bool {
        let bit = 1 << field as u8;
        let first = self.present & bit == 0;
        self.present |= bit;
        first
    }

    pub(super) fn has(&self, field: Field) -> bool {
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
                properties: if self.properties.is_empty() { "{}" } else { &self.properties },
                precise_total_amount_cents: &self.precise_total,
            },
        }
    }
}

impl<'a, 'c> EventReader<'a, 'c> {
    pub(super) fn new(body: &'a [u8], max_depth: u32, now: Timestamp, knows_code: KnowsCode<'c>) -> Scan<Self> {
        Ok(Self {
            scanner: Scanner::new(body, max_depth)?,
            problems: Problems::default(),
            event: None,
            has_too_many: false,
            field: None,
            in_headers: false,
            now,
            knows_code,
            known_code: "",
            draft: Draft { timestamp: now, ..Draft::default() },
        })
    }

    /// What is being read, for a flaw of the text.
    fn place(&self) -> Place {
        match self.field {
            Some(field) if self.in_headers => Place::Header(field),
            field => Place::Event { event: self.event, field },
        }
    }

    /// What is wrong with the body, after a scan that ended with `end`.
    pub(super) fn outcome(self, end: Scan<()>) -> Result<(), Problems> {
        let Problems { events, frame, .. } = self.problems;
        match end {
            // What else is wrong with such a text cannot be known.
            Err(syntax) => Err(Problems { events, frame, ..malformed(self.place(), *syntax) }),
            Ok(()) if self.problems.is_empty() => Ok(()),
            Ok(()) => Err(self.problems),
        }
    }

    /// The event read last, as a batch takes it.
    pub(super) fn row(&self) -> EventRow<'_> {
        self.draft.row()
    }

    /// Reads the event that begins here; its problems are collected.
    pub(super) fn event<D: Dialect>(&mut self) -> Scan<()> {
        self.problems.events += 1;
        if self.scanner.kind() != Kind::Object {
            return self.refuse(Flaw::NotAnObject);
        }
        self.draft = Draft { timestamp: self.now, ..Draft::default() };
        let opened = self.scanner.open_object();
        let mut more = self.scanner.enter(b'}');
        while more {
            let name = self.scanner.name()?.decode()?;
            self.field = D::field(&name);
            match self.field {
                Some(field) if self.draft.first(field) => D::member(self, field)?,
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
        D::check(self);
        Ok(())
    }

    /// Notes a problem of the field (or event) that is being read.
    #[cold]
    pub(super) fn report(&mut self, flaw: Flaw) {
        self.problems.add(self.place(), flaw);
    }

    /// Reports that a value has the wrong type, and passes it.
    #[cold]
    pub(super) fn refuse(&mut self, flaw: Flaw) -> Scan<()> {
        self.scanner.value()?;
        self.report(flaw);
        Ok(())
    }

    /// A name of 1–255 characters; `None` when it is reported.
    #[inline]
    pub(super) fn name_text(&mut self) -> Scan<Option<Cow<'a, str>>> {
        if self.scanner.kind() != Kind::String {
            return self.refuse(Flaw::NotAString).map(|()| None);
        }
        let text = self.scanner.string()?.decode()?;
        Ok(self.checked_name(text))
    }

    /// A name of 1–255 characters; `None` when it is reported.
    #[inline]
    pub(super) fn checked_name(&mut self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        match flaw_of_name(&text) {
            None => Some(text),
            Some(flaw) => {
                self.report(flaw);
                None
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
    pub(super) fn subject(&mut self) -> Scan<Cow<'a, str>> {
        if self.scanner.kind() == Kind::Null {
            return self.scanner.value().map(|_| Cow::Borrowed(""));
        }
        let text = self.name_text()?;
        Ok(self.checked_subject(text))
    }

    /// The name of somebody; when it is wrong it is not missed besides.
    #[inline]
    pub(super) fn checked_subject(&mut self, text: Option<Cow<'a, str>>) -> Cow<'a, str> {
        self.draft.subject_is_wrong |= text.is_none();
        text.unwrap_or_default()
    }

    #[inline]
    fn timestamp(&mut self) -> Scan<()> {
        if self.scanner.kind() != Kind::String {
            return self.refuse(Flaw::NotATimeText);
        }
        let text = self.scanner.string()?.decode()?;
        self.take_time(event_time(&text));
        Ok(())
    }

    #[inline]
    pub(super) fn take_time(&mut self, time: Result<Timestamp, Flaw>) {
        match time {
            Ok(instant) => self.draft.timestamp = instant,
            Err(flaw) => self.report(flaw),
        }
    }

    #[inline]
    pub(super) fn properties(&mut self) -> Scan<()> {
        if self.scanner.kind() != Kind::Object {
            return self.refuse(Flaw::NotAnObject);
        }
        self.draft.properties = Cow::Borrowed(self.scanner.value()?);
        Ok(())
    }

    /// A decimal as a number or in a string, in its own digits; null means absent.
    pub(super) fn decimal(&mut self) -> Scan<Cow<'a, str>> {
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

    /// Reports those of `fields` that were not there.
    #[inline]
    pub(super) fn require(&mut self, fields: &[Field]) {
        for field in fields {
            if !self.draft.has(*field) {
                self.report_at(*field, Flaw::Missing);
            }
        }
    }

    /// Reports that nobody is named, at `field`; a wrong name was reported already.
    #[inline]
    pub(super) fn require_somebody(&mut self, field: Field, flaw: Flaw) {
        let somebody = !self.draft.customer.is_empty() || !self.draft.subscription.is_empty();
        if !somebody && !self.draft.subject_is_wrong {
            self.report_at(field, flaw);
        }
    }

    /// Notes a problem of a field that is not being read.
    #[cold]
    pub(super) fn report_at(&mut self, field: Field, flaw: Flaw) {
        self.field = Some(field);
        self.report(flaw);
        self.field = None;
    }
}

/// The contract's events.
pub(super) struct Contract;

impl Dialect for Contract {
    #[inline]
    fn field(name: &str) -> Option<Field> {
        Field::named(name)
    }

    #[inline]
    fn member(reader: &mut EventReader<'_, '_>, field: Field) -> Scan<()> {
        match field {
            Field::Code => reader.code(),
            Field::Timestamp => reader.timestamp(),
            Field::Properties => reader.properties(),
            _ => reader.shared_member(field),
        }
    }

    #[inline]
    fn check(reader: &mut EventReader<'_, '_>) {
        reader.require(&[Field::TransactionId, Field::Code, Field::Timestamp]);
        reader.require_somebody(Field::ExternalCustomerId, Flaw::Nobody);
    }
}

impl EventReader<'_, '_> {
    /// Members that the contract and Lago write and mean alike.
    #[inline]
    pub(super) fn shared_member(&mut self, field: Field) -> Scan<()> {
        match field {
            Field::TransactionId => self.draft.transaction_id = self.name_text()?.unwrap_or_default(),
            Field::ExternalCustomerId => self.draft.customer = self.subject()?,
            Field::ExternalSubscriptionId => self.draft.subscription = self.subject()?,
            Field::PreciseTotalAmountCents => self.draft.precise_total = self.decimal()?,
            // The dialects name no other member here; were one added, its value would be passed as an unknown one is.
            _ => drop(self.scanner.value()?),
        }
        Ok(())
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
