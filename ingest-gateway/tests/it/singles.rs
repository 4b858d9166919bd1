use crate::harness::{Catalog, Gateway, KEY, batch, event, events, request};
use axum::http::StatusCode;
use domain::identity::EventId;
use domain::time::Timestamp;
use ingest_gateway::GatewayLimits;
use serde_json::json;

#[tokio::test]
async fn an_event_is_answered_as_it_is_stored() {
    let gateway = Gateway::new();
    for path in ["/v1/events/", "/v1/events"] {
        let answer = gateway.post(path, &[], event("t")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        assert_eq!(answer.json["id"], EventId::derive(crate::harness::organization(), "t").to_string());
        assert_eq!(answer.json["timestamp"], "2026-02-01T10:00:00.250Z");
        assert_eq!(answer.json["created_at"], "2026-03-01T00:00:00Z");
        assert!(answer.text.contains(r#""properties":{"n":0.10}"#), "{}", answer.text);
        assert!(answer.json.get("external_subscription_id").is_none());
    }
    assert_eq!(gateway.stored(), 1);
    gateway.assert_idle();
}

#[tokio::test]
async fn a_known_id_is_answered_with_the_event_stored_first() {
    let gateway = Gateway::new();
    gateway.post("/v1/events/", &[], event("t")).await;
    let second = gateway.post("/v1/events/", &[], event("t").replace("\"k\"", "\"other\"")).await;
    assert_eq!((second.status, &second.json["external_customer_id"]), (StatusCode::CREATED, &json!("k")));
}

#[tokio::test]
async fn an_event_may_name_a_subscription_in_place_of_a_customer() {
    let gateway = Gateway::new();
    let body = event("t").replace("external_customer_id", "external_subscription_id");
    let answer = gateway.post("/v1/events/", &[], body).await;
    assert_eq!(answer.json["external_customer_id"], "");
    assert_eq!(answer.json["external_subscription_id"], "k");
}

#[tokio::test]
async fn a_minimal_answer_is_given_when_preferred() {
    let gateway = Gateway::new();
    let answer = gateway.post("/v1/events/", &[("prefer", "respond-async, Return=Minimal; x=1")], event("t")).await;
    assert_eq!((answer.status, answer.json), (StatusCode::CREATED, json!({"ingested": 1, "duplicates": 0})));
    assert_eq!(answer.headers["preference-applied"], "return=minimal");
}

#[tokio::test]
async fn an_idempotency_key_replays_its_answer_and_refuses_another_body() {
    let gateway = Gateway::new();
    let key = [("idempotency-key", "i-1")];
    let first = gateway.post("/v1/events/", &key, event("t")).await;
    let second = gateway.post("/v1/events/", &key, event("t")).await;
    assert_eq!((second.status, &second.text), (StatusCode::CREATED, &first.text));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    assert_eq!(*gateway.sink.batches.lock().unwrap(), [1]);
    let third = gateway.post("/v1/events/", &key, event("u")).await;
    assert_eq!(third.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(gateway.stored(), 1);
}

#[tokio::test]
async fn an_idempotency_key_goes_with_a_compressed_event() {
    let gateway = Gateway::new();
    let headers = [("idempotency-key", "i-1"), ("content-encoding", "gzip")];
    let body = crate::compressed::gzip(event("t").as_bytes());
    let first = gateway.post("/v1/events/", &headers, body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED, "{}", first.text);
    let second = gateway.post("/v1/events/", &headers, body).await;
    assert_eq!((&second.text, second.headers.contains_key("idempotency-replayed")), (&first.text, true));
}

#[tokio::test]
async fn a_refused_event_gives_its_idempotency_key_back() {
    let gateway = Gateway::new();
    let key = [("idempotency-key", "i-1")];
    let refused = gateway.post("/v1/events/", &key, "{}").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(gateway.post("/v1/events/", &key, event("t")).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_code_created_a_moment_ago_is_read_through() {
    let catalog = Catalog { newer_codes: vec!["fresh"], ..Catalog::default() };
    let gateway = Gateway::with(catalog.clone(), GatewayLimits::default());
    let fresh = event("t").replace("\"api\"", "\"fresh\"");
    assert_eq!(gateway.post("/v1/events/", &[], fresh.clone()).await.status, StatusCode::CREATED);
    let gateway = Gateway::with(catalog.clone(), GatewayLimits::default());
    let all = [events(3), vec![fresh.clone()]].concat();
    assert_eq!(gateway.post("/v1/events/batch", &[], batch(&all)).await.json["ingested"], 4);
    let gateway = Gateway::with(catalog, GatewayLimits::default());
    assert_eq!(gateway.lines(all.join("\n")).await.json["ingested"], 4);
}

#[tokio::test]
async fn a_sandbox_stamps_events_with_its_own_clock() {
    let catalog = Catalog { sandbox_clock: Some(Timestamp(0)), ..Catalog::default() };
    let gateway = Gateway::with(catalog, GatewayLimits::default());
    assert_eq!(gateway.post("/v1/events/", &[], event("t")).await.json["created_at"], "1970-01-01T00:00:00Z");
}

#[tokio::test]
async fn the_document_names_every_route() {
    let document = serde_json::to_value(ingest_gateway::openapi()).unwrap();
    for path in ["/v1/events/", "/v1/events/batch", "/v1/events/void", "/api/v1/events", "/api/v1/events/batch"] {
        assert!(document["paths"][path]["post"].is_object(), "{path}");
    }
    assert!(document["components"]["schemas"]["EventCreate"]["properties"]["timestamp"].is_object());
    let gateway = Gateway::new();
    let unknown = gateway.send(request("/v1/events/nothing", &[("authorization", &format!("Bearer {KEY}"))], "")).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
}
