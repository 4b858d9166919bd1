//! Whatever dies, at whatever step: nothing lost, nothing twice.

use super::bench::{Bench, PARTITIONS, events, restamped, until_ready};
use crate::support::Sent;
use aggregator::WriterState;
use aggregator::streaming::{CutError, LogCuts};
use engine::testing::TestEngine;
use event_log::frontier::Frontier;
use std::time::Duration;

/// What an insert that broke off leaves: some months of some offsets, no id rows, no committed offset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_id_rows_get_them_and_the_missing_ones_of_the_same_offsets_are_read_again() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let writer = bench.writer().await;
    for round in 0..4 {
        bench.send(&events(round * 300, 300)).await;
    }
    bench.settled().await;
    writer.close().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let client = bench.client();
    let statements = [
        // Offsets 1 to 3 were under way: of 1 only April, of 2 only March, of 3 both months were written.
        "ALTER TABLE event_ids DELETE WHERE offset >= 1 SETTINGS mutations_sync = 2",
        "ALTER TABLE events DELETE WHERE offset = 1 AND toMonth(timestamp) = 3 SETTINGS mutations_sync = 2",
        "ALTER TABLE events DELETE WHERE offset = 2 AND toMonth(timestamp) != 3 SETTINGS mutations_sync = 2",
        "ALTER TABLE log_claims UPDATE floor = 1 WHERE 1 SETTINGS mutations_sync = 2",
    ];
    for statement in statements {
        client.query(statement).execute().await.unwrap();
    }
    let frontier = Frontier::new(&bench.kafka, &bench.kafka.group).unwrap();
    frontier.set((0..PARTITIONS).map(|partition| (partition, 1)).collect()).await.unwrap();

    // Twice: the first heir dies as soon as it is ready, perhaps amid its own inserts.
    let heir = bench.mortal_writer();
    until_ready(&heir.writer).await;
    heir.kill();
    let last = bench.writer().await;
    bench.settled().await;
    bench.check().await;
    last.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_engine_killed_at_random_under_load_lose_and_double_nothing() {
    let mut engine = TestEngine::start();
    let mut bench = Bench::new(&engine).await;
    let mut writer = Some(bench.mortal_writer());
    let mut next = 0;
    for round in 0..6_u64 {
        for _ in 0..20 {
            let fresh = events(next, 200);
            let copies: Vec<Sent> = if next == 0 { Vec::new() } else { events(next - 150, 20) };
            bench.send(&fresh).await;
            bench.send(&copies).await;
            bench.send(&copies.iter().take(3).map(restamped).collect::<Vec<_>>()).await;
            next += 200;
        }
        tokio::time::sleep(Duration::from_millis(37 * (round % 4))).await;
        match round % 3 {
            0 => writer.take().unwrap().kill(),
            1 => engine.kill(),
            _ => {}
        }
        if engine.process_id().is_none() {
            bench.send(&events(next, 100)).await;
            next += 100;
            tokio::time::sleep(Duration::from_millis(700)).await;
            let alive = writer.as_ref().unwrap();
            assert!(matches!(alive.writer.state(), WriterState::NotReady(_)), "a dead store is not ready");
            engine.restart();
        }
        if writer.is_none() {
            writer = Some(bench.mortal_writer());
        }
    }
    bench.settled().await;
    bench.check().await;
    let writer = writer.unwrap();
    until_ready(&writer.writer).await;
    writer.writer.close().await;
    writer.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_billing_run_that_waits_in_vain_is_told_which_partition_stands_still() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    bench.send(&events(0, 50)).await;
    let cuts = LogCuts::new(&bench.kafka, bench.store().await);
    let told = cuts.wait(Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(told, CutError::Log(_)));
    let told = told.to_string();
    assert!(told.contains("partition 0 of") && told.contains("up to offset 0, needed is 1"), "{told}");
    let writer = bench.writer().await;
    let cut = cuts.wait(super::bench::PATIENCE).await.unwrap();
    assert_eq!(cut.iter().collect::<Vec<_>>(), [(1, 0, 0), (1, 1, 0), (1, 2, 0)]);
    writer.close().await;
}
