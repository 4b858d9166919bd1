use crate::harness::{Gateway, batch, event, events};
use axum::http::StatusCode;
use serde_json::json;

#[tokio::test]
async fn a_batch_is_answered_in_request_order() {
    let gateway = Gateway::new();
    for path in ["/v1/events/batch", "/v1/events/batch/"] {
        let answer = gateway.post(path, &[], batch(&events(3))).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let ids: Vec<_> =
            answer.json["events"].as_array().unwrap().iter().map(|event| &event["transaction_id"]).collect();
        assert_eq!(ids, ["t0", "t1", "t2"]);
    }
    gateway.assert_idle();
}

#[tokio::test]
async fn repeats_count_as_duplicates_wherever_they_stand_and_the_first_wins() {
    let gateway = Gateway::new();
    gateway.post("/v1/events/", &[], event("old")).await;
    let changed = |id: &str| event(id).replace("\"k\"", "\"changed\"");
    let body = batch(&[event("a"), changed("a"), changed("old"), event("b")]);
    let answer = gateway.post("/v1/events/batch", &[], body).await;
    assert_eq!((&answer.json["ingested"], &answer.json["duplicates"]), (&json!(2), &json!(2)));
    let customers: Vec<_> =
        answer.json["events"].as_array().unwrap().iter().map(|event| &event["external_customer_id"]).collect();
    assert_eq!(customers, ["k", "k", "k", "k"]);
}

#[tokio::test]
async fn a_minimal_answer_leaves_the_events_out_and_reads_nothing() {
    let gateway = Gateway::new();
    *gateway.sink.unreadable.lock().unwrap() = true;
    gateway.post("/v1/events/batch", &[("prefer", "return=minimal")], batch(&events(3))).await;
    let again = gateway.post("/v1/events/batch", &[("prefer", "return=minimal")], batch(&events(3))).await;
    assert_eq!((again.status, again.json), (StatusCode::CREATED, json!({"ingested": 0, "duplicates": 3})));
}

#[tokio::test]
async fn one_bad_event_refuses_the_batch_and_stores_nothing() {
    let gateway = Gateway::new();
    let mut all = events(20);
    all[17] = all[17].replace("2026-02-01T10:00:00.25Z", "2026-02-01T10:00:00");
    all[19] = all[19].replace("\"api\"", "\"unknown\"");
    let answer = gateway.post("/v1/events/batch", &[], batch(&all)).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.locs(), ["body/events/17/timestamp", "body/events/19/code"]);
    assert_eq!(answer.json["detail"][0]["type"], "timezone_aware");
    assert_eq!(answer.json["code"], "validation_error");
    assert_eq!(gateway.stored(), 0);
    gateway.assert_idle();
}

#[tokio::test]
async fn ten_thousand_events_pass_and_one_more_does_not() {
    let gateway = Gateway::new();
    let minimal = [("prefer", "return=minimal")];
    let refused = gateway.post("/v1/events/batch", &minimal, batch(&events(10_001))).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((refused.locs(), gateway.stored()), (vec!["body/events".to_owned()], 0));
    let accepted = gateway.post("/v1/events/batch", &minimal, batch(&events(10_000))).await;
    assert_eq!(accepted.json["ingested"], 10_000);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_says_that_the_events_are_kept() {
    let gateway = Gateway::new();
    gateway.post("/v1/events/", &[], event("t")).await;
    *gateway.sink.unreadable.lock().unwrap() = true;
    let answer = gateway.post("/v1/events/batch", &[], batch(&[event("t"), event("u")])).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json["code"], "maybe_kept");
    assert_eq!(gateway.stored(), 2);
}
