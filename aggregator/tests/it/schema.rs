//! Migrations and the blocks that go into each table.

use crate::support::{Sent, batch, catalog_of, config_of, fresh_config, fresh_store};
use aggregator::{DirectConfig, DirectWriter, EventStore, StoreError};
use domain::ids::OrganizationId;
use engine::testing::TestEngine;

#[tokio::test]
async fn opening_a_store_twice_migrates_it_once() {
    let config = fresh_config();
    EventStore::open(config.clone()).await.unwrap();
    EventStore::open(config.clone()).await.unwrap();
    let client = clickhouse_client(&config.database);
    let versions: Vec<u32> =
        client.query("SELECT version FROM schema_migrations ORDER BY version").fetch_all().await.unwrap();
    let newest = EventStore::open(config).await.unwrap().schema_version().await.unwrap();
    let each_once: Vec<u32> = (1..=newest).collect();
    assert_eq!(versions, each_once);
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_by_name() {
    let config = fresh_config();
    EventStore::open(config.clone()).await.unwrap();
    clickhouse_client(&config.database)
        .query("INSERT INTO schema_migrations SELECT toUInt32(99)")
        .execute()
        .await
        .unwrap();
    match EventStore::open(config).await {
        Err(StoreError::SchemaTooNew { found: 99, .. }) => {}
        other => panic!("{:?}", other.err()),
    }
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_an_error_not_a_hang() {
    let mut engine = TestEngine::start();
    engine.kill();
    let started = DirectWriter::start(
        config_of(&engine, "x"),
        DirectConfig::default(),
        catalog_of(OrganizationId::random(), &[]),
    );
    assert!(matches!(started.await, Err(StoreError::Unreachable(_))));
}

#[tokio::test]
async fn one_insert_makes_one_part_in_each_month() {
    let organization = OrganizationId::random();
    let (writer, _, config) = fresh_store(catalog_of(organization, &[])).await;
    let month = 31 * 86_400_000_000_i64;
    let events: Vec<Sent> = (0..3000)
        .map(|n| Sent::new(&format!("t{n}"), "api", "c", crate::support::MARCH + month * (n % 2), "{}"))
        .collect();
    writer.accept(batch(organization, &events)).await.unwrap();
    let parts: Vec<(String, u64)> = clickhouse_client(&config.database)
        .query("SELECT table, count() FROM system.parts WHERE database = currentDatabase() AND table IN ('events', 'event_ids') GROUP BY table ORDER BY table")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(parts, [("event_ids".to_owned(), 1), ("events".to_owned(), 2)]);
}

pub fn clickhouse_client(database: &str) -> clickhouse::Client {
    let engine = TestEngine::shared();
    clickhouse::Client::default()
        .with_url(engine.url())
        .with_user(engine.user())
        .with_password(engine.password())
        .with_database(database)
        .with_compression(clickhouse::Compression::None)
}
