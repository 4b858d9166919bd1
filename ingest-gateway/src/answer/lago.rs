//! Accepted events and refusals in Lago's forms.
//!
//! An event is answered with our id as `lago_id`; `lago_customer_id` and `lago_subscription_id` are null: whose usage it is, is
//! found when it is rated. Times have at least milliseconds, as Lago's have. A refusal is `{"status", "error", "code",
//! "error_details"}`, with our own words for people in `detail`.

use super::{Known, Shown, write_fraction, write_id, write_second, write_text, write_time};
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::event_batch::EventBatch;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use http_api::error::Loc;
use http_api::{ApiError, FieldError};
use serde_json::{Map, Value, json};

/// Bytes of an answered event beside its texts.
const FRAME_BYTES: usize = 360;

/// `{"event": {…}}`.
pub(crate) fn event(batch: &EventBatch, known: &Known) -> Vec<u8> {
    let mut json = Vec::with_capacity(FRAME_BYTES + batch.byte_size());
    json.extend_from_slice(b"{\"event\":");
    write(&Shown::of(batch, 0, known), &mut json);
    json.push(b'}');
    json
}

/// `{"events": […]}`.
pub(crate) fn events(batch: &EventBatch, known: &Known) -> Vec<u8> {
    let mut json = Vec::with_capacity(batch.len() * FRAME_BYTES + batch.byte_size());
    json.extend_from_slice(b"{\"events\":[");
    for row in 0..batch.len() {
        if row > 0 {
            json.push(b',');
        }
        write(&Shown::of(batch, row, known), &mut json);
    }
    json.extend_from_slice(b"]}");
    json
}

fn write(event: &Shown<'_>, json: &mut Vec<u8>) {
    json.extend_from_slice(b"{\"lago_id\":\"");
    write_id(json, event.id);
    json.extend_from_slice(b"\",\"transaction_id\":");
    write_text(json, event.transaction_id);
    json.extend_from_slice(b",\"lago_customer_id\":null,\"external_customer_id\":");
    write_text(json, event.customer);
    json.extend_from_slice(b",\"lago_subscription_id\":null,\"external_subscription_id\":");
    write_text(json, event.subscription);
    json.extend_from_slice(b",\"code\":");
    write_text(json, event.code);
    json.extend_from_slice(b",\"timestamp\":\"");
    write_millis(json, event.timestamp);
    json.extend_from_slice(b"\",\"precise_total_amount_cents\":");
    match event.precise_total {
        "" => json.extend_from_slice(b"null"),
        total => write_text(json, total),
    }
    json.extend_from_slice(b",\"properties\":");
    json.extend_from_slice(event.properties.as_bytes());
    json.extend_from_slice(b",\"created_at\":\"");
    write_time(json, event.created_at);
    json.extend_from_slice(b"\"}");
}

/// An event's time lies in the years that are written digit by digit: the parser refuses others.
fn write_millis(json: &mut Vec<u8>, time: Timestamp) {
    write_second(json, time.0 / MICROS_PER_SECOND);
    write_fraction(json, time.0 % MICROS_PER_SECOND, 3);
    json.push(b'Z');
}

/// A refusal as Lago's clients read it. Headers (`Retry-After`, `WWW-Authenticate`) and the report for the log stay.
pub(crate) fn refusal(error: ApiError) -> Response {
    let (status, body) = match unusable_body(&error) {
        Some(reason) => {
            let body = json!({"status": 400, "error": format!("BadRequest: {reason}"), "code": error.code()});
            (StatusCode::BAD_REQUEST, body)
        }
        None => (error.status(), refusal_body(&error)),
    };
    let (mut parts, _) = error.into_response().into_parts();
    parts.status = status;
    parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Response::from_parts(parts, Body::from(body.to_string()))
}

/// What Lago answers with 400: a body that is no JSON, or that holds no event.
fn unusable_body(error: &ApiError) -> Option<String> {
    let fault = error.faults().first()?;
    let is_text = fault.kind.starts_with("json_") || fault.kind == "encoding_invalid" || fault.loc.len() == 1;
    if is_text {
        return Some(fault.msg.clone());
    }
    let is_missing = fault.kind == "missing" && fault.loc[..] == [Loc::from("body"), Loc::from("event")];
    is_missing.then(|| "param is missing or the value is empty: event".to_owned())
}

fn refusal_body(error: &ApiError) -> Value {
    let status = error.status();
    let mut body = Map::new();
    body.insert("status".into(), status.as_u16().into());
    body.insert("error".into(), status.canonical_reason().unwrap_or("Error").into());
    let is_validation = !error.faults().is_empty();
    body.insert("code".into(), if is_validation { "validation_errors" } else { error.code() }.into());
    if is_validation {
        body.insert("error_details".into(), details(error.faults()));
    }
    body.insert("detail".into(), error.detail_text().into());
    Value::Object(body)
}

/// `{"code": ["value_is_mandatory"]}`; in a batch `{"3": {"code": […]}}`.
fn details(faults: &[FieldError]) -> Value {
    let mut details = Map::new();
    for fault in faults {
        let (index, field) = match &fault.loc[1..] {
            [_, Loc::Index(index), Loc::Name(field)] => (Some(index.to_string()), field.as_ref()),
            [_, Loc::Index(index)] => (Some(index.to_string()), "event"),
            [.., Loc::Name(field)] => (None, field.as_ref()),
            _ => (None, "event"),
        };
        let holder = match index {
            None => &mut details,
            Some(index) => match details.entry(index).or_insert_with(|| json!({})) {
                Value::Object(event) => event,
                _ => continue,
            },
        };
        if let Value::Array(codes) = holder.entry(field).or_insert_with(|| json!([])) {
            codes.push(code_of(fault, field).into());
        }
    }
    Value::Object(details)
}

fn code_of(fault: &FieldError, field: &str) -> &'static str {
    match (fault.kind.as_ref(), field) {
        ("too_long", _) => "too_many_events",
        (_, "events") => "no_events",
        ("missing" | "string_too_short", _) => "value_is_mandatory",
        ("string_too_long", _) => "value_is_too_long",
        (kind, _) if kind.starts_with("datetime") || kind.starts_with("timezone") => "invalid_format",
        _ => "value_is_invalid",
    }
}
