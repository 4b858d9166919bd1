use crate::log_on_kafka::{PATIENCE, batch, read_all};
use crate::shared::shared;
use domain::ids::OrganizationId;
use event_log::consumer::high_watermarks;
use event_log::intake::LogIntake;
use event_log::producer::LogError;
use event_log::settings::KafkaSettings;
use event_log::testing::needs_real_brokers;
use event_log::topic::{self, Growth};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Sends requests one after another, each until it is acknowledged; their ids, and how many sendings failed.
async fn send_until(
    intake: Arc<LogIntake>,
    organization: OrganizationId,
    sender: usize,
    stop: Arc<AtomicBool>,
) -> (Vec<String>, usize) {
    let (mut acknowledged, mut failed) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let ids: Vec<String> = (0..20).map(|event| format!("{sender}-{}-{event}", acknowledged.len())).collect();
        loop {
            match intake.accept(&batch(organization, ids.iter().cloned())).await {
                Ok(_) => break,
                Err(LogError::MaybeKept(_)) => failed += 1,
                Err(other) => panic!("{other}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        acknowledged.extend(ids);
    }
    (acknowledged, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_grows_under_traffic_and_every_acknowledged_event_is_in_one_epoch_or_the_other() {
    if !needs_real_brokers("topics whose configuration is altered") {
        return;
    }
    let kafka = shared();
    let first = kafka.settings("growing");
    let intake = Arc::new(LogIntake::start(&first, PATIENCE).await.unwrap());
    assert!(topic::ends(&first, PATIENCE).await.unwrap_err().to_string().contains("is not closed"));
    assert!(topic::grow(&first, first.partitions, PATIENCE).await.unwrap_err().to_string().contains("a larger number"));
    let (organization, stop) = (OrganizationId::random(), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..4)
        .map(|sender| tokio::spawn(send_until(Arc::clone(&intake), organization, sender, Arc::clone(&stop))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Growth { settings: second, ends } = topic::grow(&first, 12, PATIENCE).await.unwrap();
    assert_eq!((second.topic.as_str(), second.epoch, second.partitions), ("growing-2", 2, 12));
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = HashSet::new();
    let mut failed = 0;
    for sender in senders {
        let (ids, failures) = sender.await.unwrap();
        acknowledged.extend(ids);
        failed += failures;
    }
    // Final means final: nothing was written behind them, and running the command again changes nothing.
    assert_eq!(high_watermarks(&first, 6, PATIENCE).await.unwrap(), ends);
    let again = topic::grow(&first, 12, PATIENCE).await.unwrap();
    assert_eq!(again, Growth { settings: second.clone(), ends: ends.clone() });
    assert!(topic::examine(&first, PATIENCE).await.unwrap_err().to_string().contains("is closed"));
    assert_eq!(topic::newest(&first, PATIENCE).await.unwrap(), second);
    assert_eq!(topic::epochs(&second, PATIENCE).await.unwrap(), [first.clone(), second.clone()]);
    // The topic of a third epoch is there, but the second is not closed yet: nobody may write to both.
    let third = second.at_epoch(3, 18);
    topic::ensure(&third, PATIENCE).await.unwrap();
    assert_eq!(topic::newest(&first, PATIENCE).await.unwrap(), second);
    assert_eq!(topic::epochs(&first, PATIENCE).await.unwrap(), [first.clone(), second.clone(), third]);

    let read = |settings: KafkaSettings| tokio::task::spawn_blocking(move || read_all(&settings, 1));
    let (old, new) = (read(first.clone()).await.unwrap(), read(second).await.unwrap());
    let ids: HashSet<String> = old.iter().chain(&new).map(|(_, id)| id.clone()).collect();
    assert!(!old.is_empty() && !new.is_empty() && failed > 0, "{} {} {failed}", old.len(), new.len());
    assert!(new.iter().any(|(partition, _)| *partition >= 6), "the new partitions are used");
    assert_eq!(acknowledged.difference(&ids).next(), None, "an acknowledged event is in neither epoch");
    // A process that starts with the old configuration finds the newest epoch.
    let restarted = LogIntake::start(&first, PATIENCE).await.unwrap();
    assert_eq!(restarted.accept(&batch(organization, ["late".to_owned()].into_iter())).await, Ok(vec![]));
}
