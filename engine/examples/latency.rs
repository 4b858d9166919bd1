//! Round trips through the HTTP front, for the figures in the crate's head: `cargo run --release -p engine --example latency`.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::testing::TestEngine;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const DURABLE: &str = "ENGINE = MergeTree ORDER BY (k, id) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";
const COLUMNS: &str = "(id UInt64, k String, props String)";

struct Client {
    sender: SendRequest<Full<Bytes>>,
    password: String,
}

impl Client {
    async fn connect(engine: &TestEngine) -> Self {
        let address = engine.url().replace("http://", "");
        let stream = TcpStream::connect(address).await.expect("the engine listens");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("handshake");
        tokio::spawn(connection);
        let password = engine.password().to_owned();
        Self { sender, password }
    }

    async fn send(&mut self, query: &str, body: Bytes) -> Bytes {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let request = Request::post(format!("/?query={encoded}"))
            .header("X-ClickHouse-Key", &self.password)
            .body(Full::new(body))
            .expect("a valid request");
        self.sender.ready().await.expect("a live connection");
        let response = self.sender.send_request(request).await.expect("a response");
        let ok = response.status().is_success();
        let answer = response.into_body().collect().await.expect("a body").to_bytes();
        assert!(ok, "{query}: {}", String::from_utf8_lossy(&answer));
        answer
    }
}

/// A Native block of `rows` rows for `COLUMNS`.
fn native(rows: u64) -> Bytes {
    let mut out = Vec::new();
    varint(&mut out, 3);
    varint(&mut out, rows);
    column(&mut out, "id", "UInt64");
    (0..rows).for_each(|id| out.extend_from_slice(&id.to_le_bytes()));
    column(&mut out, "k", "String");
    (0..rows).for_each(|id| text(&mut out, &format!("customer_{}", id % 1000)));
    column(&mut out, "props", "String");
    for id in 0..rows {
        let filler = "x".repeat(100);
        text(
            &mut out,
            &format!("{{\"tokens\":{id},\"model\":\"abcdefgh\",\"region\":\"eu\",\"filler\":\"{filler}\"}}"),
        );
    }
    out.into()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

fn text(out: &mut Vec<u8>, value: &str) {
    varint(out, u64::try_from(value.len()).expect("a length"));
    out.extend_from_slice(value.as_bytes());
}

fn column(out: &mut Vec<u8>, name: &str, kind: &str) {
    text(out, name);
    text(out, kind);
}

async fn measure(client: &mut Client, label: &str, query: &str, body: &Bytes, rounds: usize) {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds / 10 + 1 {
        client.send(query, body.clone()).await;
    }
    for _ in 0..rounds {
        let begun = Instant::now();
        client.send(query, body.clone()).await;
        times.push(begun.elapsed());
    }
    report(label, times);
}

fn report(label: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let mut line = String::new();
    write!(line, "{label:<52} p50 {:>9.3?}  p90 {:>9.3?}  p99 {:>9.3?}", at(50), at(90), at(99)).expect("a string");
    println!("{line}");
}

async fn concurrently(engine: &TestEngine, writers: usize, label: &str, query: &'static str, body: &Bytes) {
    const ROUNDS: usize = 100;
    let all_begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..writers {
        let mut client = Client::connect(engine).await;
        let body = body.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let begun = Instant::now();
                client.send(query, body.clone()).await;
                times.push(begun.elapsed());
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a writer"));
    }
    let per_second = Duration::from_secs(1).as_nanos() * u128::try_from(writers * ROUNDS).expect("a count")
        / all_begun.elapsed().as_nanos();
    report(&format!("{label}, {writers} writers ({per_second}/s)"), times);
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let engine = Arc::new(TestEngine::start());
    let mut client = Client::connect(&engine).await;
    for statement in [
        "CREATE DATABASE t".to_owned(),
        format!("CREATE TABLE t.durable {COLUMNS} {DURABLE}"),
        format!("CREATE TABLE t.source {COLUMNS} {DURABLE}"),
        format!("CREATE TABLE t.ids {COLUMNS} {DURABLE}"),
        "CREATE MATERIALIZED VIEW t.view TO t.ids AS SELECT id, k, '' AS props FROM t.source".to_owned(),
        format!("CREATE TABLE t.nothing {COLUMNS} ENGINE = Null"),
    ] {
        client.send(&statement, Bytes::new()).await;
    }
    let (small, large) = (native(300), native(100_000));
    println!("300 rows: {} bytes; 100,000 rows: {} bytes", small.len(), large.len());
    let empty = Bytes::new();
    measure(&mut client, "SELECT 1", "SELECT 1", &empty, 2000).await;
    measure(&mut client, "300 rows into Null", "INSERT INTO t.nothing FORMAT Native", &small, 500).await;
    measure(&mut client, "300 rows, fsync", "INSERT INTO t.durable FORMAT Native", &small, 500).await;
    measure(&mut client, "300 rows, fsync, second table by view", "INSERT INTO t.source FORMAT Native", &small, 200)
        .await;
    measure(&mut client, "100,000 rows into Null", "INSERT INTO t.nothing FORMAT Native", &large, 20).await;
    measure(&mut client, "100,000 rows, fsync", "INSERT INTO t.durable FORMAT Native", &large, 20).await;
    for writers in [2, 4, 8] {
        concurrently(&engine, writers, "300 rows, fsync", "INSERT INTO t.durable FORMAT Native", &small).await;
    }
    measure(
        &mut client,
        "30 M numbers as RowBinary, streamed",
        "SELECT number FROM numbers(30000000) FORMAT RowBinary",
        &empty,
        3,
    )
    .await;
}
