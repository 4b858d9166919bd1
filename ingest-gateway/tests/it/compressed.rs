use crate::harness::{Gateway, batch, event, events};
use axum::http::StatusCode;
use std::io::Write;

pub fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).unwrap()
}

const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

#[tokio::test]
async fn gzip_and_zstd_are_taken_in_every_form() {
    for (encoding, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("x-gzip", gzip), ("zstd", zstd)] {
        let gateway = Gateway::new();
        let header = ("content-encoding", encoding);
        let single = gateway.post("/v1/events/", &[header], compress(event("single").as_bytes())).await;
        assert_eq!(single.status, StatusCode::CREATED, "{}", single.text);
        let json = gateway.post("/v1/events/batch", &[header], compress(batch(&events(1_000)).as_bytes())).await;
        assert_eq!(json.json["ingested"], 1_000);
        let lines = events(9_000).join("\n");
        let stream = gateway.post("/v1/events/batch", &[header, NDJSON], compress(lines.as_bytes())).await;
        assert_eq!((&stream.json["ingested"], &stream.json["duplicates"]), (&8_000.into(), &1_000.into()));
    }
}

#[tokio::test]
async fn members_and_frames_follow_one_another() {
    for (encoding, compress) in [("gzip", gzip as fn(&[u8]) -> Vec<u8>), ("zstd", zstd)] {
        let gateway = Gateway::new();
        let body = [compress((event("a") + "\n").as_bytes()), compress(event("b").as_bytes())].concat();
        let answer = gateway.post("/v1/events/batch", &[("content-encoding", encoding), NDJSON], body).await;
        assert_eq!(answer.json["ingested"], 2, "{encoding}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_body_cut_short_or_of_another_encoding_is_a_422_that_stored_nothing() {
    let gateway = Gateway::new();
    let text = batch(&events(100));
    for (encoding, whole) in [("gzip", gzip(text.as_bytes())), ("zstd", zstd(text.as_bytes()))] {
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 0x55;
        let bad =
            [whole[..whole.len() / 2].to_vec(), whole[..whole.len() - 1].to_vec(), text.clone().into_bytes(), damaged];
        for (number, body) in bad.into_iter().enumerate() {
            for content_type in [("content-type", "application/json"), NDJSON] {
                let headers = [("content-encoding", encoding), content_type];
                let answer = gateway.post("/v1/events/batch", &headers, body.clone()).await;
                let context = format!("{encoding} {number} {content_type:?}: {}", answer.text);
                if content_type == NDJSON && answer.status == StatusCode::CREATED {
                    // One line that is no event, and nothing else, was read before the damage was noticed.
                    assert_eq!(answer.json["ingested"], 0, "{context}");
                } else {
                    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{context}");
                }
            }
        }
    }
    assert_eq!(gateway.stored(), 0);
    gateway.assert_idle();
}

#[tokio::test]
async fn other_encodings_and_media_types_are_415() {
    let gateway = Gateway::new();
    for path in ["/v1/events/", "/v1/events/batch"] {
        for headers in [
            [("content-encoding", "br"), ("content-type", "application/json")],
            [("content-encoding", "gzip, gzip"), ("content-type", "application/json")],
            [("content-encoding", "identity"), ("content-type", "text/plain")],
            [("content-encoding", "identity"), ("content-type", "application/xml")],
            [("content-encoding", "identity"), ("content-type", "")],
        ] {
            let answer = gateway.post(path, &headers, event("t")).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {headers:?}");
        }
    }
    assert_eq!(gateway.stored(), 0);
}
