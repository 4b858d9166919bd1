//! The direct writer: durable before it answers, each id once, over restarts and failures.

use crate::schema::clickhouse_client;
use crate::support::{MARCH, Sent, batch, batch_at, catalog_of, config_of, fresh_store};
use aggregator::reads::{PageRequest, RejectionFilter, RejectionReason};
use aggregator::{
    AcceptError, Accepted, DirectConfig, DirectWriter, DuplicateKind, DuplicateRow, EventStore, WriterState,
};
use domain::catalog::Aggregation;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use engine::testing::TestEngine;
use std::time::Duration;

const ALL: PageRequest = PageRequest { skip: 0, limit: 1_000 };

fn duplicate(row: u32, kind: DuplicateKind) -> DuplicateRow {
    DuplicateRow { row, kind }
}

#[tokio::test]
async fn an_accepted_event_comes_back_as_it_was_sent() {
    let organization = OrganizationId::random();
    let metrics: &[(&str, Aggregation, Option<&str>, &[&str])] = &[("api", Aggregation::Sum, Some("v"), &["region"])];
    let (writer, store, _) = fresh_store(catalog_of(organization, metrics)).await;
    let properties = r#"{"v": 12345678901234567890.123456789, "region": "e\u00fc", "x": [1, {"y": null}]}"#;
    let mut sent = Sent::new("it's \\ a ?{test}", "api", "customer\n1", MARCH + 123_456, properties);
    sent.subscription = "sub-1".into();
    let accepted =
        writer.accept(batch_at(organization, 1_777_000_000_000_001, std::slice::from_ref(&sent))).await.unwrap();
    assert_eq!(accepted, Accepted::default());
    let id = EventId::derive(organization, &sent.transaction_id);
    let stored = store.event(organization, id).await.unwrap().unwrap();
    assert_eq!(stored.transaction_id, sent.transaction_id);
    assert_eq!(stored.external_customer_id, sent.customer);
    assert_eq!(stored.external_subscription_id, sent.subscription);
    assert_eq!(stored.properties, sent.properties);
    assert_eq!(stored.timestamp, Timestamp(sent.timestamp));
    assert_eq!(stored.ingested_at, Timestamp(1_777_000_000_000_001));
    assert_eq!((stored.position.epoch, stored.position.partition, stored.position.offset), (0, 0, 1));
    assert_eq!(
        store.event(OrganizationId::random(), id).await.unwrap(),
        None,
        "another tenant's id finds nothing (I8)"
    );
}

#[tokio::test]
async fn copies_are_told_apart_inside_a_batch_and_between_batches() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let original = Sent::new("t", "api", "c", MARCH, r#"{"v":1}"#);
    let restamped = Sent { timestamp: MARCH + 1, ..original.clone() };
    let conflict = Sent { properties: r#"{"v":2}"#.into(), ..original.clone() };
    let first = batch(organization, &[original.clone(), original.clone(), restamped.clone(), conflict.clone()]);
    let expected = vec![
        duplicate(1, DuplicateKind::Exact),
        duplicate(2, DuplicateKind::Restamped),
        duplicate(3, DuplicateKind::Conflict),
    ];
    assert_eq!(writer.accept(first).await.unwrap().duplicates, expected);
    let again = batch(organization, &[conflict, restamped, original.clone()]);
    let all_known = vec![
        duplicate(0, DuplicateKind::Conflict),
        duplicate(1, DuplicateKind::Restamped),
        duplicate(2, DuplicateKind::Exact),
    ];
    assert_eq!(writer.accept(again).await.unwrap().duplicates, all_known);

    let stored = store.event(organization, EventId::derive(organization, "t")).await.unwrap().unwrap();
    assert_eq!((stored.timestamp, stored.properties), (Timestamp(MARCH), original.properties));
    let (listed, total) = store.rejections(organization, RejectionFilter::default(), ALL).await.unwrap();
    assert_eq!(total, 2, "a copy that is sent again is listed once: {listed:?}");
    let mut reasons: Vec<_> = listed.iter().map(|rejection| rejection.reason).collect();
    reasons.sort();
    assert_eq!(reasons, [RejectionReason::Restamped, RejectionReason::Conflict]);
}

#[tokio::test]
async fn the_same_ids_of_two_organizations_do_not_meet() {
    let (one, other) = (OrganizationId::random(), OrganizationId::random());
    let (writer, store, _) = fresh_store(catalog_of(one, &[])).await;
    let sent = [Sent::new("t", "api", "c", MARCH, "{}")];
    assert!(writer.accept(batch(one, &sent)).await.unwrap().duplicates.is_empty());
    assert!(writer.accept(batch(other, &sent)).await.unwrap().duplicates.is_empty());
    for organization in [one, other] {
        assert!(store.event(organization, EventId::derive(organization, "t")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn concurrent_requests_share_inserts() {
    let organization = OrganizationId::random();
    let (writer, _, config) = fresh_store(catalog_of(organization, &[])).await;
    let requests = (0..300).map(|n| {
        let writer = writer.clone();
        let sent = [Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}")];
        tokio::spawn(async move { writer.accept(batch(organization, &sent)).await })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap().unwrap();
    }
    let (rows, inserts): (u64, u64) = clickhouse_client(&config.database)
        .query("SELECT count(), uniqExact(offset) FROM events")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(rows, 300);
    assert!(inserts < 60, "{inserts} inserts for 300 requests at once");
}

#[tokio::test]
async fn known_ids_are_found_again_after_a_restart() {
    let organization = OrganizationId::random();
    let (writer, _, config) = fresh_store(catalog_of(organization, &[])).await;
    let sent = [Sent::new("t", "api", "c", MARCH, "{}")];
    writer.accept(batch(organization, &sent)).await.unwrap();
    writer.close().await;
    assert!(matches!(writer.accept(batch(organization, &sent)).await, Err(AcceptError::Unavailable { .. })));
    assert!(matches!(writer.state(), WriterState::NotReady(_)));
    let next = DirectWriter::start(config, DirectConfig::default(), catalog_of(organization, &[])).await.unwrap();
    let restamped = [Sent { timestamp: MARCH + 5, ..sent[0].clone() }];
    assert_eq!(next.accept(batch(organization, &sent)).await.unwrap().duplicates, [duplicate(0, DuplicateKind::Exact)]);
    assert_eq!(
        next.accept(batch(organization, &restamped)).await.unwrap().duplicates,
        [duplicate(0, DuplicateKind::Restamped)]
    );
}

#[tokio::test]
async fn ids_that_left_the_recent_map_are_found_in_the_id_table() {
    let organization = OrganizationId::random();
    let config = crate::support::fresh_config();
    let small = DirectConfig { recent_ids: 1, ..DirectConfig::default() };
    let writer = DirectWriter::start(config, small, catalog_of(organization, &[])).await.unwrap();
    let sent: Vec<Sent> = (0..50).map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}")).collect();
    for one in &sent {
        writer.accept(batch(organization, std::slice::from_ref(one))).await.unwrap();
    }
    let accepted = writer.accept(batch(organization, &sent)).await.unwrap();
    assert_eq!(accepted.duplicates.len(), 50);
    assert!(accepted.duplicates.iter().all(|duplicate| duplicate.kind == DuplicateKind::Exact));
}

#[tokio::test]
async fn events_without_commit_record_get_their_ids_at_the_next_start() {
    let organization = OrganizationId::random();
    let (writer, store, config) = fresh_store(catalog_of(organization, &[])).await;
    let sent: Vec<Sent> = (0..3).map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}")).collect();
    writer.accept(batch(organization, &sent[..1])).await.unwrap();
    writer.accept(batch(organization, &sent[1..])).await.unwrap();
    writer.close().await;
    // As if the second group's process had died between its two inserts.
    let client = clickhouse_client(&config.database);
    client.query("ALTER TABLE event_ids DELETE WHERE offset = 2 SETTINGS mutations_sync = 2").execute().await.unwrap();
    assert_eq!(store.committed_cut().await.unwrap(), domain::position::Cut::direct(1));

    let next = DirectWriter::start(config, DirectConfig::default(), catalog_of(organization, &[])).await.unwrap();
    assert_eq!(store.committed_cut().await.unwrap(), domain::position::Cut::direct(2));
    let kinds: Vec<_> =
        next.accept(batch(organization, &sent)).await.unwrap().duplicates.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [DuplicateKind::Exact; 3]);
    let rows: u64 = client.query("SELECT count() FROM events").fetch_one().await.unwrap();
    assert_eq!(rows, 3);
    let positions: (u64, u64) = client
        .query("SELECT count(), uniqExact(epoch, partition, offset, line) FROM event_ids")
        .fetch_one()
        .await
        .unwrap();
    assert_eq!(positions, (3, 3));
}

#[tokio::test]
async fn an_engine_that_dies_answers_maybe_and_a_retry_stores_each_event_once() {
    let mut engine = TestEngine::start();
    let organization = OrganizationId::random();
    let config = config_of(&engine, "crash");
    let writer =
        DirectWriter::start(config.clone(), DirectConfig::default(), catalog_of(organization, &[])).await.unwrap();
    let sent: Vec<Sent> = (0..200).map(|n| Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}")).collect();
    writer.accept(batch(organization, &sent[..1])).await.unwrap();
    engine.kill();
    let failed = writer.accept(batch(organization, &sent)).await;
    assert!(failed.is_err(), "{failed:?}");
    assert!(writer.admit(10).is_err(), "nothing is taken while the store is down");
    engine.restart();
    let accepted = retry_until_accepted(&writer, organization, &sent).await;
    assert!(accepted.duplicates.contains(&duplicate(0, DuplicateKind::Exact)));
    let store = EventStore::open(config).await.unwrap();
    let ids: Vec<EventId> = sent.iter().map(|one| EventId::derive(organization, &one.transaction_id)).collect();
    assert_eq!(store.events(organization, &ids).await.unwrap().len(), 200);
    assert_eq!(store.verify_unique_ids().await.unwrap().doubtful, 0);
}

pub async fn retry_until_accepted(writer: &DirectWriter, organization: OrganizationId, sent: &[Sent]) -> Accepted {
    for _ in 0..200 {
        match writer.accept(batch(organization, sent)).await {
            Ok(accepted) => return accepted,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    panic!("the writer did not recover: {:?}", writer.state());
}

#[tokio::test]
async fn a_full_writer_refuses_before_anything_is_taken() {
    let organization = OrganizationId::random();
    let config = crate::support::fresh_config();
    let limits = DirectConfig { max_bytes: 10 << 10, ..DirectConfig::default() };
    let writer = DirectWriter::start(config, limits, catalog_of(organization, &[])).await.unwrap();
    let held = writer.admit(8 << 10).unwrap();
    assert!(matches!(writer.admit(8 << 10), Err(AcceptError::Overloaded { .. })));
    drop(held);
    let larger_than_all = writer.admit(1 << 30).unwrap();
    assert!(writer.admit(1).is_err());
    drop(larger_than_all);
    assert!(writer.admit(1).is_ok());
}

#[tokio::test]
async fn closing_finishes_what_was_taken() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let taken: Vec<_> = (0..20)
        .map(|n| {
            let writer = writer.clone();
            let sent = [Sent::new(&format!("t{n}"), "api", "c", MARCH, "{}")];
            tokio::spawn(async move { writer.accept(batch(organization, &sent)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    writer.close().await;
    for (n, request) in taken.into_iter().enumerate() {
        let stored = store.event(organization, EventId::derive(organization, &format!("t{n}"))).await.unwrap();
        assert_eq!(stored.is_some(), request.await.unwrap().is_ok(), "t{n}");
    }
}

#[tokio::test]
async fn a_void_is_confirmed_once_and_may_come_first() {
    let organization = OrganizationId::random();
    let (writer, store, _) = fresh_store(catalog_of(organization, &[])).await;
    let now = Timestamp(1_800_000_000_000_000);
    let early = writer.void(organization, "early", now).await.unwrap();
    assert!(!early.repeated);
    assert_eq!(store.committed_cut().await.unwrap(), domain::position::Cut::direct(early.position.offset));
    writer.accept(batch(organization, &[Sent::new("early", "api", "c", MARCH, "{}")])).await.unwrap();
    let again = writer.void(organization, "early", now).await.unwrap();
    assert_eq!((again.repeated, again.position), (true, early.position));
    let counts = store.rejection_counts(organization, None, None).await.unwrap();
    assert_eq!(counts, [(RejectionReason::Voided, 1)]);
    assert_eq!(store.rejection_counts(OrganizationId::random(), None, None).await.unwrap(), []);
}
