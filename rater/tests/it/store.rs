//! A store of its own for each test, and events to put in.

use crate::fixtures::World;
use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::OrganizationId;
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use engine::testing::TestEngine;
use std::sync::Arc;

/// One event as a client would send it.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub transaction_id: String,
    pub code: String,
    pub customer: String,
    pub subscription: String,
    pub timestamp: i64,
    pub properties: String,
    pub precise_total: String,
}

impl Sent {
    pub fn new(id: &str, code: &str, customer: &str, timestamp: Timestamp, properties: &str) -> Self {
        Self {
            transaction_id: id.into(),
            code: code.into(),
            customer: customer.into(),
            timestamp: timestamp.0,
            properties: properties.into(),
            ..Self::default()
        }
    }

    pub fn of_subscription(mut self, subscription: &str) -> Self {
        self.subscription = subscription.into();
        self
    }

    pub fn content(&self) -> Content<'_> {
        Content {
            code: &self.code,
            customer: &self.customer,
            subscription: &self.subscription,
            properties: &self.properties,
            precise_total_amount_cents: &self.precise_total,
        }
    }
}

/// A writer and a reader over a new database of the shared engine; `snapshot` decides what is extracted.
pub async fn fresh_store(snapshot: SnapshotCell) -> (DirectWriter, EventStore, StoreConfig) {
    let engine = TestEngine::shared();
    let config = StoreConfig {
        url: engine.url(),
        user: engine.user().to_owned(),
        password: engine.password().to_owned(),
        database: format!("t{}", uuid::Uuid::new_v4().simple()),
    };
    let writer = DirectWriter::start(config.clone(), DirectConfig::default(), snapshot).await.unwrap();
    let store = EventStore::open(config.clone()).await.unwrap();
    (writer, store, config)
}

/// What the event path would know of these worlds, with these properties extracted as dimensions.
pub fn snapshot_of(worlds: &[&World], dimensions: &[&str]) -> SnapshotCell {
    let mut snapshot = CatalogSnapshot::default();
    for world in worlds {
        let mut entry = OrganizationEntry::default();
        for metric in &world.metrics {
            let extracted = MetricEntry {
                id: metric.id,
                version: metric.version,
                aggregation: metric.aggregation,
                field_name: metric.field_name.clone(),
                dimensions: dimensions.iter().map(|key| (*key).to_owned()).collect(),
            };
            entry.metrics.insert(metric.code.clone(), extracted);
        }
        snapshot.organizations.insert(world.organization, Arc::new(entry));
    }
    SnapshotCell::fixed(snapshot)
}

pub async fn send(writer: &DirectWriter, world: &World, events: &[Sent]) {
    send_to(writer, world.organization, events).await;
}

pub async fn send_to(writer: &DirectWriter, organization: OrganizationId, events: &[Sent]) {
    let mut batch = EventBatch::new(organization, Timestamp(1_800_000_000_000_000));
    for event in events {
        batch.push(&EventRow {
            transaction_id: &event.transaction_id,
            timestamp: Timestamp(event.timestamp),
            content: event.content(),
        });
    }
    writer.accept(Arc::new(batch)).await.unwrap();
}

/// A statement sent to the engine behind the store's back.
pub async fn execute(config: &StoreConfig, statement: String) {
    let client = reqwest::Client::new();
    let request = client.post(&config.url).basic_auth(&config.user, Some(&config.password));
    let answer = request.body(statement).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}
