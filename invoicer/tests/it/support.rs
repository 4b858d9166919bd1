//! An installation of its own for each test: an organization, a plan with three charges, customers, events.

use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use catalog::{Catalog, Database};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use engine::testing::TestEngine;
use http_api::{AuthState, FixedClock, Secret};
use http_body_util::BodyExt;
use invoicer::ledger::runs::RunRecord;
use invoicer::{BillingRuns, DirectInputs, FeeProver, InvoicerState, Portions, RunScope, Unobserved};
use rater::Rater;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use test_postgres::TestPostgres;
use tower::ServiceExt;

pub const ADMIN: &str = "0123456789abcdef0123456789abcdef";

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Everything of one installation; two of them may share the event store.
pub struct Installation {
    pub catalog: Catalog,
    pub writer: DirectWriter,
    pub store: EventStore,
    pub runs: BillingRuns,
    pub clock: Arc<FixedClock>,
    pub router: Router,
    pub config: StoreConfig,
    /// Opens the same database as another process does.
    pub url: String,
    pub folder: tempfile::TempDir,
    sent: AtomicU64,
}

/// A new database of the kind that the module is named after.
async fn database_url(folder: &Path) -> String {
    if module_path!().contains("postgres") {
        return TestPostgres::shared().database().await.unwrap();
    }
    format!("sqlite://{}", folder.join("ledger.db").display())
}

impl Installation {
    pub async fn start() -> Self {
        let engine = TestEngine::shared();
        let config = StoreConfig {
            url: engine.url(),
            user: engine.user().to_owned(),
            password: engine.password().to_owned(),
            database: format!("t{}", uuid::Uuid::new_v4().simple()),
        };
        let folder = tempfile::tempdir().unwrap();
        let url = database_url(folder.path()).await;
        let catalog = Catalog::open(Database::open(&url).await.unwrap()).await.unwrap();
        let writer = DirectWriter::start(config.clone(), DirectConfig::default(), catalog.snapshot()).await.unwrap();
        let store = EventStore::open(config.clone()).await.unwrap();
        let clock = FixedClock::at(at("2026-08-01T00:00:00Z"));
        let runs = runs_over(&catalog, &store, &clock, Portions::default()).await;
        let auth = AuthState::new(catalog.snapshot(), Some(Secret::new(ADMIN)), clock.clone());
        let prover = FeeProver::new(catalog.clone(), Rater::new(store.clone()));
        let state = InvoicerState { runs: runs.clone(), prover, auth };
        let router = http_api::finish(invoicer::router(state));
        Self { catalog, writer, store, runs, clock, router, config, url, folder, sent: AtomicU64::new(0) }
    }

    /// A copy of everything in catalog and ledger, in a database of its own.
    pub async fn copy_of_ledger(&self) -> Catalog {
        let url = if module_path!().contains("postgres") {
            TestPostgres::shared().copy_of(&self.url).await.unwrap()
        } else {
            let copy = self.folder.path().join(format!("copy-{}.db", uuid::Uuid::new_v4()));
            let vacuum = format!("VACUUM INTO '{}'", copy.display());
            sqlx::query(sqlx::AssertSqlSafe(vacuum)).execute(self.catalog.database().pool()).await.unwrap();
            format!("sqlite://{}", copy.display())
        };
        Catalog::open(Database::open(&url).await.unwrap()).await.unwrap()
    }

    /// A new organization with its API key.
    pub async fn organization(&self, name: &str, sandbox: bool) -> Tenant<'_> {
        let new = from(json!({"name": name, "sandbox": sandbox}));
        let (organization, key) = self.catalog.create_organization(&new, at("2026-01-01T00:00:00Z")).await.unwrap();
        Tenant { installation: self, organization: organization.id, key: key.raw_key }
    }

    /// Bills everything due in all organizations.
    pub async fn bill(&self, as_of: &str) -> RunRecord {
        let ended = self.runs.run_to_end(everything(as_of), &Unobserved).await.unwrap();
        assert_eq!(ended.error, None);
        ended
    }

    /// Asks a route; answers status, total count and body.
    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(json) => {
                request = request.header("content-type", "application/json");
                Body::from(json.to_string())
            }
            None => Body::empty(),
        };
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status();
        let total = response.headers().get("x-total-count").map(|count| count.to_str().unwrap().parse().unwrap());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, total, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) }
    }

    /// The text of an answer, whatever its form.
    pub async fn ask_raw(&self, path: String, authorization: String) -> String {
        let request = Request::builder().uri(path).header("authorization", authorization).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }
}

/// Runs over a catalog and a store, as one process has them.
pub async fn runs_over(
    catalog: &Catalog,
    store: &EventStore,
    clock: &Arc<FixedClock>,
    portions: Portions,
) -> BillingRuns {
    let inputs = DirectInputs::new(catalog.clone(), Rater::new(store.clone()), clock.clone());
    BillingRuns::open(catalog.database().clone(), Arc::new(inputs), clock.clone(), portions).await.unwrap()
}

pub fn everything(as_of: &str) -> RunScope {
    RunScope { organization: None, as_of: at(as_of), dry_run: false, reach: invoicer::due::Reach::Everything }
}

pub fn from<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub total: Option<i64>,
    pub body: Value,
}

/// One organization of an installation.
pub struct Tenant<'a> {
    pub installation: &'a Installation,
    pub organization: OrganizationId,
    pub key: String,
}

impl Tenant<'_> {
    /// A monthly plan of 10.00 with three charges: calls at 0.10, gigabytes in tiers, seats at their maximum.
    pub async fn plan(&self) -> String {
        let now = at("2026-01-01T00:00:00Z");
        let catalog = &self.installation.catalog;
        let mut metrics = Vec::new();
        for (code, aggregation, field) in
            [("calls", "count", None), ("gigabytes", "sum", Some("gb")), ("seats", "max", Some("seats"))]
        {
            let new = json!({"code": code, "name": code, "aggregation_type": aggregation, "field_name": field});
            metrics.push(catalog.create_metric(self.organization, from(new), now).await.unwrap().id);
        }
        let tiers = json!({"graduated_ranges": [
            {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "0"},
            {"from_value": 10, "to_value": null, "per_unit_amount": "0.5", "flat_amount": "0"}]});
        let charges = json!([
            {"billable_metric_id": metrics[0], "charge_model": "standard", "properties": {"amount": "0.10"}},
            {"billable_metric_id": metrics[1], "charge_model": "graduated", "properties": tiers},
            {"billable_metric_id": metrics[2], "charge_model": "standard", "properties": {"amount": "5"}}]);
        let new =
            json!({"code": "basic", "name": "Basic", "interval": "monthly", "amount_cents": 1000, "charges": charges});
        catalog.create_plan(self.organization, &from(new), now).await.unwrap().id.to_string()
    }

    /// A customer with one subscription to `plan` from `started_at`; answers both ids.
    pub async fn subscriber(&self, external_id: &str, plan: &str, started_at: &str) -> (String, String) {
        let customer = self.customer(external_id, json!({})).await;
        let subscription = self.subscribe(&customer, &format!("{external_id}-1"), plan, started_at).await;
        (customer, subscription)
    }

    pub async fn customer(&self, external_id: &str, more: Value) -> String {
        let mut new = json!({"external_id": external_id, "name": external_id});
        new.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let now = at("2026-01-01T00:00:00Z");
        let created = self.installation.catalog.create_customer(self.organization, &from(new), now).await;
        created.unwrap().id.to_string()
    }

    pub async fn subscribe(&self, customer: &str, external_id: &str, plan: &str, started_at: &str) -> String {
        let new = json!({
            "external_id": external_id, "customer_id": customer, "plan_id": plan, "started_at": started_at,
        });
        let now = self.installation.clock_now();
        let created = self.installation.catalog.create_subscription(self.organization, &from(new), now).await;
        created.unwrap().id.to_string()
    }

    /// Sends events `(customer, subscription, code, timestamp, properties)` under new ids.
    pub async fn send(&self, events: &[(&str, &str, &str, &str, &str)]) {
        let mut batch = EventBatch::new(self.organization, self.installation.clock_now());
        for (customer, subscription, code, timestamp, properties) in events {
            let number = self.installation.sent.fetch_add(1, Ordering::SeqCst);
            batch.push(&EventRow {
                transaction_id: &format!("e-{number}"),
                timestamp: at(timestamp),
                content: Content { code, customer, subscription, properties, precise_total_amount_cents: "" },
            });
        }
        self.installation.writer.accept(Arc::new(batch)).await.unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        let key = format!("Bearer {}", self.key);
        self.installation.ask(Method::GET, path, &[("authorization", &key)], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let key = format!("Bearer {}", self.key);
        self.installation.ask(Method::POST, path, &[("authorization", &key)], Some(body)).await
    }

    /// All items of a list.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body.as_array().unwrap().clone()
    }
}

impl Installation {
    pub fn clock_now(&self) -> Timestamp {
        use http_api::Clock;
        self.clock.now()
    }
}

pub fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}
