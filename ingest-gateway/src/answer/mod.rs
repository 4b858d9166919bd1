//! Accepted events as the contract's JSON, written straight from the columns: properties go out as they came in, to the byte.
//! Lago's form of them is in `lago.rs`.

pub(crate) mod lago;

use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use std::collections::HashMap;

/// Stored versions of events that were known before, by id.
pub(crate) type Known = HashMap<EventId, StoredEvent>;

/// Bytes of an answered event beside its texts: member names, id, two times.
const FRAME_BYTES: usize = 260;

/// One event as the client shall see it.
struct Shown<'a> {
    id: EventId,
    transaction_id: &'a str,
    customer: &'a str,
    subscription: &'a str,
    code: &'a str,
    timestamp: Timestamp,
    properties: &'a str,
    precise_total: &'a str,
    created_at: Timestamp,
}

impl<'a> Shown<'a> {
    fn stored(event: &'a StoredEvent) -> Self {
        Self {
            id: event.id,
            transaction_id: &event.transaction_id,
            customer: &event.external_customer_id,
            subscription: &event.external_subscription_id,
            code: &event.code,
            timestamp: event.timestamp,
            properties: &event.properties,
            precise_total: &event.precise_total_amount_cents,
            created_at: event.ingested_at,
        }
    }

    fn sent(batch: &'a EventBatch, row: usize) -> Self {
        Self {
            id: batch.ids[row],
            transaction_id: batch.transaction_ids.get(row),
            customer: batch.customers.get(row),
            subscription: batch.subscriptions.get(row),
            code: batch.codes.get(row),
            timestamp: batch.timestamps[row],
            properties: batch.properties.get(row),
            precise_total: batch.precise_totals.get(row),
            created_at: batch.ingested_at,
        }
    }

    /// Row `row`: its stored version where there is one.
    fn of(batch: &'a EventBatch, row: usize, known: &'a Known) -> Self {
        // A map without entries answers without hashing: the usual case.
        known.get(&batch.ids[row]).map_or_else(|| Self::sent(batch, row), Self::stored)
    }

    fn write(&self, json: &mut Vec<u8>) {
        json.extend_from_slice(b"{\"id\":\"");
        write_id(json, self.id);
        json.extend_from_slice(b"\",\"transaction_id\":");
        write_text(json, self.transaction_id);
        json.extend_from_slice(b",\"external_customer_id\":");
        write_text(json, self.customer);
        if !self.subscription.is_empty() {
            json.extend_from_slice(b",\"external_subscription_id\":");
            write_text(json, self.subscription);
        }
        json.extend_from_slice(b",\"code\":");
        write_text(json, self.code);
        json.extend_from_slice(b",\"timestamp\":\"");
        write_time(json, self.timestamp);
        json.extend_from_slice(b"\",\"properties\":");
        json.extend_from_slice(self.properties.as_bytes());
        if !self.precise_total.is_empty() {
            json.extend_from_slice(b",\"precise_total_amount_cents\":");
            write_text(json, self.precise_total);
        }
        json.extend_from_slice(b",\"created_at\":\"");
        write_time(json, self.created_at);
        json.extend_from_slice(b"\"}");
    }
}

/// `EventResponse` of row `row`: the stored version where there is one.
pub(crate) fn event(batch: &EventBatch, row: usize, known: &Known) -> Vec<u8> {
    let mut json = Vec::with_capacity(FRAME_BYTES + batch.byte_size());
    write_row(&mut json, batch, row, known);
    json
}

/// `EventBatchResponse`; without `events` when `known` is absent (`Prefer: return=minimal`).
pub(crate) fn batch(batch: &EventBatch, duplicates: usize, known: Option<&Known>) -> Vec<u8> {
    let events_bytes = known.map_or(0, |_| batch.len() * FRAME_BYTES + batch.byte_size());
    let mut json = Vec::with_capacity(64 + events_bytes);
    json.extend_from_slice(b"{\"ingested\":");
    write_integer(&mut json, batch.len() - duplicates);
    json.extend_from_slice(b",\"duplicates\":");
    write_integer(&mut json, duplicates);
    if let Some(known) = known {
        json.extend_from_slice(b",\"events\":[");
        for row in 0..batch.len() {
            if row > 0 {
                json.push(b',');
            }
            write_row(&mut json, batch, row, known);
        }
        json.push(b']');
    }
    json.push(b'}');
    json
}

fn write_row(json: &mut Vec<u8>, batch: &EventBatch, row: usize, known: &Known) {
    Shown::of(batch, row, known).write(json);
}

fn write_id(json: &mut Vec<u8>, id: EventId) {
    let mut buffer = uuid::Uuid::encode_buffer();
    json.extend_from_slice(uuid::Uuid::from_u128(id.0).hyphenated().encode_lower(&mut buffer).as_bytes());
}

fn write_integer(json: &mut Vec<u8>, number: usize) {
    json.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn write_text(json: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        json.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        return;
    }
    json.push(b'"');
    json.extend_from_slice(text.as_bytes());
    json.push(b'"');
}

/// The same text as [`Timestamp`]'s `Display`, without going through chrono (300 ns a time, two times an event).
fn write_time(json: &mut Vec<u8>, time: Timestamp) {
    if time < Timestamp::EARLIEST || time >= Timestamp::LATEST {
        json.extend_from_slice(time.to_string().as_bytes());
        return;
    }
    write_second(json, time.0 / MICROS_PER_SECOND);
    write_fraction(json, time.0 % MICROS_PER_SECOND, 0);
    json.push(b'Z');
}

/// `2026-03-01T12:00:00` of seconds since 1970, not before it.
fn write_second(json: &mut Vec<u8>, seconds: i64) {
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date_of(days);
    for (number, digits, after) in [
        (year, 4, b'-'),
        (month, 2, b'-'),
        (day, 2, b'T'),
        (second_of_day / 3_600, 2, b':'),
        (second_of_day / 60 % 60, 2, b':'),
    ] {
        write_digits(json, number, digits);
        json.push(after);
    }
    write_digits(json, second_of_day % 60, 2);
}

/// `.123456` in as many digits as it has: at least `least`, else none, three or six.
fn write_fraction(json: &mut Vec<u8>, micros: i64, least: u32) {
    let (fraction, digits) = if micros % 1_000 == 0 { (micros / 1_000, 3) } else { (micros, 6) };
    if micros > 0 || least > 0 {
        json.push(b'.');
        write_digits(json, fraction, digits);
    }
}

fn write_digits(json: &mut Vec<u8>, number: i64, digits: u32) {
    for place in (0..digits).rev() {
        // A remainder of division by ten is a digit.
        json.push(b'0' + u8::try_from(number / 10_i64.pow(place) % 10).unwrap_or(0));
    }
}

/// (year, month, day) of a day counted from 1970-01-01, not before it. Years are counted from March, so that the leap day
/// stands last, in eras of 400 years (146,097 days).
fn date_of(days_since_1970: i64) -> (i64, i64, i64) {
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    let days = days_since_1970 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    // Leap days are taken out: one each 1,461 days, none at the end of each 36,524, but one at the end of the era.
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Months from March have 31, 30, 31, 30, 31 days in turn: 153 days in five.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event_batch::EventRow;
    use domain::identity::Content;
    use domain::ids::OrganizationId;
    use domain::position::Position;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn written(time: Timestamp) -> String {
        let mut json = Vec::new();
        write_time(&mut json, time);
        String::from_utf8(json).unwrap()
    }

    #[test]
    fn every_day_until_2200_is_written_as_the_reference_does() {
        for day in 0..84_006 {
            let time = Timestamp(day * 86_400 * MICROS_PER_SECOND);
            assert_eq!(written(time), time.to_string());
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_written_as_the_reference_does(micros in prop_oneof![
            any::<i64>(),
            0..Timestamp::LATEST.0,
            (0..Timestamp::LATEST.0).prop_map(|micros| micros - micros % 1_000),
        ]) {
            prop_assert_eq!(written(Timestamp(micros)), Timestamp(micros).to_string());
        }

        #[test]
        fn any_text_reads_back_as_it_was(text in any::<String>()) {
            let mut json = Vec::new();
            write_text(&mut json, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
        }
    }

    fn sample() -> EventBatch {
        let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(1_700_000_000_000_000));
        for (transaction_id, subscription) in [("a\"1", ""), ("b", "s")] {
            let content = Content {
                code: "c",
                customer: "k",
                subscription,
                properties: r#"{"n": 0.10 }"#,
                precise_total_amount_cents: if subscription.is_empty() { "" } else { "1.50" },
            };
            batch.push(&EventRow { transaction_id, timestamp: Timestamp(1_500_000), content });
        }
        batch
    }

    #[test]
    fn an_answer_shows_the_stored_version_of_what_was_known() {
        let events = sample();
        let stored = StoredEvent {
            organization: events.organization,
            id: events.ids[0],
            transaction_id: "a\"1".into(),
            external_customer_id: "first".into(),
            external_subscription_id: String::new(),
            code: "c".into(),
            timestamp: Timestamp(0),
            properties: "{}".into(),
            precise_total_amount_cents: String::new(),
            ingested_at: Timestamp(0),
            position: Position { epoch: 0, partition: 0, offset: 1, index: 0 },
        };
        let json = batch(&events, 1, Some(&Known::from([(events.ids[0], stored)])));
        let answer: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((&answer["ingested"], &answer["duplicates"]), (&json!(1), &json!(1)));
        assert_eq!(answer["events"][0]["external_customer_id"], "first");
        assert_eq!(answer["events"][0]["created_at"], "1970-01-01T00:00:00Z");
        assert_eq!(
            answer["events"][1],
            json!({
                "id": events.ids[1].to_string(), "transaction_id": "b", "external_customer_id": "k",
                "external_subscription_id": "s", "code": "c", "timestamp": "1970-01-01T00:00:01.500Z",
                "properties": {"n": serde_json::from_str::<Value>("0.10").unwrap()},
                "precise_total_amount_cents": "1.50", "created_at": "2023-11-14T22:13:20Z",
            })
        );
        assert!(String::from_utf8(json).unwrap().contains(r#""properties":{"n": 0.10 }"#));
    }

    #[test]
    fn a_minimal_answer_leaves_the_events_out() {
        assert_eq!(batch(&sample(), 0, None), br#"{"ingested":2,"duplicates":0}"#);
    }
}
