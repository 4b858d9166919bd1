//! Writers that keep their name over restarts.

use super::bench::{Bench, PARTITIONS, events, until_ready};
use super::zombie::start_sleeper;
use aggregator::WriterState;
use engine::testing::TestEngine;
use event_log::consumer::SESSION;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_writer_that_was_killed_reads_on_at_once_and_one_that_was_told_to_stop_leaves_at_once() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    bench.kafka.instance = Some("first".into());
    let mut killed = start_sleeper(&bench);
    bench.send(&events(0, 200)).await;
    bench.settled().await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    let died = Instant::now();
    let again = bench.writer().await;
    until_ready(&again).await;
    // Without a name the brokers wait for a session from the last heartbeat on, half a second before the end at most.
    assert!(died.elapsed() < SESSION - Duration::from_secs(1), "{:?}", died.elapsed());
    bench.send(&events(100, 200)).await;
    bench.settled().await;
    bench.check().await;

    let left = Instant::now();
    again.close().await;
    bench.kafka.instance = None;
    let other = bench.writer().await;
    until_ready(&other).await;
    assert_eq!(other.progress().partitions.len(), usize::from(PARTITIONS));
    assert!(left.elapsed() < SESSION - Duration::from_secs(1), "{:?}", left.elapsed());
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_of_one_name_the_later_writes_and_the_earlier_says_that_it_does_not() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    bench.kafka.instance = Some("twin".into());
    let earlier = bench.writer().await;
    until_ready(&earlier).await;
    bench.send(&events(0, 200)).await;
    let later = bench.writer().await;
    until_ready(&later).await;
    let deadline = Instant::now() + SESSION;
    while earlier.state() == WriterState::Ready {
        assert!(Instant::now() < deadline, "it has no partitions and says nothing");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bench.send(&events(100, 200)).await;
    bench.settled().await;
    bench.check().await;
    later.close().await;
}
