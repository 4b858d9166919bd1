//! Small requests that unfold to much: refused, and the memory of the process does not follow them.

use crate::compressed::{gzip, zstd};
use crate::harness::Gateway;
use axum::http::StatusCode;
use std::io::Write;

/// 16 members (or frames) of 64 MiB are 1 GiB.
const PART_BYTES: usize = 64 << 20;
const PARTS: usize = 16;
/// The limit of 32 MiB, held twice while a buffer grows, and as much for all other tests of this process.
const MEMORY_LIMIT_KIB: u64 = 4 * (32 << 10);

/// The greatest memory this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn gzip_of_zeros(bytes: usize) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..bytes >> 20 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

fn zstd_of_zeros(bytes: usize) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..bytes >> 20 {
        encoder.write_all(&[0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_gigabyte_of_zeros_is_a_413_in_constant_memory() {
    for (encoding, part) in [("gzip", gzip_of_zeros(PART_BYTES)), ("zstd", zstd_of_zeros(PART_BYTES))] {
        let bomb = part.repeat(PARTS);
        let before = peak_memory();
        for content_type in ["application/json", "application/x-ndjson"] {
            for path in ["/v1/events/batch", "/v1/events/"] {
                if path == "/v1/events/" && content_type != "application/json" {
                    continue;
                }
                let gateway = Gateway::new();
                let headers = [("content-encoding", encoding), ("content-type", content_type)];
                let answer = gateway.post(path, &headers, bomb.clone()).await;
                assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding} {content_type}: {}", answer.text);
                assert_eq!(gateway.stored(), 0);
                gateway.assert_idle();
            }
        }
        let grown = peak_memory() - before;
        assert!(grown < MEMORY_LIMIT_KIB, "{encoding}: {grown} KiB");
    }
}

#[tokio::test]
async fn a_plain_body_past_its_limit_is_a_413_announced_or_not() {
    let gateway = Gateway::new();
    let long = vec![b' '; (32 << 20) + 1];
    let length = long.len().to_string();
    for headers in [vec![], vec![("content-length", length.as_str())]] {
        let answer = gateway.post("/v1/events/batch", &headers, long.clone()).await;
        assert_eq!((answer.status, &answer.json["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &"body_too_large".into()));
    }
    let lie = gateway.post("/v1/events/batch", &[("content-length", "99999999999999")], "{}").await;
    assert_eq!(lie.status, StatusCode::PAYLOAD_TOO_LARGE);
    gateway.assert_idle();
}

#[tokio::test]
async fn a_zstd_frame_that_asks_for_a_huge_window_is_refused() {
    // A frame of one raw block of one byte whose header asks for a window of 2²⁷ bytes (exponent 17 over 2¹⁰).
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x09, 0x00, 0x00, b'{'];
    let gateway = Gateway::new();
    let answer = gateway.post("/v1/events/batch", &[("content-encoding", "zstd")], frame.to_vec()).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", answer.text);
    assert_eq!(answer.json["detail"][0]["type"], "encoding_invalid", "{}", answer.text);
}

#[tokio::test]
async fn a_bomb_inside_a_bomb_is_read_once() {
    let gateway = Gateway::new();
    let inner = gzip(&gzip_of_zeros(1 << 20));
    let answer = gateway.post("/v1/events/batch", &[("content-encoding", "gzip")], inner).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let stream = [("content-encoding", "zstd"), ("content-type", "application/x-ndjson")];
    let answer = gateway.post("/v1/events/batch", &stream, zstd(&b"\n".repeat(1 << 20))).await;
    assert_eq!((answer.status, &answer.json["rejected"]), (StatusCode::CREATED, &0.into()));
}
