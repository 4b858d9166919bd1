//! Several writers of one log.

use super::bench::{Bench, PARTITIONS, events, until_ready};
use engine::testing::TestEngine;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_come_and_go_under_load_share_the_partitions_and_store_each_event_once() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let first = bench.writer().await;
    until_ready(&first).await;
    let mut second = None;
    for round in 0..60 {
        bench.send(&events(round * 100, 150)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        match round {
            10 => second = Some(bench.mortal_writer()),
            45 => second.take().unwrap().kill(),
            _ => {}
        }
        if round == 44 {
            let owned = [&first, &second.as_ref().unwrap().writer].map(|one| one.progress().partitions.len());
            assert_eq!(owned.iter().sum::<usize>(), usize::from(PARTITIONS), "{owned:?}");
            assert!(owned.iter().all(|number| *number > 0), "{owned:?}");
        }
    }
    bench.settled().await;
    bench.check().await;
    first.close().await;
}
