//! Measures the log into the store: fills a topic, then starts one writer and waits until all of it is stored.
//!
//! `cargo run --release -p aggregator --example drain_log -- --events 3000000`
//!
//! Broker and engine are started beside it (`deploy/dev-kafka`, `TOLLGATE_ENGINE_LIB`). Figures go to standard output: events a
//! second by the clock, and processor time per million events of this process and of the engine.

// Floats print durations; a failed measurement ends where it fails; counts here are far below any cast's limit.
#![allow(clippy::unwrap_used, clippy::float_arithmetic)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

use aggregator::streaming::{StreamingConfig, StreamingWriter};
use aggregator::{EventStore, StoreConfig};
use domain::catalog::Aggregation;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::{MetricId, OrganizationId};
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use engine::testing::TestEngine;
use event_log::frontier::Frontier;
use event_log::producer::LogProducer;
use event_log::settings::KafkaSettings;
use event_log::testing::DevKafka;
use event_log::topic;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 2026-03-01T00:00:00Z, and 31 days.
const MARCH: i64 = 1_772_323_200_000_000;
const MONTH: i64 = 31 * 86_400_000_000;
const PATIENCE: Duration = Duration::from_secs(600);
/// Events of one request.
const BATCH: u64 = 1_000;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|one| one == name).map(|at| arguments[at + 1].clone());
    let events: u64 = value("--events").map_or(2_000_000, |text| text.parse().unwrap());
    let mut config = StreamingConfig::default();
    if let Some(rows) = value("--group-rows") {
        config.max_group_rows = rows.parse().unwrap();
    }
    let engine = TestEngine::start();
    let store = StoreConfig {
        url: engine.url(),
        user: engine.user().to_owned(),
        password: engine.password().to_owned(),
        database: "measure".to_owned(),
    };
    let kafka = KafkaSettings { brokers: DevKafka::shared().bootstrap.clone(), ..KafkaSettings::default() };
    topic::ensure(&kafka, PATIENCE).await.unwrap();
    let organization = OrganizationId::random();
    fill(&kafka, organization, events).await;

    let frontier = Frontier::new(&kafka, &kafka.group).unwrap();
    let pid = engine.process_id().unwrap();
    let (own, of_engine, started) = (processor_seconds("self"), processor_seconds(&pid.to_string()), Instant::now());
    let writer = StreamingWriter::start(store.clone(), kafka, config, catalog(organization)).await.unwrap();
    frontier.wait(PATIENCE).await.unwrap();
    let seconds = started.elapsed().as_secs_f64();
    let own = processor_seconds("self") - own;
    let of_engine = processor_seconds(&pid.to_string()) - of_engine;
    let millions = events as f64 / 1e6;
    let verified = EventStore::open(store).await.unwrap().verify_unique_ids().await.unwrap();
    assert_eq!((verified.ids, verified.doubtful), (events, 0));
    println!("{events} events drained in {seconds:.2} s: {:.0} events/s", events as f64 / seconds);
    println!("processor seconds per million: writer {:.2}, engine {:.2}", own / millions, of_engine / millions);
    println!("events per second and core, engine included: {:.0}", events as f64 / (own + of_engine));
    writer.close().await;
}

async fn fill(kafka: &KafkaSettings, organization: OrganizationId, events: u64) {
    let log = LogProducer::start(kafka, kafka.partitions).unwrap();
    let started = Instant::now();
    let (mut waiting, mut bytes) = (tokio::task::JoinSet::new(), 0);
    for first in (0..events).step_by(BATCH as usize) {
        let batch = batch(organization, first, BATCH.min(events - first));
        bytes += batch.byte_size();
        let log = Arc::clone(&log);
        waiting.spawn(async move { log.append(&batch).await.unwrap() });
        if waiting.len() >= 32 {
            waiting.join_next().await.unwrap().unwrap();
        }
    }
    while let Some(appended) = waiting.join_next().await {
        appended.unwrap();
    }
    println!("filled in {:.1} s, about {} bytes an event", started.elapsed().as_secs_f64(), bytes as u64 / events);
}

fn batch(organization: OrganizationId, first: u64, number: u64) -> EventBatch {
    let mut batch = EventBatch::new(organization, Timestamp(MARCH + MONTH + first as i64));
    for event in first..first + number {
        // A cheap mixer: numbers to what looks random.
        let random = (event ^ (event >> 7))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0x94d0_49bb_1331_11eb);
        let properties = format!(
            r#"{{"region":"eu-{}","value":{}.{:03},"model":"m-{}","request":{}}}"#,
            random % 4,
            random % 1_000,
            random % 997,
            random % 7,
            random % 100_000
        );
        batch.push(&EventRow {
            transaction_id: &format!("tx-{event:012}"),
            timestamp: Timestamp(MARCH + (random % (MONTH as u64 - 10)) as i64),
            content: Content {
                code: ["api_calls", "tokens", "storage"][(random % 3) as usize],
                customer: &format!("customer-{:06}", random % 100_000),
                subscription: "",
                properties: &properties,
                precise_total_amount_cents: "",
            },
        });
    }
    batch
}

fn catalog(organization: OrganizationId) -> SnapshotCell {
    let metric = |aggregation, field: Option<&str>, dimensions: &[&str]| MetricEntry {
        id: MetricId::random(),
        version: 1,
        aggregation,
        field_name: field.map(str::to_owned),
        dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
    };
    let mut entry = OrganizationEntry::default();
    entry.metrics.insert("api_calls".into(), metric(Aggregation::Count, None, &[]));
    entry.metrics.insert("tokens".into(), metric(Aggregation::Sum, Some("value"), &["region"]));
    entry.metrics.insert("storage".into(), metric(Aggregation::Sum, Some("value"), &[]));
    let organizations = [(organization, Arc::new(entry))].into();
    SnapshotCell::fixed(CatalogSnapshot { organizations, ..CatalogSnapshot::default() })
}

/// User and system time of a process, at the kernel's 100 ticks a second.
fn processor_seconds(process: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}
