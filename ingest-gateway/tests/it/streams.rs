use crate::harness::{Gateway, event, events};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use ingest_gateway::{GatewayLimits, SinkError};
use serde_json::{Value, json};
use std::time::Duration;

fn failing(call: usize) -> Gateway {
    let gateway = Gateway::new();
    let error = SinkError::MaybeKept { reason: "disk full".into(), retry_after: Duration::from_secs(1) };
    gateway.sink.failures.lock().unwrap().insert(call, error);
    gateway
}

/// A body of these chunks that then stands still for ever.
fn stalling(chunks: Vec<String>) -> Body {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    for chunk in chunks {
        sender.send(Ok(chunk.into())).unwrap();
    }
    let state = (receiver, sender);
    Body::from_stream(futures::stream::unfold(state, |(mut receiver, sender)| async {
        receiver.recv().await.map(|chunk| (chunk, (receiver, sender)))
    }))
}

#[tokio::test]
async fn good_lines_are_kept_and_bad_lines_are_listed() {
    let gateway = Gateway::new();
    let lines = [
        event("a"),
        "not json".into(),
        String::new(),
        event("b").replace("\"api\"", "\"nothing\""),
        "  \r".into(),
        event("c").replace("Z\"", "\""),
        event("a"),
        event("d") + "\r",
        "[]".into(),
        event("e"),
    ];
    let answer = gateway.lines(lines.join("\n")).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    assert_eq!(
        [&answer.json["ingested"], &answer.json["duplicates"], &answer.json["rejected"]],
        [&json!(3), &json!(1), &json!(4)]
    );
    let errors: Vec<(&Value, &Value)> =
        answer.json["errors"].as_array().unwrap().iter().map(|error| (&error["line"], &error["field"])).collect();
    let expected =
        [(json!(2), Value::Null), (json!(4), json!("code")), (json!(6), json!("timestamp")), (json!(9), Value::Null)];
    assert_eq!(errors, expected.iter().map(|(line, field)| (line, field)).collect::<Vec<_>>());
    assert!(answer.json.get("aborted").is_none());
    gateway.assert_idle();
}

#[tokio::test]
async fn an_empty_stream_stores_nothing_and_says_so() {
    for body in ["", "\n", "\n\n \n"] {
        let answer = Gateway::new().lines(body).await;
        assert_eq!(answer.json, json!({"ingested": 0, "duplicates": 0, "rejected": 0, "errors": []}));
    }
}

#[tokio::test]
async fn a_hundred_bad_lines_are_listed_and_all_are_counted() {
    let answer = Gateway::new().lines("{}\n".repeat(1_000) + &event("t")).await;
    assert_eq!(answer.json["rejected"], 1_000);
    assert_eq!(answer.json["errors"].as_array().unwrap().len(), 100);
    assert_eq!(answer.json["ingested"], 1);
}

#[tokio::test]
async fn a_stream_is_stored_in_batches_whatever_its_chunks_are() {
    let text = events(20_000).join("\n") + "\n";
    for chunk_bytes in [997, 65_536] {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            text.as_bytes().chunks(chunk_bytes).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let gateway = Gateway::new();
        let answer = gateway.lines(Body::from_stream(futures::stream::iter(chunks))).await;
        assert_eq!((&answer.json["ingested"], gateway.stored()), (&json!(20_000), 20_000));
        assert!(gateway.sink.batches.lock().unwrap().len() > 3);
    }
}

#[tokio::test]
async fn a_line_past_its_limit_is_rejected_and_the_next_is_kept() {
    let gateway = Gateway::with(
        crate::harness::Catalog::default(),
        GatewayLimits { max_line_bytes: 400, ..GatewayLimits::default() },
    );
    let long = event("long").replace("0.10", &format!("\"{}\"", "x".repeat(400)));
    let answer = gateway.lines([event("a"), long.clone(), event("b"), long].join("\n")).await;
    assert_eq!((&answer.json["ingested"], &answer.json["rejected"]), (&json!(2), &json!(2)));
    assert_eq!(answer.json["errors"][0]["line"], 2);
}

#[tokio::test]
async fn a_sink_that_fails_at_once_is_a_503_and_later_an_aborted_stream() {
    let text = events(20_000).join("\n");
    let gateway = failing(0);
    // The batches after it are stored all the same; the answer counts them and names the first line in doubt.
    let answer = gateway.lines(text.clone()).await;
    match answer.status {
        StatusCode::CREATED => assert_eq!(answer.json["aborted"]["line"], 1),
        status => assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE),
    }
    let gateway = failing(1);
    let answer = gateway.lines(text).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    let first = gateway.sink.batches.lock().unwrap()[0];
    assert_eq!(answer.json["aborted"]["line"], first + 1);
    assert!(answer.json["aborted"]["reason"].as_str().unwrap().contains("again is safe"));
    assert_eq!(answer.json["ingested"], gateway.stored());
    let gateway = failing(0);
    assert_eq!(gateway.lines(event("t")).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn lines_of_a_trickling_stream_are_stored_before_it_ends() {
    let gateway = Gateway::new();
    let answer = gateway.lines(stalling(vec![event("a") + "\n", event("b") + "\n" + &event("c")])).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!((&answer.json["ingested"], &answer.json["aborted"]["line"]), (&json!(2), &json!(3)));
    assert!(answer.json["aborted"]["reason"].as_str().unwrap().contains("within 30 seconds"));
    gateway.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stands_still_before_its_first_line_is_a_408() {
    let gateway = Gateway::new();
    assert_eq!(gateway.lines(stalling(vec!["{".into()])).await.status, StatusCode::REQUEST_TIMEOUT);
    let single = gateway.post("/v1/events/", &[], stalling(vec!["{".into()])).await;
    assert_eq!((single.status, &single.json["code"]), (StatusCode::REQUEST_TIMEOUT, &"body_timeout".into()));
    gateway.assert_idle();
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing_of_a_json_batch() {
    let gateway = Gateway::new();
    let broken = || {
        let chunks = [Ok(Bytes::from(event("a") + "\n")), Err(std::io::Error::other("reset"))];
        Body::from_stream(futures::stream::iter(chunks))
    };
    assert_eq!(gateway.post("/v1/events/", &[], broken()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(gateway.lines(broken()).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(gateway.stored(), 0);
}
