//! Parse + validate + push of a batch of 1,000 events of 250 bytes in every dialect, against serde_json in the same run; and the
//! lines of the log that are written of them.
//!
//! Measured in processor time of the thread: the figure is per core, whatever else the machine is doing.
//!
//! `cargo bench -p ingest-gateway --bench parse`; the figures are in the head of `src/parse/mod.rs`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::OrganizationId;
use domain::log_line;
use domain::time::Timestamp;
use ingest_gateway::parse::{KnowsCode, ParseLimits, Problems};
use ingest_gateway::parse::{parse_batch, parse_cloud_events, parse_event, parse_lago_batch};
use nix::time::{ClockId, clock_gettime};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::LazyLock;
use std::time::Duration;

const EVENTS: u64 = 1_000;
const LIMITS: ParseLimits = ParseLimits { max_depth: 64, max_events: 10_000 };

/// Processor time of the measuring thread.
struct ThreadTime;

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;
    fn start(&self) -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }
    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }
    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }
    fn zero(&self) -> Duration {
        Duration::ZERO
    }
    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }
    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// An event as an inference service sends it: 250 bytes, of which the dialect's `head` says who, what and when.
fn event(head: &str, number: u64) -> String {
    let (tokens, price) = (number * 31 % 4_096, number % 1_000);
    let mut event = format!(
        "{{{head}{{\"tokens\":{tokens},\"model\":\"large-2\",\"region\":\"eu-central-1\",\"price\":0.000{price:03}"
    );
    // The separator is the 250th byte.
    let missing = 249 - event.len() - ",\"note\":\"\"}}".len();
    write!(event, ",\"note\":\"{}\"}}}}", "x".repeat(missing)).unwrap();
    event
}

fn contract_event(number: u64) -> String {
    let (customer, time) = (number * 7 % 997, time(number));
    let head = format!(
        "\"transaction_id\":\"req-7f3a{number:08}-0001\",\"external_customer_id\":\"customer-{customer:05}\",\
         \"code\":\"generated_tokens\",\"timestamp\":\"{time}\",\"properties\":"
    );
    event(&head, number)
}

fn time(number: u64) -> String {
    format!("2026-03-01T12:{:02}:{:02}.{:06}Z", number / 60 % 60, number % 60, number * 997 % 1_000_000)
}

fn lago_event(number: u64) -> String {
    let (customer, micros) = (number * 7 % 997, number * 997 % 1_000_000);
    let head = format!(
        "\"transaction_id\":\"req-7f3a{number:08}-0001\",\"external_subscription_id\":\"sub-{customer:05}\",\
         \"code\":\"generated_tokens\",\"timestamp\":\"17723676{:02}.{micros:06}\",\"properties\":",
        number % 60,
    );
    event(&head, number)
}

fn cloud_event(number: u64) -> String {
    let (customer, time) = (number * 7 % 997, time(number));
    let head = format!(
        "\"specversion\":\"1.0\",\"id\":\"7f3a{number:08}\",\"source\":\"/gw\",\"subject\":\"c-{customer:05}\",\
         \"type\":\"tokens\",\"time\":\"{time}\",\"data\":"
    );
    event(&head, number)
}

fn list(make: fn(u64) -> String) -> String {
    (0..EVENTS).map(make).collect::<Vec<_>>().join(",")
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    events: Vec<Event<'a>>,
}

/// The baseline: what one would write with serde_json. It does not look for repeated names inside the properties.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    transaction_id: Cow<'a, str>,
    #[serde(borrow)]
    external_customer_id: Cow<'a, str>,
    #[serde(borrow)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    properties: &'a RawValue,
}

#[derive(Deserialize)]
struct SonicRequest<'a> {
    #[serde(borrow)]
    events: Vec<SonicEvent<'a>>,
}

#[derive(Deserialize)]
struct SonicEvent<'a> {
    transaction_id: &'a str,
    external_customer_id: &'a str,
    code: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    properties: sonic_rs::LazyValue<'a>,
}

fn push(batch: &mut EventBatch, transaction_id: &str, customer: &str, code: &str, timestamp: &str, properties: &str) {
    assert!((1..=255).contains(&transaction_id.len()) && (1..=255).contains(&customer.len()));
    assert!((1..=255).contains(&code.len()) && properties.starts_with('{'));
    let timestamp = Timestamp::parse(timestamp).unwrap();
    let content = Content { code, customer, subscription: "", properties, precise_total_amount_cents: "" };
    batch.push(&EventRow { transaction_id, timestamp, content });
}

fn with_serde_json(body: &[u8]) -> EventBatch {
    let request: Request<'_> = serde_json::from_slice(body).unwrap();
    let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    for event in &request.events {
        let (customer, properties) = (&event.external_customer_id, event.properties.get());
        push(&mut batch, &event.transaction_id, customer, &event.code, &event.timestamp, properties);
    }
    batch
}

fn with_sonic(body: &[u8]) -> EventBatch {
    let request: SonicRequest<'_> = sonic_rs::from_slice(body).unwrap();
    let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    for event in &request.events {
        let properties = event.properties.as_raw_str();
        push(&mut batch, event.transaction_id, event.external_customer_id, event.code, event.timestamp, properties);
    }
    batch
}

fn with_scanner(body: &[u8]) -> EventBatch {
    // A set of codes as the catalog's snapshot has one: looking a code up is part of the cost.
    static CODES: LazyLock<HashSet<&str>> = LazyLock::new(|| HashSet::from(["generated_tokens", "context_tokens"]));
    let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    parse_batch(body, LIMITS, &|code| CODES.contains(code), &mut batch).unwrap();
    batch
}

type Parse = fn(&[u8], ParseLimits, KnowsCode<'_>, &mut EventBatch) -> Result<(), Problems>;

fn parsed(parse: Parse, body: &[u8]) -> EventBatch {
    let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    parse(body, LIMITS, &|_| true, &mut batch).unwrap();
    batch
}

fn with_lines(lines: &[u8]) -> EventBatch {
    let mut batch = EventBatch::new(OrganizationId(uuid::Uuid::nil()), Timestamp(0));
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', lines).chain([lines.len()]) {
        parse_event(&lines[start..end], LIMITS, &|_| true, &mut batch).unwrap();
        start = end + 1;
    }
    batch
}

fn log_lines(batch: &EventBatch) -> Vec<u8> {
    let mut lines = Vec::with_capacity(300 * batch.len());
    for row in 0..batch.len() {
        log_line::write_event(&mut lines, batch, row);
    }
    lines
}

fn push_again(parsed: &EventBatch) -> EventBatch {
    let mut batch = EventBatch::new(parsed.organization, Timestamp(0));
    for row in 0..parsed.len() {
        let content = Content {
            code: parsed.codes.get(row),
            customer: parsed.customers.get(row),
            subscription: "",
            properties: parsed.properties.get(row),
            precise_total_amount_cents: "",
        };
        batch.push(&EventRow {
            transaction_id: parsed.transaction_ids.get(row),
            timestamp: parsed.timestamps[row],
            content,
        });
    }
    batch
}

fn parse(criterion: &mut Criterion<ThreadTime>) {
    let body = format!("{{\"events\":[{}]}}", list(contract_event));
    let lines = (0..EVENTS).map(contract_event).collect::<Vec<_>>().join("\n");
    let lago = format!("{{\"events\":[{}]}}", list(lago_event));
    let cloud = format!("[{}]", list(cloud_event));
    assert_eq!(with_scanner(body.as_bytes()), with_serde_json(body.as_bytes()));
    assert_eq!(with_scanner(body.as_bytes()), with_sonic(body.as_bytes()));
    let parsed_batch = with_scanner(body.as_bytes());
    let mut group = criterion.benchmark_group("batch of 1,000 events of 250 bytes");
    group.throughput(Throughput::Elements(EVENTS));
    group.bench_function("scanner", |b| b.iter(|| with_scanner(black_box(body.as_bytes()))));
    group.bench_function("scanner, NDJSON lines", |b| b.iter(|| with_lines(black_box(lines.as_bytes()))));
    group.bench_function("scanner, Lago", |b| b.iter(|| parsed(parse_lago_batch, black_box(lago.as_bytes()))));
    group
        .bench_function("scanner, CloudEvents", |b| b.iter(|| parsed(parse_cloud_events, black_box(cloud.as_bytes()))));
    group.bench_function("lines of the log alone", |b| b.iter(|| log_lines(black_box(&parsed_batch))));
    group.bench_function("serde_json, raw properties", |b| b.iter(|| with_serde_json(black_box(body.as_bytes()))));
    group.bench_function("sonic-rs, lazy properties", |b| b.iter(|| with_sonic(black_box(body.as_bytes()))));
    group.bench_function("push alone", |b| b.iter(|| push_again(black_box(&parsed_batch))));
    group.bench_function("serde_json, to a tree, no push", |b| {
        b.iter(|| serde_json::from_slice::<serde_json::Value>(black_box(body.as_bytes())).unwrap());
    });
    group.bench_function("simd-json, copy and tape, no push", |b| {
        b.iter(|| {
            let mut copy = black_box(body.as_bytes()).to_vec();
            simd_json::to_tape(&mut copy).unwrap().0.len()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = parse
}
criterion_main!(benches);
