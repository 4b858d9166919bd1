//! A catalog on a fresh database, and requests to its routes.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use catalog::{Catalog, CatalogState, Database};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{AuthState, FixedClock, Secret};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use test_postgres::TestPostgres;
use tower::ServiceExt;

pub const ADMIN: &str = "0123456789abcdef0123456789abcdef";

pub struct World {
    pub catalog: Catalog,
    pub state: CatalogState,
    pub clock: Arc<FixedClock>,
    pub router: Router,
    /// Opens the same database as another process does.
    pub url: String,
    /// Where an embedded database lies; empty on a server.
    pub directory: TempDir,
}

pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of an answer with this status; fails with the whole answer otherwise.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The machine code of an error with this status.
    #[track_caller]
    pub fn code(self, status: u16) -> String {
        self.expect(status)["code"].as_str().unwrap_or_default().to_string()
    }

    /// The places of all faults of a 422.
    #[track_caller]
    pub fn faults(self) -> Vec<String> {
        let body = self.expect(422);
        body["detail"].as_array().unwrap().iter().map(|fault| fault["loc"].to_string()).collect()
    }

    pub fn total(&self) -> i64 {
        self.headers["x-total-count"].to_str().unwrap().parse().unwrap()
    }
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A new database of the kind that the module is named after.
async fn database_url(directory: &Path) -> String {
    if module_path!().contains("postgres") {
        return TestPostgres::shared().database().await.unwrap();
    }
    format!("sqlite://{}", directory.join("ledger.db").display())
}

impl World {
    /// The same database as another process sees it.
    pub async fn other_process(&self) -> Catalog {
        Catalog::open(Database::open(&self.url).await.unwrap()).await.unwrap()
    }

    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut CatalogState)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = database_url(directory.path()).await;
        let catalog = Catalog::open(Database::open(&url).await.unwrap()).await.unwrap();
        let clock = FixedClock::at(at("2026-03-10T12:00:00Z"));
        let auth = AuthState::new(catalog.snapshot(), Some(Secret::new(ADMIN)), clock.clone());
        let mut state = CatalogState::new(catalog.clone(), auth);
        change(&mut state);
        let document = catalog::openapi();
        let operations = catalog::operations(&document);
        let routed: Vec<_> = operations.iter().map(|(method, path)| (method.clone(), path.as_str())).collect();
        let router = catalog::router(state.clone()).merge(catalog::not_built(&routed));
        Self { catalog, state, clock, router: http_api::finish(router), url, directory }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answer { status, headers, body }
    }

    pub async fn admin(&self, method: &str, path: &str, body: Value) -> Answer {
        let request = Request::builder().method(method).uri(path).header("x-admin-secret", ADMIN);
        self.send(with_body(request, body)).await
    }

    /// A new organization.
    pub async fn tenant(&self, name: &str) -> Tenant<'_> {
        self.tenant_of(json!({"name": name})).await
    }

    pub async fn sandbox(&self, name: &str) -> Tenant<'_> {
        self.tenant_of(json!({"name": name, "sandbox": true})).await
    }

    pub async fn tenant_of(&self, body: Value) -> Tenant<'_> {
        let body = self.admin("POST", "/v1/organizations/", body).await.expect(201);
        Tenant {
            world: self,
            key: body["api_key"]["raw_key"].as_str().unwrap().to_string(),
            organization: body["id"].as_str().unwrap().parse().unwrap(),
        }
    }
}

fn with_body(request: axum::http::request::Builder, body: Value) -> Request<Body> {
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

/// One organization with its key.
pub struct Tenant<'a> {
    pub world: &'a World,
    pub key: String,
    pub organization: OrganizationId,
}

impl Tenant<'_> {
    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.ask_with(method, path, &[], body).await
    }

    pub async fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.key);
        let mut request = Request::builder().method(method).uri(path).header("authorization", bearer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.world.send(with_body(request, body)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.ask("PUT", path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, Value::Null).await
    }

    /// A new customer's id.
    pub async fn customer(&self, external_id: &str) -> String {
        let body = json!({"external_id": external_id, "name": "Ada"});
        id_of(&self.post("/v1/customers/", body).await.expect(201))
    }

    /// A new count metric's id.
    pub async fn metric(&self, code: &str) -> String {
        let body = json!({"code": code, "name": code, "aggregation_type": "count"});
        id_of(&self.post("/v1/billable_metrics/", body).await.expect(201))
    }

    /// A new monthly plan's id, one standard charge a metric.
    pub async fn plan(&self, code: &str, metrics: &[&str]) -> String {
        let charges: Vec<Value> = metrics
            .iter()
            .map(|id| json!({"billable_metric_id": id, "charge_model": "standard", "properties": {"amount": "0.01"}}))
            .collect();
        let body = json!({"code": code, "name": code, "interval": "monthly", "amount_cents": 1000, "charges": charges});
        id_of(&self.post("/v1/plans/", body).await.expect(201))
    }

    /// A new subscription's id.
    pub async fn subscription(
        &self,
        external_id: &str,
        customer: &str,
        plan: &str,
        started_at: Option<&str>,
    ) -> String {
        let body =
            json!({"external_id": external_id, "customer_id": customer, "plan_id": plan, "started_at": started_at});
        id_of(&self.post("/v1/subscriptions/", body).await.expect(201))
    }
}

pub fn id_of(body: &Value) -> String {
    body["id"].as_str().unwrap().to_string()
}
