use crate::harness::{Gateway, event, organization};
use axum::http::StatusCode;

#[tokio::test]
async fn a_void_is_durable_whether_its_event_has_come_or_not() {
    let gateway = Gateway::new();
    gateway.post("/v1/events/", &[], event("t")).await;
    for path in ["/v1/events/void", "/v1/events/void/"] {
        for id in ["t", "t", "not yet"] {
            let answer = gateway.post(path, &[], format!("{{\"transaction_id\":\"{id}\"}}")).await;
            assert_eq!((answer.status, &answer.json["status"]), (StatusCode::OK, &"voided".into()), "{}", answer.text);
        }
    }
    let voids = gateway.sink.voids.lock().unwrap();
    assert_eq!(voids.len(), 2);
    assert!(voids.contains(&(organization(), "not yet".into())));
}

#[tokio::test]
async fn a_void_of_nothing_is_refused() {
    let gateway = Gateway::new();
    let long = format!("{{\"transaction_id\":\"{}\"}}", "x".repeat(256));
    for body in
        ["", "{}", r#"{"transaction_id":""}"#, r#"{"transaction_id":1}"#, r#"{"transaction_id":"\u0000"}"#, &long]
    {
        let answer = gateway.post("/v1/events/void", &[], body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    assert!(gateway.sink.voids.lock().unwrap().is_empty());
}
