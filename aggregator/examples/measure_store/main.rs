//! Measures the event store on the workload it was designed for: many events of many (customer, metric) pairs through the real
//! writer, then the questions of billing, each beside the alternatives that were tried.
//!
//! `cargo run --release -p aggregator --example measure_store -- --events 30000000 --data-dir /var/tmp/measure`
//!
//! The engine is a child process on that directory (`TOLLGATE_ENGINE_LIB` names its library). Figures go to standard output;
//! what counts are ratios to the baselines of the same run, absolute figures drift with the machine.

// Floats print durations; a failed measurement ends where it fails; counts here are far below any cast's limit.
#![allow(clippy::unwrap_used, clippy::float_arithmetic)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_possible_wrap)]

mod alternatives;
mod ingest;
mod questions;
mod report;
mod trickle;
mod workload;

use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use engine::testing::TestEngine;
use report::{Report, Timer};
use std::path::PathBuf;
use workload::Workload;

/// What is measured, from the command line.
struct Options {
    events: u64,
    pairs: u64,
    batch: usize,
    senders: usize,
    group_rows: usize,
    keep_merging: bool,
    skip_ingest: bool,
    trickle_seconds: u64,
    data_dir: PathBuf,
}

impl Options {
    fn read() -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let value = |name: &str| arguments.iter().position(|one| one == name).map(|at| arguments[at + 1].clone());
        let number = |name: &str, usual: u64| value(name).map_or(usual, |text| text.parse().unwrap());
        let flag = |name: &str| arguments.iter().any(|one| one == name);
        Self {
            events: number("--events", 3_000_000),
            pairs: number("--pairs", 300_000),
            batch: number("--batch", 1_000) as usize,
            senders: number("--senders", 100) as usize,
            group_rows: number("--group-rows", 50_000) as usize,
            keep_merging: flag("--keep-merging"),
            skip_ingest: flag("--skip-ingest"),
            trickle_seconds: number("--trickle", 0),
            data_dir: value("--data-dir").map_or_else(|| std::env::temp_dir().join("tollgate-measure"), PathBuf::from),
        }
    }
}

#[tokio::main]
async fn main() {
    let options = Options::read();
    std::fs::create_dir_all(&options.data_dir).unwrap();
    let engine = TestEngine::on(&options.data_dir);
    let config = StoreConfig {
        url: engine.url(),
        user: engine.user().to_owned(),
        password: engine.password().to_owned(),
        database: "measure".to_owned(),
    };
    let workload = Workload::new(options.pairs, options.batch);
    let mut report = Report::new(engine.process_id().unwrap());
    let store = EventStore::open(config.clone()).await.unwrap();
    let client = report::client(&config);
    if !options.keep_merging {
        for table in ["events", "event_ids"] {
            client.query(&format!("SYSTEM STOP MERGES {table}")).execute().await.unwrap();
        }
    }
    let direct = DirectConfig {
        max_group_rows: options.group_rows,
        max_group_bytes: 4 << 30,
        max_bytes: 4 << 30,
        ..DirectConfig::default()
    };
    let timer = Timer::start();
    let writer = DirectWriter::start(config.clone(), direct, workload.catalog()).await.unwrap();
    report.line("writer start: recovery and filter of known ids", &timer.text());
    if !options.skip_ingest {
        ingest::run(&mut report, &writer, &workload, &options).await;
    }
    if options.trickle_seconds > 0 {
        trickle::run(&mut report, &writer, &client, &workload, options.trickle_seconds).await;
    }
    report.tables(&client).await;
    questions::run(&mut report, &store, &workload).await;
    alternatives::run(&mut report, &client, &workload).await;
    writer.close().await;
}
