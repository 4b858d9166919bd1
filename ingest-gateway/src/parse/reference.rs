//! The slow parser that the fast one must agree with on every input: serde_json, level by level, written for obviousness.
//!
//! Only tests are built with it. Each container is parsed by serde_json into names and raw texts, each string by
//! `serde_json::from_str::<String>`, so that nothing of the scanner is shared but the rules themselves.

use super::{Field, ParseLimits, Place};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::OrganizationId;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt;

/// What the reference says of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// The events.
    Accepted(Box<EventBatch>),
    /// Not acceptable as a text.
    BadText,
    /// A good text with these bad places, in order.
    BadFields(Vec<Place>),
}

type Members<'a> = Vec<(String, &'a RawValue)>;

struct Object<'a>(Members<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Object(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

fn object(text: &str) -> Option<Members<'_>> {
    let Object(members) = serde_json::from_str(text).ok()?;
    let names: HashSet<&String> = members.iter().map(|(name, _)| name).collect();
    (names.len() == members.len()).then_some(members)
}

fn is_good_text(text: &str, depth_left: u32) -> bool {
    match text.as_bytes()[0] {
        b'{' => {
            depth_left > 0
                && object(text)
                    .is_some_and(|members| members.iter().all(|(_, value)| is_good_text(value.get(), depth_left - 1)))
        }
        b'[' => {
            depth_left > 0
                && serde_json::from_str::<Vec<&RawValue>>(text)
                    .is_ok_and(|items| items.iter().all(|item| is_good_text(item.get(), depth_left - 1)))
        }
        b'"' => serde_json::from_str::<String>(text).is_ok(),
        _ => serde_json::from_str::<&RawValue>(text).is_ok(),
    }
}

fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

struct Reference {
    limits: ParseLimits,
    batch: EventBatch,
    bad: Vec<Place>,
}

impl Reference {
    /// `None` when the text is bad.
    fn event(&mut self, index: Option<u32>, text: &str) -> Option<()> {
        let bad_before = self.bad.len();
        if !text.starts_with('{') {
            self.bad.push(Place::Event { event: index, field: None });
            return is_good_text(text, self.limits.max_depth).then_some(());
        }
        let members = object(text)?;
        let mut bad_fields = Vec::new();
        for (name, value) in &members {
            if !is_good_text(value.get(), self.limits.max_depth) {
                return None;
            }
            let Some(field) = Field::named(name) else { continue };
            if !is_good_field(field, value.get()) {
                bad_fields.push(field);
            }
        }
        let value_of = |field: Field| {
            members.iter().find(|(name, _)| name == field.name()).map(|(_, value)| value.get()).unwrap_or("null")
        };
        for field in [Field::TransactionId, Field::Code, Field::Timestamp] {
            if !members.iter().any(|(name, _)| name == field.name()) {
                bad_fields.push(field);
            }
        }
        let subjects = [Field::ExternalCustomerId, Field::ExternalSubscriptionId];
        if subjects.iter().all(|field| value_of(*field) == "null") {
            bad_fields.push(Field::ExternalCustomerId);
        }
        self.bad.extend(bad_fields.iter().map(|field| Place::Event { event: index, field: Some(*field) }));
        if self.bad.len() > bad_before {
            return Some(());
        }
        let text_of = |field| string(value_of(field)).unwrap_or_default();
        let decimal = value_of(Field::PreciseTotalAmountCents);
        let properties = members.iter().find(|(name, _)| name == "properties").map_or("{}", |(_, value)| value.get());
        self.batch.push(&EventRow {
            transaction_id: &text_of(Field::TransactionId),
            timestamp: Timestamp::parse(&text_of(Field::Timestamp)).unwrap(),
            content: Content {
                code: &text_of(Field::Code),
                customer: &text_of(Field::ExternalCustomerId),
                subscription: &text_of(Field::ExternalSubscriptionId),
                properties,
                precise_total_amount_cents: &decimal_text(decimal),
            },
        });
        Some(())
    }
}

fn decimal_text(json: &str) -> String {
    match json {
        "null" => String::new(),
        _ => string(json).unwrap_or_else(|| json.to_owned()),
    }
}

fn is_good_field(field: Field, json: &str) -> bool {
    let is_name = || string(json).is_some_and(|text| (1..=255).contains(&text.chars().count()) && !text.contains('\0'));
    match field {
        Field::TransactionId | Field::Code => is_name(),
        Field::ExternalCustomerId | Field::ExternalSubscriptionId => json == "null" || is_name(),
        Field::Timestamp => string(json).is_some_and(|text| {
            Timestamp::parse(&text).is_ok_and(|time| time >= Timestamp::EARLIEST && time < Timestamp::LATEST)
        }),
        Field::Properties => json.starts_with('{'),
        Field::PreciseTotalAmountCents => {
            let is_number_or_text =
                json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
            json == "null" || (is_number_or_text && Quantity::parse(&decimal_text(json)).is_ok())
        }
    }
}

fn verdict(limits: ParseLimits, read: impl FnOnce(&mut Reference) -> Option<()>) -> Verdict {
    let batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    let mut reference = Reference { limits, batch, bad: Vec::new() };
    match read(&mut reference) {
        None => Verdict::BadText,
        Some(()) if reference.bad.is_empty() => Verdict::Accepted(Box::new(reference.batch)),
        Some(()) => Verdict::BadFields(reference.bad),
    }
}

fn whole_text(body: &[u8]) -> Option<&str> {
    Some(serde_json::from_str::<&RawValue>(std::str::from_utf8(body).ok()?).ok()?.get())
}

pub(super) fn event(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| reference.event(None, whole_text(body)?))
}

pub(super) fn batch(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| {
        let text = whole_text(body)?;
        if !text.starts_with('{') {
            reference.bad.push(Place::BODY);
            return is_good_text(text, limits.max_depth).then_some(());
        }
        let members = object(text)?;
        for (name, value) in &members {
            let json = value.get();
            if name != "events" || !json.starts_with('[') {
                if name == "events" {
                    reference.bad.push(Place::Events);
                }
                is_good_text(json, limits.max_depth).then_some(())?;
                continue;
            }
            let events: Vec<&RawValue> = serde_json::from_str(json).ok()?;
            if events.is_empty() {
                reference.bad.push(Place::Events);
            }
            for (index, event) in (0..).zip(&events).take(limits.max_events) {
                reference.event(Some(index), event.get())?;
            }
            if events.len() > limits.max_events {
                reference.bad.push(Place::Events);
                return Some(());
            }
        }
        if !members.iter().any(|(name, _)| name == "events") {
            reference.bad.push(Place::Events);
        }
        Some(())
    })
}
