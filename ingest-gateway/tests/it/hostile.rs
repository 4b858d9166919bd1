//! Bodies that are wrong: a precise 4xx, nothing stored, never a panic, never a 5xx.

use crate::harness::{Gateway, batch, event};
use axum::http::StatusCode;
use proptest::prelude::*;

/// A body that replaces `member` of a good event by `json`.
fn with(member: &str, json: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(&event("t")).unwrap();
    value.as_object_mut().unwrap().remove(member);
    let rest = value.to_string();
    format!("{{\"{member}\":{json},{}", &rest[1..])
}

async fn assert_refused(body: &str, loc: &str) {
    let gateway = Gateway::new();
    let single = gateway.post("/v1/events/", &[], body.to_owned()).await;
    assert_eq!(single.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(single.locs(), [loc.to_owned()], "{body}: {}", single.text);
    let many = gateway.post("/v1/events/batch", &[], batch(&[event("good"), body.to_owned()])).await;
    assert_eq!(many.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    assert_eq!(many.locs(), [loc.replacen("body", "body/events/1", 1)], "{body}: {}", many.text);
    assert_eq!(gateway.stored(), 0);
    let stream = gateway.lines(format!("{}\n{body}\n", event("good"))).await;
    assert_eq!((&stream.json["ingested"], &stream.json["rejected"]), (&1.into(), &1.into()), "{body}");
    assert_eq!(stream.json["errors"][0]["line"], 2);
    let field = loc.strip_prefix("body/").map_or(serde_json::Value::Null, Into::into);
    assert_eq!(stream.json["errors"][0]["field"], field, "{body}");
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_by_event_and_field() {
    for member in ["transaction_id", "code", "external_customer_id", "external_subscription_id", "timestamp"] {
        for json in ["1", "1.5", "true", "[]", "{}", "[\"a\"]"] {
            assert_refused(&with(member, json), &format!("body/{member}")).await;
        }
    }
    for member in ["transaction_id", "code", "timestamp"] {
        assert_refused(&with(member, "null"), &format!("body/{member}")).await;
    }
    for json in ["1", "true", "null", "[]", "\"{}\""] {
        assert_refused(&with("properties", json), "body/properties").await;
    }
    for json in ["true", "[]", "{}", "\"\"", "\"1,5\"", "\"Infinity\"", "\"0x10\"", "1e999", "\" 1\""] {
        assert_refused(&with("precise_total_amount_cents", json), "body/precise_total_amount_cents").await;
    }
}

#[tokio::test]
async fn names_that_are_empty_over_long_or_hold_nul_are_refused() {
    let long = format!("\"{}\"", "é".repeat(256));
    for member in ["transaction_id", "code", "external_customer_id", "external_subscription_id"] {
        for json in ["\"\"", &long, r#""a\u0000b""#] {
            assert_refused(&with(member, json), &format!("body/{member}")).await;
        }
    }
}

#[tokio::test]
async fn times_without_a_zone_and_absurd_times_are_refused() {
    for text in [
        "2026-02-01T10:00:00",
        "2026-02-01",
        "20260201T100000Z",
        "1772323200",
        "yesterday",
        "",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-02-30T00:00:00Z",
        "2026-02-01T25:00:00Z",
        "2026-02-01T10:00:00+25:00",
        "2026-02-01T10:00:00Z\\n",
    ] {
        assert_refused(&with("timestamp", &format!("\"{text}\"")), "body/timestamp").await;
    }
}

#[tokio::test]
async fn missing_members_are_named() {
    for member in ["transaction_id", "code", "timestamp", "external_customer_id"] {
        let mut value: serde_json::Value = serde_json::from_str(&event("t")).unwrap();
        value.as_object_mut().unwrap().remove(member);
        assert_refused(&value.to_string(), &format!("body/{member}")).await;
    }
}

#[tokio::test]
async fn unknown_codes_are_refused_per_event_and_per_line() {
    assert_refused(&with("code", "\"nothing\""), "body/code").await;
}

#[tokio::test]
async fn text_that_is_not_json_names_the_event_it_stands_in() {
    let gateway = Gateway::new();
    for value in ["NaN", "Infinity", "01", "1.", "'a'", "{\"a\":1,\"a\":2}", "\"\\ud800\"", "\"\t\"", "undefined", ""] {
        let body = with("properties", &format!("{{\"x\":{value}}}"));
        let answer = gateway.post("/v1/events/batch", &[], batch(&[event("good"), body])).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{value}");
        assert_eq!(answer.locs(), ["body/events/1/properties"], "{value}: {}", answer.text);
    }
    for depth in [65, 1_000, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let answer = gateway.post("/v1/events/", &[], with("properties", &format!("{{\"x\":{nested}}}"))).await;
            assert_eq!(answer.json["detail"][0]["type"], "json_too_deep");
        }
    }
    assert_eq!(gateway.stored(), 0);
}

#[tokio::test]
async fn bodies_that_are_no_batch_are_refused() {
    let gateway = Gateway::new();
    let good = batch(&[event("t")]);
    for (body, loc) in [
        (Vec::new(), "body/0"),
        (b"null".to_vec(), "body"),
        (b"[]".to_vec(), "body"),
        (b"{}".to_vec(), "body/events"),
        (b"{\"events\":[]}".to_vec(), "body/events"),
        (b"{\"events\":{}}".to_vec(), "body/events"),
        (b"{\"events\":null}".to_vec(), "body/events"),
        (b"{\"events\":[1]}".to_vec(), "body/events/0"),
        ([b"\xef\xbb\xbf", good.as_bytes()].concat(), "body/0"),
        ([good.as_bytes(), b"{}"].concat(), &format!("body/{}", good.len())),
        (good.replace('}', ",\"events\":[]}").into_bytes(), ""),
        (b"\xff\xfe{\0}\0".to_vec(), "body/0"),
    ] {
        let answer = gateway.post("/v1/events/batch", &[], body.clone()).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        assert!(loc.is_empty() || answer.locs() == [loc], "{text}: {}", answer.text);
    }
    assert_eq!(gateway.stored(), 0);
}

#[tokio::test]
async fn other_methods_are_405_or_left_to_others() {
    let gateway = Gateway::new();
    for path in ["/v1/events/batch", "/v1/events/void"] {
        let mut request = crate::harness::request(path, &[], "");
        *request.method_mut() = axum::http::Method::GET;
        assert_eq!(gateway.send(request).await.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_sent_is_answered_2xx_or_4xx(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "[\\[\\]{}\",:0-9a-z\\\\ \n]{0,100}".prop_map(String::into_bytes),
            (0..400_usize, any::<u8>()).prop_map(|(at, byte)| {
                let mut body = batch(&[event("a"), event("b")]).into_bytes();
                let at = at % body.len();
                body[at] = byte;
                body
            }),
        ],
        path in prop::sample::select(vec![
            "/v1/events/", "/v1/events/batch", "/v1/events/void", "/api/v1/events", "/api/v1/events/batch",
        ]),
        content_type in prop::sample::select(vec![
            "application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json",
        ]),
        encoding in prop::sample::select(vec!["identity", "gzip", "zstd"]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let gateway = Gateway::new();
        let headers = [("content-type", content_type), ("content-encoding", encoding)];
        let answer = runtime.block_on(gateway.post(path, &headers, bytes));
        let status = answer.status;
        prop_assert!(status.is_success() || status.is_client_error(), "{}", answer.text);
        gateway.assert_idle();
    }
}
