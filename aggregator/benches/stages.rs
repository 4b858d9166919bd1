//! What the aggregator does with an event between the log and the engine, stage by stage: 200,000 events of 250 bytes in records of
//! 1,000, four metrics of which one is grouped, 20,000 customers, a filter with room for ten million ids.
//!
//! Measured in processor time of the thread: the figure is per core, whatever else the machine is doing. One iteration is
//! all 200,000 events: a stage that is measured on what fits in a cache tells nothing about this one.
//!
//! `cargo bench -p aggregator --bench stages`; the figures are in load-tests/README.md.
#![allow(missing_docs, clippy::unwrap_used)]

use aggregator::streaming::stages::{Decoded, Judge};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use domain::catalog::Aggregation;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, EventId, SeriesId};
use domain::ids::{MetricId, OrganizationId};
use domain::log_line::write_event;
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use event_log::consumer::Record;
use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The program's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 200;
const LINES: u64 = 1_000;
const EVENTS: u64 = RECORDS * LINES;
const CUSTOMERS: u64 = 20_000;
const KNOWN_IDS: usize = 10_000_000;
const ORGANIZATION: OrganizationId = OrganizationId(Uuid::from_u128(7));
const CODES: [&str; 4] = ["api_calls", "tokens", "storage", "active_users"];
/// 2026-03-01T00:00:00Z.
const MARCH: i64 = 1_772_323_200_000_000;

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

/// Spreads numbers like a hash does.
fn mixed(number: u64) -> u64 {
    let spread = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (spread ^ (spread >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 20
}

fn record(number: u64) -> Record {
    let mut batch = EventBatch::new(ORGANIZATION, Timestamp(MARCH));
    for event in number * LINES..(number + 1) * LINES {
        let random = mixed(event);
        let properties = format!(
            "{{\"amount\":{}.{:03},\"region\":\"eu-{}\",\"user\":\"load-u{:02}\",\"model\":\"large-2\",\"note\":\"{}\"}}",
            random % 4_096,
            random % 1_000,
            random % 4,
            random % 50,
            "x".repeat(24)
        );
        batch.push(&EventRow {
            transaction_id: &format!("req-7f3a{event:012}-0001"),
            timestamp: Timestamp(MARCH + i64::try_from(event * 1_000_003 % 2_000_000_000_000).unwrap()),
            content: Content {
                code: CODES[usize::try_from(event % 4).unwrap()],
                customer: &format!("customer-{:05}", random % CUSTOMERS),
                subscription: "",
                properties: &properties,
                precise_total_amount_cents: "",
            },
        });
    }
    let mut lines = Vec::new();
    (0..batch.len()).for_each(|row| write_event(&mut lines, &batch, row));
    Record { partition: 0, offset: number, stamped_at_millis: Some(MARCH / 1_000), lines }
}

fn catalog() -> SnapshotCell {
    let metric = |aggregation, field: Option<&str>, dimensions: &[&str]| MetricEntry {
        id: MetricId::random(),
        version: 1,
        aggregation,
        field_name: field.map(Into::into),
        dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
    };
    let metrics = [
        metric(Aggregation::Count, None, &[]),
        metric(Aggregation::Sum, Some("amount"), &[]),
        metric(Aggregation::Max, Some("amount"), &[]),
        metric(Aggregation::UniqueCount, Some("user"), &["region"]),
    ];
    let metrics = CODES.iter().map(|code| (*code).to_owned()).zip(metrics).collect();
    let entry = Arc::new(OrganizationEntry { metrics, ..OrganizationEntry::default() });
    let organizations = [(ORGANIZATION, entry)].into();
    SnapshotCell::fixed(CatalogSnapshot { organizations, ..CatalogSnapshot::default() })
}

fn stages(criterion: &mut Criterion<ThreadTime>) {
    let records: Vec<Record> = (0..RECORDS).map(record).collect();
    let decoded = Decoded::of(records.clone());
    let judge = || Judge::new(catalog(), KNOWN_IDS);
    let collected = judge().collect(decoded.clone());
    assert_eq!(collected.events() as u64, EVENTS);
    let texts: Vec<(String, String)> = (0..EVENTS)
        .map(|event| (format!("req-7f3a{event:012}-0001"), format!("customer-{:05}", mixed(event) % CUSTOMERS)))
        .collect();
    let mut group = criterion.benchmark_group("200,000 events");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("decode", |b| b.iter_batched(|| records.clone(), Decoded::of, BatchSize::LargeInput));
    group.bench_function("of it the id", |b| {
        b.iter(|| texts.iter().map(|(id, _)| EventId::derive(ORGANIZATION, id).0).fold(0, |a, b| a ^ b));
    });
    group.bench_function("of it the series", |b| {
        b.iter(|| {
            texts.iter().map(|(_, one)| SeriesId::derive(ORGANIZATION, "tokens", one, "").0).fold(0, |a, b| a ^ b)
        });
    });
    group.bench_function("is it known", |b| {
        let judge = judge();
        b.iter(|| judge.maybe_known(black_box(&decoded)));
    });
    group.bench_function("collect", |b| {
        b.iter_batched(
            || (judge(), decoded.clone()),
            |(mut judge, decoded)| (judge.collect(decoded), judge),
            BatchSize::PerIteration,
        );
    });
    group.bench_function("events as columns", |b| b.iter_with_large_drop(|| collected.event_block()));
    group.bench_function("ids as columns", |b| b.iter_with_large_drop(|| collected.id_block()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(ThreadTime);
    targets = stages
}
criterion_main!(benches);
