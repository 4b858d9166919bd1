use crate::shared::shared;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, EventId};
use domain::ids::OrganizationId;
use domain::log_line::{LogLine, read_line};
use domain::time::Timestamp;
use event_log::partitioning::partition_of;
use event_log::producer::{LogError, LogProducer};
use event_log::settings::KafkaSettings;
use event_log::testing::{DevKafka, needs_real_brokers};
use event_log::topic::{self, TopicShape};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn settings(kafka: &DevKafka) -> KafkaSettings {
    KafkaSettings { brokers: kafka.bootstrap.clone(), ..KafkaSettings::default() }
}

pub(crate) fn batch(organization: OrganizationId, transaction_ids: impl Iterator<Item = String>) -> EventBatch {
    let mut batch = EventBatch::new(organization, Timestamp(7));
    for transaction_id in transaction_ids {
        let content = Content {
            code: "api",
            customer: "k",
            subscription: "",
            properties: "{\"tokens\":374}",
            precise_total_amount_cents: "",
        };
        batch.push(&EventRow { transaction_id: &transaction_id, timestamp: Timestamp(9), content });
    }
    batch
}

/// Every transaction id in the topic with its partition, in order; fails on a line that cannot be read.
pub(crate) fn read_all(settings: &KafkaSettings, wanted: usize) -> Vec<(u16, String)> {
    let mut config = settings.client();
    let consumer: BaseConsumer = config
        .set("group.id", format!("reader-{}", settings.topic))
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&settings.topic]).unwrap();
    let mut seen = Vec::new();
    let mut silent_polls = 0;
    while seen.len() < wanted || silent_polls < 3 {
        // An error here tells of a broker that is down; what matters is what can be read all the same.
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(500)) else {
            silent_polls += 1;
            assert!(silent_polls < 40, "only {} of {wanted} events in the log", seen.len());
            continue;
        };
        silent_polls = 0;
        let partition = u16::try_from(message.partition()).unwrap();
        let payload = message.payload().unwrap();
        assert!(payload.len() <= event_log::settings::MAX_RECORD_BYTES + 1024);
        // A record may be empty (growing leaves some); otherwise each line has its end.
        assert!(payload.is_empty() || payload.ends_with(b"\n"));
        for line in payload.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match read_line(line).unwrap() {
                LogLine::Event(event) => seen.push((partition, event.transaction_id.into_owned())),
                LogLine::Void { transaction_id, .. } => seen.push((partition, format!("void {transaction_id}"))),
            }
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_share_records_and_every_copy_of_an_id_meets_in_one_partition() {
    let kafka = shared();
    let settings = kafka.settings("concurrent");
    if needs_real_brokers("topics that are missing") {
        assert_eq!(topic::examine(&settings, PATIENCE).await.unwrap(), None, "looking creates nothing");
    }
    let shape = topic::ensure(&settings, PATIENCE).await.unwrap();
    let expected = TopicShape {
        partitions: 6,
        replication: 1,
        min_insync_replicas: 1,
        retention_millis: Some(7 * 24 * 3_600_000),
        retention_bytes: None,
        cleanup_policy: "delete".into(),
        max_message_bytes: 4 * event_log::settings::MAX_RECORD_BYTES,
        is_told: true,
    };
    assert_eq!(shape, TopicShape { is_told: shape.is_told, ..expected.clone() });
    assert!(shape.is_told || !needs_real_brokers("a topic's configuration"));
    assert_eq!(topic::examine(&settings, PATIENCE).await.unwrap().as_ref(), Some(&shape));
    let log = LogProducer::start(&settings, shape.partitions).unwrap();
    let organization = OrganizationId::random();
    let senders = (0..8).map(|sender| {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            for request in 0..10 {
                let ids = (0..250).map(|event| format!("{sender}-{request}-{event}"));
                log.append(&batch(organization, ids)).await.unwrap();
            }
            log.append_void(organization, &format!("{sender}-0-0"), Timestamp(8)).await.unwrap();
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let reading = settings.clone();
    let seen = tokio::task::spawn_blocking(move || read_all(&reading, 20_008)).await.unwrap();
    assert_eq!(seen.len(), 20_008);
    let mut places = HashMap::new();
    for (place, (partition, id)) in seen.iter().enumerate() {
        let event = id.strip_prefix("void ").unwrap_or(id);
        assert_eq!(*partition, partition_of(EventId::derive(organization, event), 6), "{id}");
        assert!(places.insert(id.clone(), place).is_none(), "{id} is in the log twice");
    }
    for sender in 0..8 {
        let event = format!("{sender}-0-0");
        assert!(places[&event] < places[&format!("void {event}")], "a void overtook its event");
    }
    let wrong = KafkaSettings { partitions: 4, ..settings };
    let told = topic::ensure(&wrong, PATIENCE).await.unwrap_err().to_string();
    assert!(told.contains("has 6 partitions"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_brokers_killed_amid_requests_loses_no_acknowledged_event_and_doubles_none() {
    if !needs_real_brokers("three brokers, one of which is killed") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let kafka = DevKafka::start(directory.path(), 3).unwrap();
    let settings = KafkaSettings { replication: 3, min_insync_replicas: 2, ..settings(&kafka) };
    let shape = topic::ensure(&settings, PATIENCE).await.unwrap();
    let log = LogProducer::start(&settings, shape.partitions).unwrap();
    let organization = OrganizationId::random();
    let mut acknowledged = HashSet::new();
    for request in 0..60 {
        if request == 20 {
            kafka.kill(2).unwrap();
        }
        let ids: Vec<_> = (0..100).map(|event| format!("{request}-{event}")).collect();
        match log.append(&batch(organization, ids.iter().cloned())).await {
            Ok(()) => acknowledged.extend(ids),
            Err(LogError::MaybeKept(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    assert!(
        acknowledged.len() >= 5_000,
        "only {} events were acknowledged with two brokers of three",
        acknowledged.len()
    );
    let wanted = acknowledged.len();
    let seen = tokio::task::spawn_blocking(move || read_all(&settings, wanted)).await.unwrap();
    let ids: HashSet<_> = seen.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(ids.len(), seen.len(), "an event is in the log twice");
    assert!(acknowledged.is_subset(&ids), "an acknowledged event is not in the log");
}

#[tokio::test]
async fn a_full_queue_refuses_before_anything_is_taken_and_silent_brokers_are_maybe_kept() {
    let settings = KafkaSettings {
        // The discard port: nothing listens there.
        brokers: "127.0.0.1:9".into(),
        delivery_timeout_ms: 1_500,
        request_timeout_ms: 1_000,
        queue_bytes: 1024 * 1024,
        ..KafkaSettings::default()
    };
    let log = LogProducer::start(&settings, 6).unwrap();
    let room = log.admit(900 * 1024).unwrap();
    assert_eq!(log.admit(200 * 1024).unwrap_err(), LogError::NoRoom);
    drop(room);
    assert!(log.admit(200 * 1024).is_ok());
    let outcome = log.append(&batch(OrganizationId::random(), ["t".to_owned()].into_iter())).await;
    assert!(matches!(outcome, Err(LogError::MaybeKept(_))), "{outcome:?}");
}

async fn next_record(member: &mut event_log::consumer::LogConsumer) -> event_log::consumer::Delivery {
    tokio::time::timeout(PATIENCE, member.next()).await.expect("the log handed out nothing for 30 s").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_member_takes_partitions_over_only_after_the_first_handed_them_over() {
    use event_log::consumer::{Delivery, LogConsumer, high_watermarks};
    let kafka = shared();
    let settings = kafka.settings("members");
    topic::ensure(&settings, PATIENCE).await.unwrap();
    let log = LogProducer::start(&settings, 6).unwrap();
    let organization = OrganizationId::random();
    log.append(&batch(organization, (0..600).map(|event| event.to_string()))).await.unwrap();
    assert_eq!(high_watermarks(&settings, 6, PATIENCE).await.unwrap().values().sum::<u64>(), 6);

    let mut first = LogConsumer::join(&settings, "aggregator").unwrap();
    let Delivery::Assigned(owned) = next_record(&mut first).await else { panic!("a record before its assignment") };
    assert_eq!(owned.len(), 6);
    let mut stored = std::collections::BTreeMap::new();
    while stored.len() < 6 {
        let Delivery::Record(record) = next_record(&mut first).await else { panic!("not a record") };
        stored.insert(record.partition, record.offset);
    }
    first.commit(&stored).await.unwrap();

    let mut second = LogConsumer::join(&settings, "aggregator").unwrap();
    let Delivery::Revoked(revoked, handover) = next_record(&mut first).await else { panic!("not a rebalance") };
    assert_eq!(revoked.len(), 3);
    let early = tokio::time::timeout(Duration::from_secs(2), second.next()).await;
    assert!(
        !matches!(&early, Ok(Some(Delivery::Assigned(taken))) if taken.iter().any(|number| revoked.contains(number))),
        "a partition had two owners"
    );
    drop(handover);
    let mut taken = match early {
        Ok(Some(Delivery::Assigned(none))) => none,
        _ => Vec::new(),
    };
    while taken.is_empty() {
        match next_record(&mut second).await {
            Delivery::Assigned(partitions) => taken = partitions,
            other => panic!("{other:?}"),
        }
    }
    taken.sort_unstable();
    let mut expected = revoked;
    expected.sort_unstable();
    assert_eq!(taken, expected);
    // What the first committed is not read again; what comes now is read once, by whoever owns it.
    log.append(&batch(organization, (600..1_200).map(|event| event.to_string()))).await.unwrap();
    for _ in 0..3 {
        let Delivery::Record(record) = next_record(&mut second).await else { panic!("not a record") };
        assert_eq!(record.offset, 1);
        assert!(expected.contains(&record.partition));
    }
}
