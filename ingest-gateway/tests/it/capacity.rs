use crate::harness::{Catalog, Gateway, batch, event, events};
use axum::http::StatusCode;
use ingest_gateway::{GatewayLimits, SinkError};
use std::sync::atomic::Ordering;
use std::time::Duration;

fn limited(organization_rate: Option<u32>, key_rate: Option<u32>) -> Gateway {
    let limits = GatewayLimits { max_batch_events: 10, ..GatewayLimits::default() };
    Gateway::with(Catalog { organization_rate, key_rate, ..Catalog::default() }, limits)
}

#[tokio::test(start_paused = true)]
async fn events_over_a_limit_are_refused_before_anything_is_accepted() {
    for gateway in [limited(Some(10), None), limited(None, Some(10)), limited(Some(10), Some(1_000))] {
        let first = gateway.post("/v1/events/batch", &[], batch(&events(8))).await;
        assert_eq!(first.status, StatusCode::CREATED);
        let second = gateway.post("/v1/events/batch", &[], batch(&events(10))).await;
        assert_eq!((second.status, &second.json["code"]), (StatusCode::TOO_MANY_REQUESTS, &"rate_limited".into()));
        assert_eq!(second.headers["retry-after"], "1");
        assert_eq!(gateway.stored(), 8);
        // Two events are left: what was refused cost nothing.
        assert_eq!(gateway.post("/v1/events/", &[], event("a")).await.status, StatusCode::CREATED);
        assert_eq!(gateway.post("/v1/events/void", &[], r#"{"transaction_id":"a"}"#).await.status, StatusCode::OK);
        assert_eq!(gateway.post("/v1/events/", &[], event("b")).await.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(gateway.lines(event("b")).await.status, StatusCode::TOO_MANY_REQUESTS);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(gateway.post("/v1/events/batch", &[], batch(&events(10))).await.status, StatusCode::CREATED);
        gateway.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_a_limit_is_slowed_down_to_it() {
    let limits = GatewayLimits { max_batch_events: 100, ..GatewayLimits::default() };
    let catalog = Catalog { organization_rate: Some(1_000), ..Catalog::default() };
    let gateway = Gateway::with(catalog, limits);
    let started = tokio::time::Instant::now();
    let answer = gateway.lines(events(20_000).join("\n")).await;
    assert_eq!(answer.json["ingested"], 20_000);
    // One second's worth at once, 19 seconds for the rest.
    let seconds = started.elapsed().as_secs();
    assert!((19..=24).contains(&seconds), "{seconds} s");
}

#[tokio::test]
async fn without_room_a_request_is_refused_before_anything_is_accepted() {
    let gateway = Gateway::new();
    gateway.sink.capacity.store(1_000, Ordering::SeqCst);
    let many = batch(&events(50));
    let length = many.len().to_string();
    for headers in [vec![], vec![("content-length", length.as_str())]] {
        let answer = gateway.post("/v1/events/batch", &headers, many.clone()).await;
        assert_eq!((answer.status, &answer.json["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"overloaded".into()));
        assert_eq!(answer.headers["retry-after"], "2");
    }
    assert_eq!(gateway.lines(event("t")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        gateway.post("/v1/events/void", &[], r#"{"transaction_id":"a"}"#).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(gateway.stored(), 0);
    gateway.assert_idle();
}

#[tokio::test]
async fn what_a_request_holds_grows_with_it_and_is_given_back() {
    let gateway = Gateway::new();
    let body = batch(&events(10_000));
    let answer = gateway.post("/v1/events/batch", &[("prefer", "return=minimal")], body.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let most = gateway.sink.most_admitted.load(Ordering::SeqCst);
    assert!((body.len()..3 * body.len()).contains(&most), "{most} for {}", body.len());
    gateway.assert_idle();
}

#[tokio::test]
async fn a_store_that_fails_midway_says_that_sending_again_is_safe() {
    let gateway = Gateway::new();
    let error = SinkError::MaybeKept { reason: "disk full".into(), retry_after: Duration::from_secs(7) };
    gateway.sink.failures.lock().unwrap().insert(0, error);
    let answer = gateway.post("/v1/events/batch", &[], batch(&events(2))).await;
    assert_eq!((answer.status, &answer.json["code"]), (StatusCode::SERVICE_UNAVAILABLE, &"maybe_kept".into()));
    assert!(answer.json["detail"].as_str().unwrap().contains("sending the same transaction_ids again is safe"));
    assert_eq!(answer.headers["retry-after"], "7");
}
