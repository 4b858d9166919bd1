//! The rules of Lago's events and of CloudEvents for the slow parser.

use super::reference::{
    NOW, Rules, Values, Verdict, is_event_time, is_good_field, is_good_text, is_name, is_nobody, object, push, string,
    verdict, whole_text,
};
use super::{Field, ParseLimits};
use base64::Engine;
use bigdecimal::BigDecimal;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use num_traits::ToPrimitive;
use std::str::FromStr;

/// The instant of a Lago timestamp: seconds in big decimals, or RFC 3339.
fn lago_time(json: &str) -> Option<Timestamp> {
    let text = string(json).unwrap_or_else(|| json.to_owned());
    let plain = text.strip_prefix('-').unwrap_or(&text);
    let is_number = plain.starts_with(|first: char| first.is_ascii_digit())
        && text.ends_with(|last: char| last.is_ascii_digit())
        && !plain[1..].contains('_');
    // A number beyond what a quantity may hold ("1E-40") is none in either form.
    let is_bounded = Quantity::parse(&text).is_ok();
    let seconds = if is_number && is_bounded { BigDecimal::from_str(&text).ok() } else { None };
    let micros = seconds
        .map(|seconds| (seconds * BigDecimal::from(1_000_000)).with_scale_round(0, bigdecimal::RoundingMode::Floor));
    let instant = match micros {
        Some(micros) => Timestamp(micros.to_i64()?),
        None => Timestamp::parse(&text).ok()?,
    };
    (Timestamp::EARLIEST..Timestamp::LATEST).contains(&instant).then_some(instant)
}

const LAGO: Rules = Rules {
    field: Field::named,
    is_good: |field, json| match field {
        Field::Timestamp => {
            let may_be = json.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
            json == "null" || (may_be && lago_time(json).is_some())
        }
        Field::Properties => json == "null" || json.starts_with('{'),
        _ => is_good_field(field, json),
    },
    missing: |values| {
        let required = [Field::TransactionId, Field::Code];
        let mut missing: Vec<Field> = required.into_iter().filter(|field| !values.has(*field)).collect();
        if is_nobody(values) {
            missing.push(Field::ExternalSubscriptionId);
        }
        missing
    },
    push: |values, batch| {
        let json = values.json(Field::Timestamp);
        push(values, if json == "null" { NOW } else { lago_time(json).unwrap() }, batch);
    },
};

pub(super) fn lago_event(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| reference.envelope(body, "event", |reference, json| reference.event(None, json, &LAGO)))
}

pub(super) fn lago_batch(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| {
        reference.envelope(body, "events", |reference, json| reference.events(json, false, &LAGO))
    })
}

fn is_source(json: &str) -> bool {
    is_name(json)
        && !string(json).unwrap().contains(|character: char| character.is_whitespace() || character.is_control())
}

/// The text of a JSON object in base64.
fn decoded(json: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(string(json)?).ok()?;
    let text = whole_text(&bytes)?;
    (text.starts_with('{') && is_good_text(text, 64) && object(text).is_some()).then(|| text.to_owned())
}

fn names_json(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap().trim().to_lowercase();
    ["application/json", "text/json"].contains(&essence.as_str()) || essence.ends_with("+json")
}

/// A name that is good, else nothing.
fn good_text(values: &Values<'_>, field: Field) -> String {
    let is_good = if field == Field::Source { is_source } else { is_name };
    if is_good(values.json(field)) { values.text(field) } else { String::new() }
}

fn cloud_event_transaction_id(values: &Values<'_>) -> String {
    format!("{} {}", good_text(values, Field::Source), good_text(values, Field::Id))
}

const CLOUD_EVENT: Rules = Rules {
    field: Field::of_cloud_event,
    is_good: |field, json| match field {
        Field::SpecVersion => string(json).is_some_and(|text| text == "1.0"),
        Field::Id | Field::Type => is_name(json),
        Field::Source => is_source(json),
        Field::Subject => json == "null" || is_name(json),
        Field::Time => json == "null" || string(json).is_some_and(|text| is_event_time(&text)),
        Field::DataContentType => json == "null" || string(json).is_some_and(|text| names_json(&text)),
        Field::Data => json == "null" || json.starts_with('{'),
        Field::DataBase64 => json == "null" || decoded(json).is_some(),
        _ => unreachable!("CloudEvents have no such field"),
    },
    missing: |values| {
        let required = [Field::SpecVersion, Field::Id, Field::Source, Field::Type];
        let mut missing: Vec<Field> = required.into_iter().filter(|field| !values.has(*field)).collect();
        if values.json(Field::Subject) == "null" {
            missing.push(Field::Subject);
        }
        if values.has(Field::Data) && values.has(Field::DataBase64) {
            missing.push(Field::DataBase64);
        }
        if cloud_event_transaction_id(values).chars().count() > 255 {
            missing.push(Field::Id);
        }
        missing
    },
    push: push_cloud_event,
};

fn push_cloud_event(values: &Values<'_>, batch: &mut EventBatch) {
    let time = values.json(Field::Time);
    let properties = match (values.json(Field::Data), values.json(Field::DataBase64)) {
        ("null", "null") => "{}".to_owned(),
        ("null", base64) => decoded(base64).unwrap(),
        (object, _) => object.to_owned(),
    };
    batch.push(&EventRow {
        transaction_id: &cloud_event_transaction_id(values),
        timestamp: if time == "null" { NOW } else { Timestamp::parse(&values.text(Field::Time)).unwrap() },
        content: Content {
            code: &values.text(Field::Type),
            customer: &values.text(Field::Subject),
            subscription: "",
            properties: &properties,
            precise_total_amount_cents: "",
        },
    });
}

pub(super) fn cloud_event(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| reference.event(None, whole_text(body)?, &CLOUD_EVENT))
}

pub(super) fn cloud_events(body: &[u8], limits: ParseLimits) -> Verdict {
    verdict(limits, |reference| reference.events(whole_text(body)?, true, &CLOUD_EVENT))
}
