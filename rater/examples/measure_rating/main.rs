//! Measures rating on the workload it is designed for: many events of many subscriptions through the real writer, then every
//! fee at once, one customer's usage among all, and pricing alone.
//!
//! `cargo run --release -p rater --example measure_rating -- --events 30000000 --subscriptions 300000 --data-dir /var/tmp/rating`
//!
//! The engine is a child process on that directory (`TOLLGATE_ENGINE_LIB` names its library). Given the same directory with
//! `--skip-ingest`, only the questions are asked. What counts are the ratios to the baseline of the same run, a query as a careful
//! engineer would write it by hand; absolute figures drift with the machine.

// Floats print durations; a failed measurement ends where it fails; counts here are far below any cast's limit.
#![allow(clippy::unwrap_used, clippy::float_arithmetic)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss
)]

mod pricing;
mod questions;
mod workload;

use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use engine::testing::TestEngine;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use workload::Workload;

/// Events in one batch, as clients send them.
const BATCH: u64 = 10_000;
/// Batches under way at once.
const SENDERS: u64 = 8;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|one| one == name).map(|at| arguments[at + 1].clone());
    let number = |name: &str, usual: u64| value(name).map_or(usual, |text| text.parse().unwrap());
    let (events, subscriptions) = (number("--events", 3_000_000), number("--subscriptions", 300_000));
    let data_dir = value("--data-dir").map_or_else(|| std::env::temp_dir().join("tollgate-rating"), PathBuf::from);
    pricing::run();
    std::fs::create_dir_all(&data_dir).unwrap();
    let engine = TestEngine::on(&data_dir);
    let config = StoreConfig {
        url: engine.url(),
        user: engine.user().to_owned(),
        password: engine.password().to_owned(),
        database: "measure".to_owned(),
    };
    let workload = Arc::new(Workload::new(subscriptions));
    let store = EventStore::open(config.clone()).await.unwrap();
    if !arguments.iter().any(|one| one == "--skip-ingest") {
        ingest(&config, &workload, events).await;
    }
    questions::run(&store, &config, &workload).await;
}

async fn ingest(config: &StoreConfig, workload: &Arc<Workload>, events: u64) {
    // Big groups: what is measured here is rating.
    let limits = DirectConfig { max_group_rows: 400_000, ..DirectConfig::default() };
    let writer = DirectWriter::start(config.clone(), limits, workload.snapshot()).await.unwrap();
    let started = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (writer, workload) = (writer.clone(), workload.clone());
        senders.spawn(async move {
            for batch in (sender..events / BATCH).step_by(SENDERS as usize) {
                writer.accept(Arc::new(workload.batch(batch, BATCH))).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    writer.close().await;
    let seconds = started.elapsed().as_secs_f64();
    println!("ingest: {events} events in {seconds:.1} s, {:.0} a second", events as f64 / seconds);
}
