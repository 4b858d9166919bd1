//! HTTP that lies, dawdles and floods, byte by byte over raw sockets against the running binary: a precise 4xx or a closed
//! connection, never a 5xx, never a panic, and the server serves on.

use crate::account::Account;
use crate::harness::Server;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The limit set for this server, and how much later its answer may come on a busy machine.
const BODY_SECONDS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(20);

struct Target {
    address: SocketAddr,
    key: String,
}

impl Target {
    /// A request's head with the key.
    fn head(&self, path: &str, headers: &str) -> String {
        format!("POST {path} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {}\r\n{headers}\r\n", self.key)
    }

    fn whole(&self, path: &str, content_type: &str, body: &str) -> String {
        let headers = format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len());
        self.head(path, &headers) + body
    }

    fn json(&self, body: &str) -> String {
        self.whole("/v1/events/", "application/json", body)
    }

    fn chunked(&self, chunks: &str) -> String {
        self.head("/v1/events/", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n") + chunks
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `bytes`, says "no more" when `half_close`, and reads until the server closes or has given
    /// `wanted` answers; their statuses.
    fn exchange(&self, bytes: &[u8], half_close: bool, wanted: usize) -> Vec<u16> {
        let mut stream = self.connect();
        // The server may answer and close before it has read everything.
        let sent = stream.write_all(bytes);
        if half_close && sent.is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut received = Vec::new();
        let mut chunk = [0; 4096];
        while statuses(&received).len() < wanted {
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => received.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server neither answers nor closes ({error}): {:?}", printable(bytes)),
            }
        }
        statuses(&received)
    }
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// Statuses of the answers in `received`; no body of ours holds a status line.
fn statuses(received: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(received);
    text.match_indices("HTTP/1.1 ").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok()).collect()
}

fn event(id: &str) -> String {
    format!(
        r#"{{"transaction_id":"{id}","external_customer_id":"k","code":"requests","timestamp":"2026-02-01T10:00:00Z"}}"#
    )
}

/// Heads that cannot be: each is answered with one of the statuses, or the connection is closed without a word.
fn check_heads(target: &Target) {
    let body = event("never-1");
    let json = "Content-Type: application/json\r\n";
    let flood = "X-Flood: 1\r\n".repeat(1_000);
    let long = format!("X-Long: {}\r\n", "x".repeat(2 << 20));
    let length = format!("Content-Length: {}\r\n", body.len());
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("garbage", "\x16\x03\x01\x02\x00\x01\x00\x01\u{1}\r\n\r\n".into(), &[400]),
        ("no version", "GET /\r\n\r\n".into(), &[400]),
        ("another version", "GET / HTTP/3.7\r\n\r\n".into(), &[400, 505]),
        ("a header flood", target.head("/v1/events/", &flood), &[400, 431]),
        ("a header of two megabytes", target.head("/v1/events/", &long), &[400, 431]),
        ("a path of two megabytes", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(2 << 20)), &[400, 414, 431]),
        ("NUL in a header", target.head("/v1/events/", "X-A: a\0b\r\n"), &[400]),
        ("a header without a colon", target.head("/v1/events/", "nonsense\r\n"), &[400]),
        ("a folded header", target.head("/v1/events/", &format!("X-A: a\r\n b\r\n{json}{length}")) + &body, &[400]),
        ("white space before the colon", target.head("/v1/events/", "Content-Length : 3\r\n"), &[400]),
        ("two lengths", target.head("/v1/events/", &format!("{json}{length}Content-Length: 7\r\n")) + &body, &[400]),
        ("a negative length", target.head("/v1/events/", &format!("{json}Content-Length: -1\r\n")), &[400]),
        (
            "a length beyond integers",
            target.head("/v1/events/", &format!("{json}Content-Length: 9{}\r\n", "9".repeat(30))),
            &[400, 413],
        ),
        (
            "a length beyond the limit",
            target.head("/v1/events/", &format!("{json}Content-Length: 99999999999\r\n")),
            &[413],
        ),
        (
            "an encoding that is not chunked",
            target.head("/v1/events/", &format!("{json}Transfer-Encoding: gzip\r\n")),
            &[400, 501],
        ),
        ("a chunk size that is no number", target.chunked("zz\r\n{}\r\n0\r\n\r\n"), &[400]),
        ("a chunk size beyond integers", target.chunked("fffffffffffffffff\r\n{}"), &[400, 413]),
        ("a chunk without its line end", target.chunked("2\r\n{}XX0\r\n\r\n"), &[400]),
        ("a chunk extension without end", target.chunked(&format!("2;{}", "x".repeat(1 << 20))), &[400]),
        (
            "trailers without end",
            target.chunked(&format!("2\r\n{{}}\r\n0\r\n{}", "X-T: 1\r\n".repeat(100_000))),
            &[400, 422, 431],
        ),
    ];
    for (name, bytes, allowed) in cases {
        let answers = target.exchange(bytes.as_bytes(), false, 1);
        // 501 and 505 are what HTTP prescribes for a coding and a version that a server does not know.
        assert!(answers.iter().all(|status| allowed.contains(status)), "{name}: {answers:?}");
    }
}

/// Bodies that stop, lie or come by the drop.
fn check_bodies(target: &Target) {
    let body = event("never-2");
    let cut = &target.json(&body)[..target.json(&body).len() - 5];
    let cut_chunk = target.chunked(&format!("{:x}\r\n{}", body.len(), &body[..10]));
    let stream =
        target.head("/v1/events/batch", "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n");
    for (name, bytes) in [("a body cut short", cut), ("a chunk cut short", &cut_chunk), ("a stream cut short", &stream)]
    {
        let answers = target.exchange(bytes.as_bytes(), true, 1);
        assert!(answers.iter().all(|status| (400..500).contains(status)), "{name}, half closed: {answers:?}");
        let started = Instant::now();
        let answers = target.exchange(bytes.as_bytes(), false, 1);
        assert_eq!(answers, [408], "{name}, then silence");
        assert!(started.elapsed() >= Duration::from_secs(BODY_SECONDS), "{name}");
    }
    // A byte each 100 ms: each is in time, the whole is not.
    let mut slow = target.connect();
    slow.write_all(target.head("/v1/events/", "Content-Type: application/json\r\nContent-Length: 5000\r\n").as_bytes())
        .unwrap();
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(BODY_SECONDS * 3) && slow.write_all(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(100));
    }
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    assert!(statuses(&answer).iter().all(|status| *status == 408), "{}", printable(&answer));
    // The body is longer than it says: what is over is the next request, and none.
    let longer = target.json(&event("kept-1")) + "{\"more\":1}\r\n\r\n";
    let answers = target.exchange(longer.as_bytes(), true, 2);
    assert!(matches!(answers[..], [201] | [201, 400]), "{answers:?}");
    // A connection reset amid a body.
    for _ in 0..20 {
        let mut torn = target.connect();
        torn.write_all(cut.as_bytes()).unwrap();
        let linger = nix::sys::socket::sockopt::Linger;
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(&torn, linger, &at_once).unwrap();
    }
}

/// Bodies that are compressed and lie, and events of other dialects that lack what they need: in whole requests, byte by byte.
fn check_contents(target: &Target) {
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let whole = gzip(format!("{{\"events\":[{}]}}", event("never-3")).as_bytes());
    // 40 MiB of blanks, past the limit of a body, in some kilobytes.
    let bomb = zstd::encode_all(&vec![b' '; 40 << 20][..], 1).unwrap();
    let encoded = |path: &str, kind: &str, encoding: &str, body: &[u8]| {
        let headers =
            format!("Content-Type: {kind}\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\n", body.len());
        [target.head(path, &headers).as_bytes(), body].concat()
    };
    let (json, batch, lago) = ("application/json", "/v1/events/batch", "/api/v1/events");
    let (cloud, clouds) = ("application/cloudevents+json", "application/cloudevents-batch+json");
    let text = |path: &str, kind: &str, body: &str| target.whole(path, kind, body).into_bytes();
    let binary = |attributes: &str| {
        let headers = format!("Content-Type: {json}\r\nContent-Length: 2\r\n{attributes}");
        (target.head(lago, &headers) + "{}").into_bytes()
    };
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("gzip cut short", encoded(batch, json, "gzip", &whole[..whole.len() / 2]), 422),
        ("gzip without its end", encoded(batch, json, "gzip", &whole[..whole.len() - 4]), 422),
        ("gzip that is none", encoded(batch, json, "gzip", b"{}"), 422),
        ("gzip of a Lago body cut short", encoded(lago, json, "gzip", &whole[..whole.len() / 2]), 400),
        ("gzip of a CloudEvent cut short", encoded(lago, cloud, "gzip", &whole[..whole.len() / 2]), 422),
        ("a zstd bomb", encoded(batch, json, "zstd", &bomb), 413),
        ("a zstd bomb of lines", encoded(batch, "application/x-ndjson", "zstd", &bomb), 413),
        ("a zstd bomb of CloudEvents", encoded(lago, clouds, "zstd", &bomb), 413),
        ("an encoding nobody knows", encoded(batch, json, "br", b"{}"), 415),
        ("a CloudEvent of nothing", text(lago, cloud, "{}"), 422),
        (
            "a CloudEvent without its source",
            text(lago, cloud, r#"{"specversion":"1.0","id":"1","type":"c","subject":"k"}"#),
            422,
        ),
        (
            "a CloudEvent of another version",
            text(lago, cloud, r#"{"specversion":"0.3","id":"1","source":"/s","type":"c","subject":"k"}"#),
            422,
        ),
        ("a batch with a CloudEvent of nothing", text(lago, clouds, "[{}]"), 422),
        ("a binary CloudEvent without its id", binary("ce-specversion: 1.0\r\nce-source: /s\r\nce-type: c\r\n"), 422),
        ("Lago's events where one belongs", text(lago, json, r#"{"events":[]}"#), 400),
        ("Lago's event where several belong", text("/api/v1/events/batch", json, r#"{"event":{}}"#), 422),
        ("Lago's event without its wrapping", text(lago, json, &event("never-4")), 400),
        ("Lago's wrapping of nothing", text(lago, json, r#"{"event":{}}"#), 422),
    ];
    for (name, bytes, status) in cases {
        assert_eq!(target.exchange(&bytes, false, 1), [status], "{name}");
    }
}

/// Requests sent without waiting are answered one by one, in order, also when a wrong one ends the line.
fn check_pipelines(target: &Target) {
    let good: String = (2..5).map(|number| target.json(&event(&format!("kept-{number}")))).collect();
    let refused = target.json("{}");
    let dialects = target.whole("/api/v1/events", "application/json", "{}")
        + &target.whole("/api/v1/events", "application/cloudevents+json", "[]")
        + &target.whole("/api/v1/events", "application/cloudevents-batch+json", "[]");
    let answers = target.exchange((good + &refused + &dialects + "nonsense\r\n\r\n").as_bytes(), false, 8);
    assert_eq!(answers, [201, 201, 201, 422, 400, 422, 204, 400]);
    let expecting =
        target.head("/v1/events/", "Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n");
    let answers = target.exchange((expecting + "{}").as_bytes(), true, 2);
    assert!(matches!(answers[..], [100, 422] | [422]), "{answers:?}");
    // A smuggler's request: whatever is made of it, the line between two requests is not up for discussion.
    let both = target
        .head("/v1/events/", "Content-Type: application/json\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n");
    let answers = target.exchange((both + "0\r\n\r\n").as_bytes(), true, 2);
    assert!(answers.len() <= 1 && answers.iter().all(|status| (400..500).contains(status)), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_http_is_a_4xx_or_a_closed_connection_and_the_server_serves_on() {
    let seconds = BODY_SECONDS.to_string();
    let server = Server::start(&["--billing-automatic", "false", "--ingest-body-timeout-seconds", &seconds]).await;
    let account = Account::open(&server, "Hostile").await;
    let address = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    let target = Target { address, key: account.caller.raw_key().to_owned() };
    tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            scope.spawn(|| check_heads(&target));
            scope.spawn(|| check_bodies(&target));
            scope.spawn(|| check_contents(&target));
            scope.spawn(|| check_pipelines(&target));
        });
    })
    .await
    .unwrap();
    let mut kept: Vec<String> = account
        .caller
        .all("/v1/events/")
        .await
        .iter()
        .map(|event| crate::wire::text(&event["transaction_id"]))
        .collect();
    kept.sort();
    assert_eq!(kept, ["kept-1", "kept-2", "kept-3", "kept-4"], "a refused request left something behind");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
