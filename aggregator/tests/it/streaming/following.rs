//! The follower: stores that do not have what the brokers believe, and a log that grows.

use super::bench::{Bench, PARTITIONS, PATIENCE, events};
use crate::support::{batch, catalog_of};
use aggregator::streaming::{LogFollower, StreamingConfig};
use engine::testing::TestEngine;
use event_log::producer::LogProducer;
use event_log::topic;
use std::time::Duration;

async fn follower(bench: &Bench) -> Result<LogFollower, String> {
    let config = StreamingConfig { empty_group_patience: Duration::from_secs(2), ..StreamingConfig::default() };
    let catalog = catalog_of(bench.organization, &[]);
    let started = LogFollower::start(bench.config.clone(), bench.kafka.clone(), config, catalog).await;
    started.map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_lost_is_filled_again_and_two_stores_never_share_a_log_between_them() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let first = follower(&bench).await.unwrap();
    bench.send(&events(0, 500)).await;
    bench.settled().await;
    bench.check().await;

    let kept = bench.config.database.clone();
    bench.config.database = format!("{kept}again");
    let refused = follower(&bench).await.err().expect("the group reads into another store");
    assert!(refused.contains("name another kafka.group"), "{refused}");

    // The same store is gone instead: the brokers still say that all of it was stored.
    first.close().await;
    let again = follower(&bench).await.unwrap();
    bench.settled().await;
    bench.check().await;
    again.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_is_stored_only_after_the_one_before_it_and_copies_on_both_sides_are_copies() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    let first_epoch = bench.kafka.clone();
    bench.send(&events(0, 300)).await;
    let grown = topic::grow(&first_epoch, 2 * PARTITIONS, PATIENCE).await.unwrap().settings;
    let log = LogProducer::start(&grown, grown.partitions).unwrap();
    // Events of the old topic once more, and new ones.
    let later = events(200, 300);
    log.append(&batch(bench.organization, &later)).await.unwrap();
    // Nothing was read so far: who starts with either configuration reads the old topic first.
    bench.kafka = grown.clone();
    let one = follower(&bench).await.unwrap();
    bench.kafka = first_epoch.clone();
    let other = follower(&bench).await.unwrap();
    later[100..].iter().for_each(|sent| bench.expect(sent));
    bench.settled().await;
    bench.check().await;
    one.close().await;
    other.close().await;
}
