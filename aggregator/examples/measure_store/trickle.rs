//! Many small commits: their latency, and whether merges keep up.

use crate::report::{Report, percentiles};
use crate::workload::Workload;
use aggregator::DirectWriter;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Commits a second.
const RATE: u64 = 75;
/// Batch numbers that the bulk never reaches.
const FIRST_BATCH: u64 = 1 << 32;

pub async fn run(
    report: &mut Report,
    writer: &DirectWriter,
    client: &clickhouse::Client,
    workload: &Workload,
    seconds: u64,
) {
    client.query("SYSTEM START MERGES events").execute().await.unwrap();
    client.query("SYSTEM START MERGES event_ids").execute().await.unwrap();
    let small = Workload { batch: 200, ..Workload::new(workload.pairs, 200) };
    let mut alone = Vec::new();
    for number in 0..200 {
        let batch = Arc::new(small.batch(FIRST_BATCH + number));
        let started = Instant::now();
        writer.accept(batch).await.unwrap();
        alone.push(started.elapsed());
    }
    report.line("commit of 200 events, one at a time", &percentiles(alone));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE as u32);
    let mut requests = tokio::task::JoinSet::new();
    let mut most_parts = 0;
    for number in 0..seconds * RATE {
        ticks.tick().await;
        let (writer, batch) = (writer.clone(), Arc::new(small.batch(FIRST_BATCH + 1_000 + number)));
        requests.spawn(async move {
            let started = Instant::now();
            writer.accept(batch).await.unwrap();
            started.elapsed()
        });
        if number % (RATE * 5) == 0 {
            most_parts = most_parts.max(parts(client).await);
        }
    }
    let latencies = requests.join_all().await;
    report.line(&format!("{RATE} requests of 200 events a second for {seconds} s"), &percentiles(latencies));
    report
        .line("  most active parts of a table meanwhile", &format!("{most_parts}; at the end {}", parts(client).await));
}

async fn parts(client: &clickhouse::Client) -> u64 {
    let statement = "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts \
         WHERE active AND database = currentDatabase() GROUP BY table)";
    client.query(statement).fetch_one().await.unwrap()
}
