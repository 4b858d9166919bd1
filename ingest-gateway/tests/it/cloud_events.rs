//! CloudEvents 1.0 in their three modes over HTTP.

use crate::compressed::{gzip, zstd};
use crate::harness::{Gateway, NOW, organization};
use axum::http::StatusCode;
use domain::event::StoredEvent;
use domain::identity::EventId;

const ROUTE: &str = "/api/v1/events";
const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json; charset=utf-8");
const BATCHED: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
const HEAD: [(&str, &str); 6] = [
    ("ce-specversion", "1.0"),
    ("ce-id", "7"),
    ("ce-source", "\"/gateways/eu\""),
    ("ce-type", "com.example.usage"),
    ("ce-subject", "customer%20%E2%82%AC"),
    ("ce-time", "2026-02-01T10:00:00.25Z"),
];

fn cloud_event(id: &str) -> String {
    format!(
        r#"{{"specversion":"1.0","id":"{id}","source":"/gateways/eu","type":"com.example.usage","subject":"customer €","time":"2026-02-01T10:00:00.25Z","traceparent":"00-a-b-01","data":{{"n":0.10}}}}"#
    )
}

fn stored(gateway: &Gateway, transaction_id: &str) -> Option<StoredEvent> {
    let id = EventId::derive(organization(), transaction_id);
    gateway.sink.events.lock().unwrap().get(&(organization(), id)).cloned()
}

#[tokio::test]
async fn every_mode_and_encoding_of_one_event_is_one_event() {
    let gateway = Gateway::new();
    type Compress = fn(&[u8]) -> Vec<u8>;
    let encodings: [(&str, Compress); 3] = [("identity", |body| body.to_vec()), ("gzip", gzip), ("zstd", zstd)];
    for (encoding, compress) in encodings {
        let encoded = ("content-encoding", encoding);
        let list = format!("[{},{}]", cloud_event("7"), cloud_event("7"));
        let answers = [
            gateway.post(ROUTE, &[STRUCTURED, encoded], compress(cloud_event("7").as_bytes())).await,
            gateway.post("/api/v1/events/", &[BATCHED, encoded], compress(list.as_bytes())).await,
            gateway.post(ROUTE, &[&HEAD[..], &[encoded]].concat(), compress(br#"{"n":0.10}"#)).await,
        ];
        for answer in answers {
            assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""), "{encoding}");
        }
    }
    assert_eq!(gateway.stored(), 1);
    let event = stored(&gateway, "/gateways/eu 7").unwrap();
    assert_eq!((event.external_customer_id.as_str(), event.external_subscription_id.as_str()), ("customer €", ""));
    assert_eq!((event.code.as_str(), event.properties.as_str()), ("com.example.usage", r#"{"n":0.10}"#));
    assert_eq!(event.timestamp.to_string(), "2026-02-01T10:00:00.250Z");
    gateway.assert_idle();
}

#[tokio::test]
async fn an_event_without_time_and_data_is_now_and_has_no_properties() {
    let gateway = Gateway::new();
    let without_time: Vec<_> = HEAD.into_iter().filter(|(name, _)| *name != "ce-time").collect();
    let mut request = crate::harness::request(ROUTE, &without_time, "");
    let key = format!("Bearer {}", crate::harness::KEY);
    request.headers_mut().insert("authorization", key.parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text);
    let event = stored(&gateway, "/gateways/eu 7").unwrap();
    assert_eq!((event.timestamp, event.properties.as_str()), (NOW, "{}"));
}

#[tokio::test]
async fn an_empty_batch_stores_nothing_and_is_fine() {
    let gateway = Gateway::new();
    let answer = gateway.post(ROUTE, &[BATCHED], " [ ] ").await;
    assert_eq!((answer.status, gateway.stored()), (StatusCode::NO_CONTENT, 0));
    assert!(gateway.sink.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_missing_attribute_is_named_in_every_mode_and_nothing_is_stored() {
    let gateway = Gateway::new();
    for name in ["specversion", "id", "source", "type", "subject"] {
        let mut value: serde_json::Value = serde_json::from_str(&cloud_event("7")).unwrap();
        value.as_object_mut().unwrap().remove(name);
        let structured = gateway.post(ROUTE, &[STRUCTURED], value.to_string()).await;
        assert_eq!(
            (structured.status, structured.locs()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![format!("body/{name}")])
        );
        let list = format!("[{},{value}]", cloud_event("good"));
        let batched = gateway.post(ROUTE, &[BATCHED], list).await;
        assert_eq!(
            (batched.status, batched.locs()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![format!("body/1/{name}")])
        );
        let rest: Vec<_> = HEAD.into_iter().filter(|(header, _)| *header != format!("ce-{name}")).collect();
        let binary = gateway.post(ROUTE, &rest, "{}").await;
        assert_eq!(
            (binary.status, binary.locs()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![format!("header/ce-{name}")])
        );
    }
    assert_eq!(gateway.stored(), 0);
}

#[tokio::test]
async fn what_cannot_be_metered_is_refused_by_its_reason() {
    let gateway = Gateway::new();
    let with = |member: &str, json: &str| {
        let mut value: serde_json::Value = serde_json::from_str(&cloud_event("7")).unwrap();
        value.as_object_mut().unwrap().remove(member);
        format!("{{\"{member}\":{json},{}", &value.to_string()[1..])
    };
    let long = format!("\"{}\"", "x".repeat(250));
    for (member, json, place) in [
        ("specversion", "\"0.3\"", "body/specversion"),
        ("specversion", "1.0", "body/specversion"),
        ("source", "\"a b\"", "body/source"),
        ("source", "\"\"", "body/source"),
        ("id", long.as_str(), "body/id"),
        ("time", "\"2026-02-01T10:00:00\"", "body/time"),
        ("time", "1651240791", "body/time"),
        ("datacontenttype", "\"text/plain\"", "body/datacontenttype"),
        ("data", "\"<usage/>\"", "body/data"),
        ("data", "[1]", "body/data"),
        ("data_base64", "\"e30=\"", "body/data_base64"),
    ] {
        let answer = gateway.post(ROUTE, &[STRUCTURED], with(member, json)).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{member} {json}: {}", answer.text);
        assert_eq!(answer.locs(), [place.to_owned()], "{member} {json}: {}", answer.text);
    }
    for (body, place) in [("", "body/0"), ("{", "body/1"), ("{}", "body"), ("7", "body")] {
        let answer = gateway.post(ROUTE, &[BATCHED], body).await;
        assert_eq!(
            (answer.status, answer.locs()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![place.to_owned()]),
            "{body}"
        );
    }
    for (name, value, place) in [("ce-id", "%zz", "header/ce-id"), ("ce-id", "again", "header/ce-id")] {
        let head: Vec<_> = HEAD.into_iter().filter(|(header, _)| *header != name || value == "again").collect();
        let answer = gateway.post(ROUTE, &[&head[..], &[(name, value)]].concat(), "{}").await;
        assert_eq!(
            (answer.status, answer.locs()),
            (StatusCode::UNPROCESSABLE_ENTITY, vec![place.to_owned()]),
            "{value}"
        );
    }
    for headers in [
        vec![("content-type", "application/cloudevents+avro")],
        vec![("content-type", "application/xml"), HEAD[1]],
        vec![STRUCTURED, ("content-encoding", "br")],
    ] {
        let answer = gateway.post(ROUTE, &headers, cloud_event("7")).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{headers:?}");
    }
    let whole = gzip(cloud_event("7").as_bytes());
    let cut = gateway.post(ROUTE, &[STRUCTURED, ("content-encoding", "gzip")], whole[..20].to_vec()).await;
    assert_eq!(cut.status, StatusCode::UNPROCESSABLE_ENTITY);
    let bomb = zstd(&vec![b' '; 33 << 20]);
    let bomb = gateway.post(ROUTE, &[BATCHED, ("content-encoding", "zstd")], bomb).await;
    assert_eq!(bomb.status, StatusCode::PAYLOAD_TOO_LARGE);
    let nobody = gateway.send(crate::harness::request(ROUTE, &[STRUCTURED], cloud_event("7"))).await;
    assert_eq!((nobody.status, nobody.json["code"].is_string()), (StatusCode::UNAUTHORIZED, true));
    assert_eq!(gateway.stored(), 0);
    gateway.assert_idle();
}
