//! The direct writer with its journal: answered at once, stored together, replayed after a crash.

use crate::ingest::retry_until_accepted;
use crate::support::{APRIL, MARCH, Sent, batch, catalog_of, config_of, fresh_config};
use aggregator::{AcceptError, DirectConfig, DirectWriter, DuplicateKind, EventStore, StoreConfig};
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::snapshot::SnapshotCell;
use engine::testing::TestEngine;
use sqlx::{ConnectOptions, Connection};
use std::path::Path;

fn journaled_in(directory: &Path) -> DirectConfig {
    DirectConfig { journal: Some(directory.join("journal.db")), ..DirectConfig::default() }
}

async fn start(config: &StoreConfig, directory: &Path, catalog: &SnapshotCell) -> (DirectWriter, EventStore) {
    let writer = DirectWriter::start(config.clone(), journaled_in(directory), catalog.clone()).await.unwrap();
    let store = EventStore::open(config.clone()).await.unwrap().behind(writer.progress());
    (writer, store)
}

fn client(config: &StoreConfig) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(&config.url)
        .with_user(&config.user)
        .with_password(&config.password)
        .with_database(&config.database)
}

/// Single events, in turn of March and April.
fn events(number: i64) -> Vec<Sent> {
    let at = |n: i64| if n % 2 == 0 { MARCH + n } else { APRIL + n };
    (0..number).map(|n| Sent::new(&format!("t{n}"), "api", "c", at(n), "{}")).collect()
}

#[tokio::test]
async fn requests_one_after_the_other_share_inserts_and_readers_see_each_at_once() {
    let organization = OrganizationId::random();
    let (config, directory) = (fresh_config(), tempfile::tempdir().unwrap());
    let (writer, store) = start(&config, directory.path(), &catalog_of(organization, &[])).await;
    for sent in events(300).chunks(1) {
        writer.accept(batch(organization, sent)).await.unwrap();
    }
    assert_eq!(store.committed_cut().await.unwrap(), Cut::direct(300));
    let (rows, positions): (u64, u64) =
        client(&config).query("SELECT count(), uniqExact(offset) FROM events").fetch_one().await.unwrap();
    assert_eq!((rows, positions), (300, 300));
    let parts: i64 = client(&config)
        .query(
            "SELECT max(max_block_number) FROM system.parts WHERE database = currentDatabase() AND table = 'event_ids'",
        )
        .fetch_one()
        .await
        .unwrap();
    assert!(parts < 100, "{parts} inserts for 300 requests");
    for n in [0, 1] {
        let sent = [Sent::new(&format!("new{n}"), "api", "c", MARCH, "{}")];
        writer.accept(batch(organization, &sent)).await.unwrap();
        let id = domain::identity::EventId::derive(organization, &sent[0].transaction_id);
        assert!(store.event(organization, id).await.unwrap().is_some());
    }
}

/// Writes a journal as a writer leaves it that is killed before the store has anything.
async fn journal_of(directory: &Path, organization: OrganizationId, sent: &[Sent]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("journal.db"));
    let mut connection = options.connect().await.unwrap();
    for (offset, one) in (1_i64..).zip(sent) {
        let mut line = Vec::new();
        domain::log_line::write_event(&mut line, &batch(organization, std::slice::from_ref(one)), 0);
        let insert = "INSERT INTO groups (insert_number, lines) VALUES (?, ?)";
        sqlx::query(insert).bind(offset).bind(line).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_replay_that_was_cut_off_anywhere_ends_with_each_event_once_at_its_place() {
    // What a killed process left in the tables: rows to take away from a store that has everything.
    let (april, all) = ("timestamp >= '2026-04-01 00:00:00'", "1");
    let lefts: [(&str, &[(&str, &str)]); 5] = [
        ("nothing", &[("events", all), ("event_ids", all)]),
        ("one month of an insert", &[("events", april), ("event_ids", all)]),
        ("events without ids", &[("event_ids", all)]),
        ("a month whose ids recovery has written", &[("events", april), ("event_ids", april)]),
        ("everything but the journal's end", &[]),
    ];
    let organization = OrganizationId::random();
    let catalog = catalog_of(organization, &[]);
    let sent = events(6);
    for (left, missing) in lefts {
        let (config, directory) = (fresh_config(), tempfile::tempdir().unwrap());
        let (writer, _) = start(&config, directory.path(), &catalog).await;
        for one in sent.chunks(1) {
            writer.accept(batch(organization, one)).await.unwrap();
        }
        writer.close().await;
        for (table, condition) in missing {
            let delete = format!("ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 2");
            client(&config).query(&delete).execute().await.unwrap();
        }
        journal_of(directory.path(), organization, &sent).await;

        let (next, store) = start(&config, directory.path(), &catalog).await;
        assert_eq!(store.committed_cut().await.unwrap(), Cut::direct(6), "{left}");
        for table in ["events", "event_ids"] {
            let places =
                format!("SELECT groupArray((offset, line)) FROM (SELECT offset, line FROM {table} ORDER BY ALL)");
            let places: Vec<(u64, u32)> = client(&config).query(&places).fetch_one().await.unwrap();
            assert_eq!(places, (1..=6).map(|offset| (offset, 0)).collect::<Vec<_>>(), "{left}: {table}");
        }
        let again = next.accept(batch(organization, &sent)).await.unwrap();
        assert!(again.duplicates.iter().all(|one| one.kind == DuplicateKind::Exact), "{left}: {again:?}");
        assert_eq!(again.duplicates.len(), 6, "{left}");
        next.close().await;
        let (third, _) = start(&config, directory.path(), &catalog).await;
        let new = third.accept(batch(organization, &[Sent::new("new", "api", "c", MARCH, "{}")])).await.unwrap();
        assert_eq!(new.duplicates, [], "the journal was emptied");
    }
}

#[tokio::test]
async fn what_was_answered_before_the_engine_died_is_stored_when_it_is_back() {
    let mut engine = TestEngine::start();
    let organization = OrganizationId::random();
    let (config, directory) = (config_of(&engine, "journaled"), tempfile::tempdir().unwrap());
    let (writer, store) = start(&config, directory.path(), &catalog_of(organization, &[])).await;
    let sent = events(40);
    retry_until_accepted(&writer, organization, &sent[..1]).await;
    engine.kill();
    let mut answered = Vec::new();
    for one in &sent[1..] {
        match writer.accept(batch(organization, std::slice::from_ref(one))).await {
            Ok(_) => answered.push(one.clone()),
            Err(AcceptError::Unavailable { .. } | AcceptError::MaybeKept { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!answered.is_empty(), "the journal takes events until the failed insert is noticed");
    engine.restart();
    retry_until_accepted(&writer, organization, &sent[..1]).await;
    let ids: Vec<_> =
        answered.iter().map(|one| domain::identity::EventId::derive(organization, &one.transaction_id)).collect();
    assert_eq!(store.events(organization, &ids).await.unwrap().len(), answered.len());
    assert_eq!(retry_until_accepted(&writer, organization, &answered).await.duplicates.len(), answered.len());
    assert_eq!(store.verify_unique_ids().await.unwrap().doubtful, 0);
}

#[tokio::test]
async fn small_and_large_groups_and_voids_keep_their_order() {
    let organization = OrganizationId::random();
    let (config, directory) = (fresh_config(), tempfile::tempdir().unwrap());
    let (writer, store) = start(&config, directory.path(), &catalog_of(organization, &[])).await;
    let sent = events(7_000);
    let halves = sent.split_at(10);
    let together = futures::future::join_all((0..8).map(|n| {
        let part = if n % 2 == 0 { halves.0 } else { &sent };
        writer.accept(batch(organization, part))
    }));
    let new: usize = together
        .await
        .into_iter()
        .zip(0..)
        .map(|(accepted, n)| if n % 2 == 0 { 10 } else { 7_000 } - accepted.unwrap().duplicates.len())
        .sum();
    assert_eq!(new, 7_000);
    let voided = writer.void(organization, "t3", domain::time::Timestamp(MARCH)).await.unwrap();
    let again = writer.void(organization, "t3", domain::time::Timestamp(MARCH)).await.unwrap();
    assert_eq!((voided.repeated, again.repeated, again.position), (false, true, voided.position));
    assert!(store.committed_cut().await.unwrap().contains(voided.position));
    assert_eq!(store.verify_unique_ids().await.unwrap().doubtful, 0);
}
