//! Several writers of one log.

use super::bench::{Bench, PARTITIONS, events, until_ready};
use engine::testing::TestEngine;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_come_and_go_under_load_share_the_partitions_and_store_each_event_once() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let first = bench.writer().await;
    until_ready(&first).await;
    let second = bench.mortal_writer();
    let owned = || [&first, &second.writer].map(|writer| writer.progress().partitions.len());
    let mut sent = 0;
    while owned().contains(&0) {
        assert!(sent < 60_000, "the partitions are not shared: {:?}", owned());
        bench.send(&events(sent, 150)).await;
        sent += 100;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(owned().iter().sum::<usize>(), usize::from(PARTITIONS), "{:?}", owned());
    second.kill();
    for _ in 0..20 {
        bench.send(&events(sent, 150)).await;
        sent += 100;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bench.settled().await;
    bench.check().await;
    first.close().await;
}
