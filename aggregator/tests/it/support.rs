//! A store of its own for each test, events to put in, and a slow and obvious model of what must come out.

use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use domain::catalog::Aggregation;
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::{Content, SeriesId};
use domain::ids::{MetricId, OrganizationId};
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use engine::testing::TestEngine;
use std::sync::Arc;

/// Where `engine` keeps this test's tables.
pub fn config_of(engine: &TestEngine, database: &str) -> StoreConfig {
    StoreConfig {
        url: engine.url(),
        user: engine.user().to_owned(),
        password: engine.password().to_owned(),
        database: database.to_owned(),
    }
}

/// A new database on the engine that all tests share.
pub fn fresh_config() -> StoreConfig {
    config_of(TestEngine::shared(), &format!("t{}", uuid::Uuid::new_v4().simple()))
}

/// A writer and a reader over one new database.
pub async fn fresh_store(catalog: SnapshotCell) -> (DirectWriter, EventStore, StoreConfig) {
    let config = fresh_config();
    let writer = DirectWriter::start(config.clone(), DirectConfig::default(), catalog).await.unwrap();
    let store = EventStore::open(config.clone()).await.unwrap();
    (writer, store, config)
}

/// A catalog that holds one metric for each entry, of one organization.
pub fn catalog_of(
    organization: OrganizationId,
    metrics: &[(&str, Aggregation, Option<&str>, &[&str])],
) -> SnapshotCell {
    let mut entry = OrganizationEntry::default();
    for (code, aggregation, field, dimensions) in metrics {
        let metric = MetricEntry {
            id: MetricId::random(),
            version: 1,
            aggregation: *aggregation,
            field_name: field.map(str::to_owned),
            dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
        };
        entry.metrics.insert((*code).to_owned(), metric);
    }
    let organizations = [(organization, Arc::new(entry))].into();
    SnapshotCell::fixed(CatalogSnapshot { organizations, ..CatalogSnapshot::default() })
}

/// One event as a client would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub transaction_id: String,
    pub code: String,
    pub customer: String,
    pub subscription: String,
    pub timestamp: i64,
    pub properties: String,
}

impl Sent {
    pub fn new(transaction_id: &str, code: &str, customer: &str, timestamp: i64, properties: &str) -> Self {
        Self {
            transaction_id: transaction_id.to_owned(),
            code: code.to_owned(),
            customer: customer.to_owned(),
            subscription: String::new(),
            timestamp,
            properties: properties.to_owned(),
        }
    }

    pub fn content(&self) -> Content<'_> {
        Content {
            code: &self.code,
            customer: &self.customer,
            subscription: &self.subscription,
            properties: &self.properties,
            precise_total_amount_cents: "",
        }
    }

    pub fn series(&self, organization: OrganizationId) -> SeriesId {
        SeriesId::derive(organization, &self.code, &self.customer, &self.subscription)
    }
}

/// The batch that a gateway would make of these events, ingested at `ingested_at`.
pub fn batch_at(organization: OrganizationId, ingested_at: i64, events: &[Sent]) -> Arc<EventBatch> {
    let mut batch = EventBatch::new(organization, Timestamp(ingested_at));
    for event in events {
        batch.push(&EventRow {
            transaction_id: &event.transaction_id,
            timestamp: Timestamp(event.timestamp),
            content: event.content(),
        });
    }
    Arc::new(batch)
}

pub fn batch(organization: OrganizationId, events: &[Sent]) -> Arc<EventBatch> {
    batch_at(organization, 1_800_000_000_000_000, events)
}

/// 2026-03-01T00:00:00Z.
pub const MARCH: i64 = 1_772_323_200_000_000;
/// 2026-04-01T00:00:00Z.
pub const APRIL: i64 = 1_775_001_600_000_000;

/// Cases of a property test that starts databases: few in every run, as many as `PROPTEST_CASES` says in a long one.
pub fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
