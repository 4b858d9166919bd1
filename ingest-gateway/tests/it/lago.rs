//! What clients of Lago send and read.

use crate::compressed::{gzip, zstd};
use crate::harness::{Catalog, Gateway, organization};
use axum::http::StatusCode;
use domain::identity::EventId;
use domain::time::Timestamp;
use ingest_gateway::GatewayLimits;
use serde_json::{Value, json};

const SINGLE: &str = "/api/v1/events";
const BATCH: &str = "/api/v1/events/batch";

fn event(transaction_id: &str) -> String {
    format!(
        r#"{{"transaction_id":"{transaction_id}","external_subscription_id":"s","code":"no metric yet","timestamp":1651240791.123,"precise_total_amount_cents":"12.50","properties":{{"n":0.10}}}}"#
    )
}

fn single(event: &str) -> String {
    format!("{{\"event\":{event}}}")
}

fn batch(events: &[String]) -> String {
    format!("{{\"events\":[{}]}}", events.join(","))
}

#[tokio::test]
async fn an_event_is_answered_in_lagos_form() {
    let gateway = Gateway::new();
    for path in [SINGLE, "/api/v1/events/"] {
        let answer = gateway.post(path, &[], single(&event("t"))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert!(answer.text.contains(r#""properties":{"n":0.10}"#), "{}", answer.text);
        let mut shown = answer.json["event"].clone();
        shown["properties"] = Value::Null;
        let expected = json!({
            "lago_id": EventId::derive(organization(), "t").to_string(), "transaction_id": "t",
            "lago_customer_id": null, "external_customer_id": "", "lago_subscription_id": null,
            "external_subscription_id": "s", "code": "no metric yet", "timestamp": "2022-04-29T13:59:51.123Z",
            "precise_total_amount_cents": "12.50", "properties": null, "created_at": "2026-03-01T00:00:00Z",
        });
        assert_eq!(shown, expected);
    }
    assert_eq!(gateway.stored(), 1, "sent twice");
    gateway.assert_idle();
}

#[tokio::test]
async fn a_batch_is_answered_in_order_and_all_or_nothing() {
    let gateway = Gateway::new();
    let events: Vec<String> = (0..250).map(|number| event(&number.to_string())).collect();
    let answer = gateway.post(BATCH, &[], batch(&events)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let shown = answer.json["events"].as_array().unwrap();
    let ids: Vec<&str> = shown.iter().map(|event| event["transaction_id"].as_str().unwrap()).collect();
    assert_eq!(ids, (0..250).map(|number| number.to_string()).collect::<Vec<_>>());

    let wrong = [event("good"), r#"{"code":"","timestamp":"now","external_subscription_id":"s"}"#.into(), "7".into()];
    let answer = gateway.post(BATCH, &[], batch(&wrong)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((&answer.json["status"], &answer.json["code"]), (&json!(422), &json!("validation_errors")));
    assert_eq!(answer.json["error"], "Unprocessable Entity");
    let details = json!({
        "1": {"code": ["value_is_mandatory"], "timestamp": ["invalid_format"], "transaction_id": ["value_is_mandatory"]},
        "2": {"event": ["value_is_invalid"]},
    });
    assert_eq!(answer.json["error_details"], details);
    assert_eq!(gateway.stored(), 250);
}

#[tokio::test]
async fn a_time_that_is_absent_or_null_is_now() {
    let catalog = Catalog { sandbox_clock: Some(Timestamp(1_500_000)), ..Catalog::default() };
    let gateway = Gateway::with(catalog, GatewayLimits::default());
    for timestamp in ["", r#""timestamp":null,"#] {
        let body = format!(r#"{{"event":{{{timestamp}"transaction_id":"t","code":"c","external_customer_id":"k"}}}}"#);
        let answer = gateway.post(SINGLE, &[], body).await;
        assert_eq!(answer.json["event"]["timestamp"], "1970-01-01T00:00:01.500Z", "{}", answer.text);
        assert_eq!(answer.json["event"]["external_customer_id"], "k");
    }
}

#[tokio::test]
async fn what_holds_no_event_is_a_400_and_the_wrong_thing_a_422() {
    let gateway = Gateway::new();
    for body in ["", "{", "[]", "null", "{}", r#"{"events":[]}"#, "{\"event\":{\"a\":1,\"a\":2}}", "\u{feff}{}"] {
        let answer = gateway.post(SINGLE, &[], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
        assert_eq!(answer.json["status"], 400);
        assert!(answer.json["error"].as_str().unwrap().starts_with("BadRequest: "), "{}", answer.text);
    }
    let missing = gateway.post(SINGLE, &[], "{}").await;
    assert_eq!(missing.json["error"], "BadRequest: param is missing or the value is empty: event");
    for (body, details) in [
        ("{}", json!({"events": ["no_events"]})),
        (r#"{"events":[]}"#, json!({"events": ["no_events"]})),
        (r#"{"events":{}}"#, json!({"events": ["no_events"]})),
        (r#"{"event":{}}"#, json!({"events": ["no_events"]})),
    ] {
        let answer = gateway.post(BATCH, &[], body).await;
        assert_eq!(
            (answer.status, &answer.json["error_details"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &details),
            "{body}"
        );
    }
    let too_many = Gateway::with(Catalog::default(), GatewayLimits { max_batch_events: 2, ..GatewayLimits::default() });
    let answer = too_many.post(BATCH, &[], batch(&[event("a"), event("b"), event("c")])).await;
    assert_eq!(answer.json["error_details"], json!({"events": ["too_many_events"]}));
    let member = |name: &str, json: &str| {
        let mut value: Value = serde_json::from_str(&event("t")).unwrap();
        value.as_object_mut().unwrap().remove(name);
        single(&format!("{{\"{name}\":{json},{}", &value.to_string()[1..]))
    };
    for (name, json, code) in [
        ("transaction_id", "\"\"", "value_is_mandatory"),
        ("transaction_id", "7", "value_is_invalid"),
        ("code", &format!("\"{}\"", "x".repeat(256)), "value_is_too_long"),
        ("timestamp", "\"2022-04-29T13:59:51\"", "invalid_format"),
        ("timestamp", "true", "invalid_format"),
        ("timestamp", "1651240791123", "invalid_format"),
        ("properties", "[]", "value_is_invalid"),
        ("precise_total_amount_cents", "\"1,5\"", "value_is_invalid"),
    ] {
        let answer = gateway.post(SINGLE, &[], member(name, json)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name} {json}: {}", answer.text);
        assert_eq!(answer.json["error_details"], json!({name: [code]}), "{name} {json}");
    }
    assert_eq!(gateway.stored(), 0);
    gateway.assert_idle();
}

#[tokio::test]
async fn refusals_keep_their_headers_and_have_lagos_form() {
    let gateway = Gateway::new();
    let nobody = gateway.send(crate::harness::request(SINGLE, &[("content-type", "application/json")], "{}")).await;
    assert_eq!((nobody.status, &nobody.json["error"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")));
    assert!(nobody.headers.contains_key("www-authenticate"));
    let media = gateway.post(BATCH, &[("content-type", "text/plain")], batch(&[event("t")])).await;
    assert_eq!((media.status, &media.json["status"]), (StatusCode::UNSUPPORTED_MEDIA_TYPE, &json!(415)));
    gateway.sink.capacity.store(10, std::sync::atomic::Ordering::SeqCst);
    let full = gateway.post(SINGLE, &[], single(&event("t"))).await;
    assert_eq!((full.status, &full.json["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("overloaded")));
    assert_eq!(full.headers["retry-after"], "2");
    let limits = GatewayLimits { max_batch_events: 50, ..GatewayLimits::default() };
    let limited = Gateway::with(Catalog { organization_rate: Some(1), ..Catalog::default() }, limits);
    let events: Vec<String> = (0..50).map(|number| event(&number.to_string())).collect();
    // A full batch is always within the burst; a second one at once is not.
    assert_eq!(limited.post(BATCH, &[], batch(&events)).await.status, StatusCode::OK);
    let answer = limited.post(BATCH, &[], batch(&events)).await;
    assert_eq!((answer.status, &answer.json["error"]), (StatusCode::TOO_MANY_REQUESTS, &json!("Too Many Requests")));
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(gateway.stored(), 0);
}

#[tokio::test]
async fn a_preference_for_less_is_answered_204() {
    let gateway = Gateway::new();
    let answer = gateway.post(SINGLE, &[("prefer", "return=minimal")], single(&event("t"))).await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(gateway.stored(), 1);
}

#[tokio::test]
async fn compressed_bodies_are_taken_and_damaged_ones_are_400() {
    for (encoding, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let gateway = Gateway::new();
        let header = [("content-encoding", encoding)];
        let body = compress(batch(&[event("a"), event("b")]).as_bytes());
        let cut = gateway.post(BATCH, &header, body[..body.len() - 3].to_vec()).await;
        assert_eq!((cut.status, gateway.stored()), (StatusCode::BAD_REQUEST, 0), "{}", cut.text);
        assert_eq!(gateway.post(BATCH, &header, body).await.status, StatusCode::OK);
        let bomb = compress(&vec![b' '; 33 << 20]);
        let answer = gateway.post(SINGLE, &header, bomb).await;
        assert_eq!((answer.status, &answer.json["status"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!(413)));
        assert_eq!(gateway.stored(), 2);
        gateway.assert_idle();
    }
}
