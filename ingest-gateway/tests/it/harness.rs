//! A gateway with a sink and keys in memory.

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use domain::catalog::Aggregation;
use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::{ApiKeyId, MetricId, OrganizationId};
use domain::position::Position;
use domain::snapshot::{CatalogSnapshot, KeyEntry, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use http_api::auth::{key_bucket, key_hash};
use http_api::idempotency::{Claim, IdempotentRequest, StoredAnswer};
use http_api::{ApiError, AuthState, FixedClock, IdempotencyStore, Secret};
use http_body_util::BodyExt;
use ingest_gateway::{Accepted, EventSink, GatewayLimits, GatewayState, Permit, Readiness, SinkError};
use serde_json::Value;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

pub const KEY: &str = "tg_live_0000000000000000000000000000000000000000000000000000000000000001";
pub const OTHER_KEY: &str = "tg_live_0000000000000000000000000000000000000000000000000000000000000002";
pub const ADMIN_SECRET: &str = "an admin secret of more than 32 characters";
/// 2026-03-01T00:00:00Z.
pub const NOW: Timestamp = Timestamp(1_772_323_200_000_000);

pub fn organization() -> OrganizationId {
    OrganizationId(uuid::Uuid::from_u128(1))
}

pub fn other_organization() -> OrganizationId {
    OrganizationId(uuid::Uuid::from_u128(2))
}

/// A sink in memory that can be told to fail.
#[derive(Default)]
pub struct MemorySink {
    pub events: Mutex<HashMap<(OrganizationId, EventId), StoredEvent>>,
    pub voids: Mutex<HashSet<(OrganizationId, String)>>,
    /// Rows of each batch, in order of arrival.
    pub batches: Mutex<Vec<usize>>,
    /// What the calls of `accept` answer, by their number from 0; absent: they store.
    pub failures: Mutex<HashMap<usize, SinkError>>,
    pub unreadable: Mutex<bool>,
    /// Bytes that may be admitted at once; 0: no limit.
    pub capacity: AtomicUsize,
    pub admitted: Arc<AtomicUsize>,
    pub most_admitted: AtomicUsize,
    calls: AtomicUsize,
}

struct Held(Arc<AtomicUsize>, usize);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

fn stored_event(batch: &EventBatch, row: usize) -> StoredEvent {
    StoredEvent {
        organization: batch.organization,
        id: batch.ids[row],
        transaction_id: batch.transaction_ids.get(row).into(),
        external_customer_id: batch.customers.get(row).into(),
        external_subscription_id: batch.subscriptions.get(row).into(),
        code: batch.codes.get(row).into(),
        timestamp: batch.timestamps[row],
        properties: batch.properties.get(row).into(),
        precise_total_amount_cents: batch.precise_totals.get(row).into(),
        ingested_at: batch.ingested_at,
        position: Position { epoch: 0, partition: 0, offset: 0, index: 0 },
    }
}

#[async_trait]
impl EventSink for MemorySink {
    fn admit(&self, bytes: usize) -> Result<Permit, SinkError> {
        let capacity = self.capacity.load(Ordering::SeqCst);
        let held = self.admitted.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let permit = Held(self.admitted.clone(), bytes);
        self.most_admitted.fetch_max(held, Ordering::SeqCst);
        if capacity > 0 && held > capacity {
            return Err(SinkError::Overloaded { retry_after: Duration::from_millis(1_500) });
        }
        Ok(Permit::holding(permit))
    }

    async fn accept(&self, batch: Arc<EventBatch>) -> Result<Accepted, SinkError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if let Some(error) = self.failures.lock().unwrap().get(&call) {
            return Err(error.clone());
        }
        self.batches.lock().unwrap().push(batch.len());
        let mut events = self.events.lock().unwrap();
        let mut duplicates = Vec::new();
        for row in 0..batch.len() {
            match events.entry((batch.organization, batch.ids[row])) {
                Entry::Occupied(_) => duplicates.push(u32::try_from(row).unwrap()),
                Entry::Vacant(place) => {
                    place.insert(stored_event(&batch, row));
                }
            }
        }
        Ok(Accepted { duplicates })
    }

    async fn void(&self, organization: OrganizationId, transaction_id: &str, _: Timestamp) -> Result<(), SinkError> {
        self.voids.lock().unwrap().insert((organization, transaction_id.into()));
        Ok(())
    }

    async fn stored(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, SinkError> {
        if *self.unreadable.lock().unwrap() {
            return Err(SinkError::Unavailable { reason: "asleep".into(), retry_after: Duration::from_secs(1) });
        }
        let events = self.events.lock().unwrap();
        Ok(ids.iter().filter_map(|id| events.get(&(organization, *id)).cloned()).collect())
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }
}

/// Hash of the body, and the answer once there is one.
type KeptAnswer = ([u8; 32], Option<StoredAnswer>);

#[derive(Default)]
struct MemoryKeys {
    answers: Mutex<HashMap<(OrganizationId, String), KeptAnswer>>,
}

#[async_trait]
impl IdempotencyStore for MemoryKeys {
    async fn claim(&self, request: &IdempotentRequest, _: Timestamp) -> Result<Claim, ApiError> {
        let mut answers = self.answers.lock().unwrap();
        let scope = (request.organization, request.key.clone());
        Ok(match answers.get(&scope) {
            Some((hash, _)) if *hash != request.body_hash => Claim::OtherBody,
            Some((_, Some(answer))) => Claim::Answered(answer.clone()),
            Some((_, None)) => Claim::Running,
            None => {
                answers.insert(scope, (request.body_hash, None));
                Claim::Fresh
            }
        })
    }

    async fn keep(&self, request: &IdempotentRequest, answer: &StoredAnswer) -> Result<(), ApiError> {
        let scope = (request.organization, request.key.clone());
        self.answers.lock().unwrap().insert(scope, (request.body_hash, Some(answer.clone())));
        Ok(())
    }

    async fn release(&self, request: &IdempotentRequest) -> Result<(), ApiError> {
        self.answers.lock().unwrap().remove(&(request.organization, request.key.clone()));
        Ok(())
    }
}

fn metric() -> MetricEntry {
    MetricEntry {
        id: MetricId(uuid::Uuid::from_u128(9)),
        version: 1,
        aggregation: Aggregation::Count,
        field_name: None,
        dimensions: Vec::new(),
    }
}

/// What the catalog says; codes of `newer` appear with the first refresh.
#[derive(Clone, Default)]
pub struct Catalog {
    pub organization_rate: Option<u32>,
    pub key_rate: Option<u32>,
    pub newer_codes: Vec<&'static str>,
    pub sandbox_clock: Option<Timestamp>,
}

impl Catalog {
    fn snapshot(&self, codes: &[&str]) -> CatalogSnapshot {
        let metrics: HashMap<String, MetricEntry> = codes.iter().map(|code| ((*code).into(), metric())).collect();
        let mut snapshot = CatalogSnapshot::default();
        let owners = [(KEY, organization(), self.key_rate), (OTHER_KEY, other_organization(), None)];
        for (number, (raw, owner, events_per_second)) in (1..).zip(owners) {
            let hash = key_hash(raw);
            let id = ApiKeyId(uuid::Uuid::from_u128(number));
            let entry = KeyEntry { id, organization: owner, hash, expires_at: None, events_per_second };
            snapshot.keys.entry(key_bucket(&hash)).or_default().push(entry);
            let events_per_second = self.organization_rate.filter(|_| owner == organization());
            let metrics =
                if owner == organization() { metrics.clone() } else { HashMap::from([("theirs".into(), metric())]) };
            let entry = OrganizationEntry { events_per_second, clock: self.sandbox_clock, metrics };
            snapshot.organizations.insert(owner, Arc::new(entry));
        }
        snapshot
    }

    fn cell(self) -> SnapshotCell {
        let current = Arc::new(ArcSwap::from_pointee(self.snapshot(&["api", "tokens"])));
        let newer = [&["api", "tokens"], self.newer_codes.as_slice()].concat();
        let (newest, target) = (Arc::new(self.snapshot(&newer)), current.clone());
        let refresh = move || {
            target.store(newest.clone());
            Box::pin(async {}) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
        };
        SnapshotCell::new(current, Arc::new(refresh))
    }
}

/// A gateway and what it stored.
pub struct Gateway {
    router: Router,
    pub sink: Arc<MemorySink>,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    pub json: Value,
}

impl Answer {
    /// `loc` of each fault, written as `body/events/3/code`.
    pub fn locs(&self) -> Vec<String> {
        let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), String::from);
        let loc = |fault: &Value| fault["loc"].as_array().unwrap().iter().map(step).collect::<Vec<_>>().join("/");
        self.json["detail"].as_array().unwrap_or(&Vec::new()).iter().map(loc).collect()
    }
}

impl Gateway {
    pub fn new() -> Self {
        Self::with(Catalog::default(), GatewayLimits::default())
    }

    pub fn with(catalog: Catalog, limits: GatewayLimits) -> Self {
        let sink = Arc::new(MemorySink::default());
        let auth = AuthState::new(catalog.cell(), Some(Secret::new(ADMIN_SECRET)), FixedClock::at(NOW));
        let state = GatewayState::new(auth, sink.clone(), Arc::new(MemoryKeys::default()), limits);
        Self { router: http_api::finish(ingest_gateway::router(state)), sink }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        assert!(parts.headers.contains_key("x-request-id"));
        Answer { status: parts.status, headers: parts.headers, text, json }
    }

    /// A POST with the key of the organization.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let authorization = format!("Bearer {KEY}");
        let mut all = vec![("authorization", authorization.as_str())];
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        self.send(request(path, &all, body)).await
    }

    pub async fn lines(&self, body: impl Into<Body>) -> Answer {
        self.post("/v1/events/batch", &[("content-type", "application/x-ndjson")], body).await
    }

    pub fn stored(&self) -> usize {
        self.sink.events.lock().unwrap().len()
    }

    /// Nothing is held for requests that are over.
    pub fn assert_idle(&self) {
        assert_eq!(self.sink.admitted.load(Ordering::SeqCst), 0);
    }
}

pub fn request(path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

pub fn event(transaction_id: &str) -> String {
    format!(
        r#"{{"transaction_id":"{transaction_id}","external_customer_id":"k","code":"api","timestamp":"2026-02-01T10:00:00.25Z","properties":{{"n":0.10}}}}"#
    )
}

pub fn events(count: usize) -> Vec<String> {
    (0..count).map(|number| event(&format!("t{number}"))).collect()
}

pub fn batch(events: &[String]) -> String {
    format!("{{\"events\":[{}]}}", events.join(","))
}
