use crate::log_on_kafka::{PATIENCE, batch, read_all, settings};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use event_log::intake::LogIntake;
use event_log::producer::{LogError, LogProducer};
use event_log::testing::{DevKafka, needs_real_brokers};
use event_log::topic;
use std::sync::Arc;
use std::time::{Duration, Instant};

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_ids_are_counted_and_written_and_a_dead_broker_stops_admission_and_loses_nothing() {
    if !needs_real_brokers("a broker that is killed") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let kafka = DevKafka::start(directory.path(), 1).unwrap();
    let settings = settings(&kafka);
    topic::ensure(&settings, PATIENCE).await.unwrap();
    let intake = Arc::new(LogIntake::new(LogProducer::start(&settings, 6).unwrap()));
    wait_until("ready", || intake.not_ready().is_none()).await;
    let organization = OrganizationId::random();
    let ids = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();

    let first = batch(organization, ids("a b a c b").into_iter());
    assert_eq!(intake.accept(&first).await, Ok(vec![2, 4]), "repeats inside a batch");
    let second = batch(organization, ids("d a e").into_iter());
    assert_eq!(intake.accept(&second).await, Ok(vec![1]), "what was acknowledged before");
    let foreign = batch(OrganizationId::random(), ids("a").into_iter());
    assert_eq!(intake.accept(&foreign).await, Ok(vec![]), "the same id of another organization (I8)");
    intake.void(organization, "a", Timestamp(8)).await.unwrap();

    kafka.kill(1).unwrap();
    let amid = {
        let (intake, events) = (Arc::clone(&intake), batch(organization, ids("f g").into_iter()));
        tokio::spawn(async move { intake.accept(&events).await })
    };
    wait_until("refused", || matches!(intake.admit(10), Err(LogError::Stalled(_)))).await;
    assert!(intake.not_ready().is_some());
    kafka.start_broker(1).unwrap();
    assert_eq!(amid.await.unwrap(), Ok(vec![]), "the broker was back within the delivery time-out");
    wait_until("ready again", || intake.not_ready().is_none() && intake.admit(10).is_ok()).await;

    // Every copy is in the log, once; the store decides among them.
    let seen = tokio::task::spawn_blocking(move || read_all(&settings, 12)).await.unwrap();
    let mut texts: Vec<_> = seen.iter().map(|(_, id)| id.as_str()).collect();
    texts.sort_unstable();
    assert_eq!(texts, ["a", "a", "a", "a", "b", "b", "c", "d", "e", "f", "g", "void a"]);
}
