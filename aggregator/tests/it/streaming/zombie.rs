//! A process that is stopped past its session, and goes on when another has taken over.

use super::bench::{Bench, events, until_ready};
use crate::support::catalog_of;
use aggregator::StoreConfig;
use aggregator::streaming::{StreamingConfig, StreamingWriter};
use engine::testing::TestEngine;
use event_log::settings::KafkaSettings;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SETTINGS: &str = "TOLLGATE_TEST_ZOMBIE";

/// Not a test by itself: the process that [`a_writer_that_slept_past_its_session_writes_nothing_when_it_wakes`] stops.
#[tokio::test]
#[ignore = "started as a process of its own by another test"]
async fn sleeper() {
    let Ok(settings) = std::env::var(SETTINGS) else { return };
    let parts: Vec<String> = settings.split('\n').map(str::to_owned).collect();
    let [url, user, password, database, brokers, topic, group, instance] = parts.try_into().unwrap();
    let store = StoreConfig { url, user, password, database };
    let dead_letter_topic = format!("{topic}.dead-letters");
    let instance = Some(instance).filter(|instance| !instance.is_empty());
    let kafka =
        KafkaSettings { brokers, topic, dead_letter_topic, group, instance, partitions: 3, ..KafkaSettings::default() };
    let catalog = catalog_of(domain::ids::OrganizationId::random(), &[]);
    let writer = StreamingWriter::start(store, kafka, StreamingConfig::default(), catalog).await.unwrap();
    // Until the test kills it.
    tokio::time::sleep(Duration::from_secs(120)).await;
    drop(writer);
}

/// A writer of the bench as a process of its own.
pub(super) fn start_sleeper(bench: &Bench) -> Child {
    let config = &bench.config;
    let kafka = &bench.kafka;
    let unnamed = String::new();
    let parts = [
        &config.url,
        &config.user,
        &config.password,
        &config.database,
        &kafka.brokers,
        &kafka.topic,
        &kafka.group,
        kafka.instance.as_ref().unwrap_or(&unnamed),
    ];
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "streaming::zombie::sleeper", "--ignored"])
        .env(SETTINGS, parts.map(String::as_str).join("\n"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_slept_past_its_session_writes_nothing_when_it_wakes() {
    let mut bench = Bench::new(TestEngine::shared()).await;
    bench.send(&events(0, 200)).await;
    let mut sleeper = start_sleeper(&bench);
    bench.settled().await;
    // Amid inserts: it wakes with a group in its hands.
    for round in 1..8 {
        bench.send(&events(round * 200, 2_000)).await;
    }
    signal(&sleeper, "-STOP");
    let heir = bench.writer().await;
    bench.send(&events(4_000, 200)).await;
    until_ready(&heir).await;
    bench.settled().await;
    bench.check().await;
    signal(&sleeper, "-CONT");
    for round in 0..10 {
        bench.send(&events(5_000 + round * 200, 200)).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.settled().await;
    bench.check().await;
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    bench.settled().await;
    bench.check().await;
    heir.close().await;
}
