//! The slow parser that the fast one must agree with on every input: serde_json, level by level, written for obviousness.
//! The contract's rules are here, those of other dialects in `reference_dialects.rs`.
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

pub(super) type Members<'a> = Vec<(String, &'a RawValue)>;

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

pub(super) fn object(text: &str) -> Option<Members<'_>> {
    let Object(members) = serde_json::from_str(text).ok()?;
    let names: HashSet<&String> = members.iter().map(|(name, _)| name).collect();
    (names.len() == members.len()).then_some(members)
}

pub(super) fn is_good_text(text: &str, depth_left: u32) -> bool {
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

pub(super) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// What tells one dialect from another.
pub(super) struct Rules {
    pub(super) field: fn(&str) -> Option<Field>,
    pub(super) is_good: fn(Field, &str) -> bool,
    /// Fields to report once all members were read, in order.
    pub(super) missing: fn(&Values<'_>) -> Vec<Field>,
    pub(super) push: fn(&Values<'_>, &mut EventBatch),
}

/// Members of one event that its dialect knows, by what they mean.
pub(super) struct Values<'a>(Vec<(Field, &'a str)>);

impl<'a> Values<'a> {
    /// The JSON text of a member; null when it is absent.
    pub(super) fn json(&self, field: Field) -> &'a str {
        self.0.iter().find(|(known, _)| *known == field).map_or("null", |(_, json)| json)
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.0.iter().any(|(known, _)| *known == field)
    }

    /// What a member that is a string says; empty for all else.
    pub(super) fn text(&self, field: Field) -> String {
        string(self.json(field)).unwrap_or_default()
    }
}

pub(super) struct Reference {
    pub(super) limits: ParseLimits,
    pub(super) batch: EventBatch,
    pub(super) bad: Vec<Place>,
}

impl Reference {
    /// `None` when the text is bad.
    pub(super) fn event(&mut self, index: Option<u32>, text: &str, rules: &Rules) -> Option<()> {
        let bad_before = self.bad.len();
        if !text.starts_with('{') {
            self.bad.push(Place::Event { event: index, field: None });
            return is_good_text(text, self.limits.max_depth).then_some(());
        }
        let members = object(text)?;
        let mut bad_fields = Vec::new();
        let mut values = Values(Vec::new());
        for (name, value) in &members {
            if !is_good_text(value.get(), self.limits.max_depth) {
                return None;
            }
            let Some(field) = (rules.field)(name) else { continue };
            values.0.push((field, value.get()));
            if !(rules.is_good)(field, value.get()) {
                bad_fields.push(field);
            }
        }
        bad_fields.extend((rules.missing)(&values));
        self.bad.extend(bad_fields.iter().map(|field| Place::Event { event: index, field: Some(*field) }));
        if self.bad.len() == bad_before {
            (rules.push)(&values, &mut self.batch);
        }
        Some(())
    }

    /// The events of a list. `None` when the text is bad.
    pub(super) fn events(&mut self, json: &str, may_be_empty: bool, rules: &Rules) -> Option<()> {
        if !json.starts_with('[') {
            self.bad.push(Place::Events);
            return is_good_text(json, self.limits.max_depth).then_some(());
        }
        let events: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        if events.is_empty() && !may_be_empty {
            self.bad.push(Place::Events);
        }
        for (index, event) in (0..).zip(&events).take(self.limits.max_events) {
            self.event(Some(index), event.get(), rules)?;
        }
        if events.len() > self.limits.max_events {
            self.bad.push(Place::Events);
        }
        Some(())
    }

    /// A body that is an object with what matters under `wanted`. `None` when the text is bad.
    pub(super) fn envelope(
        &mut self,
        body: &[u8],
        wanted: &str,
        read: impl Fn(&mut Self, &str) -> Option<()>,
    ) -> Option<()> {
        let text = whole_text(body)?;
        if !text.starts_with('{') {
            self.bad.push(Place::BODY);
            return is_good_text(text, self.limits.max_depth).then_some(());
        }
        let members = object(text)?;
        for (name, value) in &members {
            if name == wanted {
                read(self, value.get())?;
                continue;
            }
            is_good_text(value.get(), self.limits.max_depth).then_some(())?;
        }
        if !members.iter().any(|(name, _)| name == wanted) {
            self.bad.push(Place::Events);
        }
        Some(())
    }
}

const CONTRACT: Rules = Rules {
    field: Field::named,
    is_good: is_good_field,
    missing: |values| {
        let required = [Field::TransactionId, Field::Code, Field::Timestamp];
        let mut missing: Vec<Field> = required.into_iter().filter(|field| !values.has(*field)).collect();
        if is_nobody(values) {
            missing.push(Field::ExternalCustomerId);
        }
        missing
    },
    push: |values, batch| push(values, Timestamp::parse(&values.text(Field::Timestamp)).unwrap(), batch),
};

pub(super) fn is_nobody(values: &Values<'_>) -> bool {
    [Field::ExternalCustomerId, Field::ExternalSubscriptionId].iter().all(|field| values.json(*field) == "null")
}

pub(super) fn push(values: &Values<'_>, timestamp: Timestamp, batch: &mut EventBatch) {
    let properties = values.json(Field::Properties);
    batch.push(&EventRow {
        transaction_id: &values.text(Field::TransactionId),
        timestamp,
        content: Content {
            code: &values.text(Field::Code),
            customer: &values.text(Field::ExternalCustomerId),
            subscription: &values.text(Field::ExternalSubscriptionId),
            properties: if properties == "null" { "{}" } else { properties },
            precise_total_amount_cents: &decimal_text(values.json(Field::PreciseTotalAmountCents)),
        },
    });
}

fn decimal_text(json: &str) -> String {
    match json {
        "null" => String::new(),
        _ => string(json).unwrap_or_else(|| json.to_owned()),
    }
}

pub(super) fn is_name(json: &str) -> bool {
    string(json).is_some_and(|text| (1..=255).contains(&text.chars().count()) && !text.contains('\0'))
}

pub(super) fn is_good_field(field: Field, json: &str) -> bool {
    match field {
        Field::TransactionId | Field::Code => is_name(json),
        Field::ExternalCustomerId | Field::ExternalSubscriptionId => json == "null" || is_name(json),
        Field::Timestamp => string(json).is_some_and(|text| is_event_time(&text)),
        Field::Properties => json.starts_with('{'),
        Field::PreciseTotalAmountCents => {
            let is_number_or_text =
                json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
            json == "null" || (is_number_or_text && Quantity::parse(&decimal_text(json)).is_ok())
        }
        _ => unreachable!("the contract has no such field"),
    }
}

pub(super) fn is_event_time(text: &str) -> bool {
    Timestamp::parse(text).is_ok_and(|time| (Timestamp::EARLIEST..Timestamp::LATEST).contains(&time))
}

/// "Now" of every reference, and of every batch it is compared with.
pub(super) const NOW: Timestamp = Timestamp(0);

pub(super) fn verdict(limits: ParseLimits, read: impl FnOnce(&mut Reference) -> Option<()>) -> Verdict {
    let batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), NOW);
    let mut reference = Reference { limits, batch, bad: Vec::new() };
    match read(&mut reference) {
        None => Verdict::BadText,
        Some(()) if reference.bad.is_empty() => Verdict::Accepted(Box::new(reference.batch)),
        Some(()) => Verdict::BadFields(reference.bad),
    }
}

pub(super) fn whole_text(body: &[u8]) -> Option<&str> {
    Some(serde_json::from_str::<&RawValue>(std::str::from_utf8(body).ok()?).ok()?.get())
}

pub(super) fn event(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| reference.event(None, whole_text(body)?, &CONTRACT))
}

pub(super) fn batch(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| {
        reference.envelope(body, "events", |reference, json| reference.events(json, false, &CONTRACT))
    })
}
