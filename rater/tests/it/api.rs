//! The routes, over a real catalog and a real engine.

use crate::fixtures::at;
use crate::store::{Sent, fresh_store, send_to};
use aggregator::DirectWriter;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use catalog::{Catalog, CatalogState, Database};
use domain::ids::OrganizationId;
use http_api::{AuthState, FixedClock, Secret};
use http_body_util::BodyExt;
use rater::{Rater, RaterState};
use serde_json::{Value, json};
use std::sync::Arc;
use tempfile::TempDir;
use tower::ServiceExt;

const ADMIN: &str = "0123456789abcdef0123456789abcdef";

/// A catalog, a store, and the routes over both.
pub struct Server {
    router: Router,
    pub writer: DirectWriter,
    pub clock: Arc<FixedClock>,
    _directory: TempDir,
}

/// One organization with its key.
pub struct Tenant<'a> {
    server: &'a Server,
    key: String,
    pub organization: OrganizationId,
}

impl Server {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::open(Database::open_in(directory.path()).await.unwrap()).await.unwrap();
        let clock = FixedClock::at(at("2026-03-10T12:00:00Z"));
        let auth = AuthState::new(catalog.snapshot(), Some(Secret::new(ADMIN)), clock.clone());
        let (writer, store, _) = fresh_store(catalog.snapshot()).await;
        let usage = RaterState { rater: Rater::new(store), catalog: catalog.clone(), auth: auth.clone(), bills: None };
        let router = catalog::router(CatalogState::new(catalog, auth)).merge(rater::router(usage));
        Self { router: http_api::finish(router), writer, clock, _directory: directory }
    }

    async fn answer(&self, request: Request<Body>) -> (u16, HeaderMap, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, headers, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub async fn tenant(&self, name: &str) -> Tenant<'_> {
        let request = Request::builder().method("POST").uri("/v1/organizations/").header("x-admin-secret", ADMIN);
        let request = request.header("content-type", "application/json");
        let (_, _, body) = self.answer(request.body(Body::from(json!({ "name": name }).to_string())).unwrap()).await;
        Tenant {
            server: self,
            key: body["api_key"]["raw_key"].as_str().unwrap().to_owned(),
            organization: body["id"].as_str().unwrap().parse().unwrap(),
        }
    }
}

impl Tenant<'_> {
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, HeaderMap, Value) {
        let request =
            Request::builder().method(method).uri(path).header("authorization", format!("Bearer {}", self.key));
        let content = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.server.answer(request.header("content-type", "application/json").body(content).unwrap()).await
    }

    /// The body of a 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, _, body) = self.ask("GET", path, &Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn refused(&self, path: &str, wanted: u16) {
        let (status, _, body) = self.ask("GET", path, &Value::Null).await;
        assert_eq!(status, wanted, "{path}: {body}");
    }

    /// The id of what was made.
    pub async fn make(&self, path: &str, body: Value) -> String {
        let (status, _, made) = self.ask("POST", path, &body).await;
        assert_eq!(status, 201, "{path}: {made}");
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn events(&self, events: &[Sent]) {
        send_to(&self.server.writer, self.organization, events).await;
    }

    /// A customer in Paris with a subscription since 15 January to a plan that charges `tokens`, grouped by region.
    pub async fn account(&self) -> String {
        let metric = self
            .make(
                "/v1/billable_metrics/",
                json!({"code": "tokens", "name": "Tokens", "aggregation_type": "sum", "field_name": "n"}),
            )
            .await;
        let charge = json!({"billable_metric_id": metric, "charge_model": "standard",
            "properties": {"amount": "0.01", "grouped_by": ["region"]}});
        let plan = self
            .make(
                "/v1/plans/",
                json!({"code": "p", "name": "P", "interval": "monthly", "currency": "EUR", "charges": [charge]}),
            )
            .await;
        let customer = self
            .make(
                "/v1/customers/",
                json!({"external_id": "c", "name": "C", "currency": "EUR", "timezone": "Europe/Paris"}),
            )
            .await;
        self.make(
            "/v1/subscriptions/",
            json!({"external_id": "s", "customer_id": customer, "plan_id": plan, "started_at": "2026-01-15T00:00:00Z"}),
        )
        .await
    }
}

pub fn tokens(id: &str, when: &str, n: &str, region: &str) -> Sent {
    Sent::new(id, "tokens", "c", at(when), &format!("{{\"n\":{n},\"region\":\"{region}\"}}"))
}

#[tokio::test]
async fn usage_of_the_running_and_of_past_periods_is_told_in_the_customers_months() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    let subscription = tenant.account().await;
    tenant
        .events(&[
            tokens("t1", "2026-02-28T22:59:59Z", "7", "eu"),
            tokens("t2", "2026-02-28T23:00:00Z", "100", "eu"),
            tokens("t3", "2026-03-02T10:00:00Z", "\"0.5\"", "us"),
            tokens("t4", "2026-03-31T21:59:59Z", "20", "eu"),
            tokens("t5", "2026-03-31T22:00:00Z", "1000", "eu"),
        ])
        .await;
    let usage = tenant.get("/v1/customers/c/current_usage?subscription_id=s").await;
    assert_eq!(
        (&usage["from_datetime"], &usage["to_datetime"]),
        (&json!("2026-02-28T23:00:00Z"), &json!("2026-03-31T22:00:00Z"))
    );
    assert_eq!((&usage["amount_cents"], &usage["currency"]), (&json!("121"), &json!("EUR")));
    let lines: Vec<_> = usage["charges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (&line["filters"]["region"], &line["units"], &line["amount_cents"]))
        .collect();
    assert_eq!(lines, [(&json!("eu"), &json!("120"), &json!("120")), (&json!("us"), &json!("0.5"), &json!("1"))]);

    let past = tenant.get("/v1/customers/c/past_usage?external_subscription_id=s&periods_count=120").await;
    let past: Vec<_> =
        past.as_array().unwrap().iter().map(|period| (&period["from_datetime"], &period["amount_cents"])).collect();
    // January's period began before the subscription did.
    assert_eq!(past, [(&json!("2026-01-31T23:00:00Z"), &json!("7")), (&json!("2025-12-31T23:00:00Z"), &json!("0"))]);

    let current = tenant.get(&format!("/v1/subscriptions/{subscription}/current_usage")).await;
    assert_eq!(current["current_usage_amount_cents"], "121");
    let trend = tenant
        .get(&format!("/v1/subscriptions/{subscription}/usage_trend?start_date=2026-02-28&end_date=2026-03-02"))
        .await;
    let points: Vec<_> = trend["data_points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| (&point["date"], &point["value"], &point["events_count"]))
        .collect();
    assert_eq!(
        points,
        [
            (&json!("2026-02-28"), &json!("7"), &json!(1)),
            (&json!("2026-03-01"), &json!("100"), &json!(1)),
            (&json!("2026-03-02"), &json!("0.5"), &json!(1)),
        ]
    );
}

#[tokio::test]
async fn what_does_not_exist_or_belongs_to_others_is_not_found() {
    let server = Server::start().await;
    let (tenant, other) = (server.tenant("one").await, server.tenant("other").await);
    let subscription = tenant.account().await;
    tenant.events(&[tokens("t1", "2026-03-02T10:00:00Z", "1", "eu")]).await;
    let event = tenant.get("/v1/events/").await[0]["id"].as_str().unwrap().to_owned();
    for (path, status) in [
        ("/v1/customers/nobody/current_usage?subscription_id=s".to_owned(), 404),
        ("/v1/customers/c/current_usage?subscription_id=nothing".to_owned(), 404),
        ("/v1/customers/c/current_usage".to_owned(), 422),
        ("/v1/customers/c/past_usage?external_subscription_id=s&periods_count=0".to_owned(), 422),
        ("/v1/customers/c/past_usage?external_subscription_id=s&periods_count=121".to_owned(), 422),
        (format!("/v1/subscriptions/{subscription}/usage_trend?start_date=yesterday"), 422),
        (format!("/v1/subscriptions/{subscription}/usage_trend?start_date=2020-01-01"), 422),
        ("/v1/events/?order_by=properties".to_owned(), 422),
        ("/v1/events/?from_timestamp=2026-03-01".to_owned(), 422),
        ("/v1/events/rejections?reason=bad".to_owned(), 422),
        ("/v1/events/not-an-id".to_owned(), 422),
    ] {
        tenant.refused(&path, status).await;
    }
    for path in [
        "/v1/customers/c/current_usage?subscription_id=s".to_owned(),
        format!("/v1/subscriptions/{subscription}/current_usage"),
        format!("/v1/events/{event}"),
    ] {
        other.refused(&path, 404).await;
    }
    assert_eq!(other.get("/v1/events/").await, json!([]));
    assert_eq!(other.get("/v1/events/volume?from_timestamp=2026-03-01T00:00:00Z").await["data_points"], json!([]));
    assert_eq!(other.get("/v1/events/rejections/summary").await, json!({}));
    let bare = Request::builder().uri("/v1/events/").header("x-organization-id", tenant.organization.to_string());
    assert_eq!(server.answer(bare.body(Body::empty()).unwrap()).await.0, 401);
}

#[tokio::test]
async fn events_are_listed_filtered_ordered_and_counted() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    let mut foreign = tokens("t3", "2026-03-10T11:00:00Z", "3", "eu");
    foreign.customer = "d".into();
    tenant
        .events(&[
            tokens("t1", "2026-03-10T10:59:59Z", "12345678901234567890.123456789", "eu"),
            tokens("t2", "2026-03-10T11:00:00Z", "2", "eu"),
            foreign,
            tokens("t4", "2026-03-01T00:00:00Z", "4", "eu"),
        ])
        .await;
    let (_, headers, page) =
        tenant.ask("GET", "/v1/events?external_customer_id=c&order_by=timestamp&limit=2", &Value::Null).await;
    assert_eq!(headers["x-total-count"], "3");
    let ids: Vec<_> = page.as_array().unwrap().iter().map(|event| event["transaction_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["t4", "t1"]);
    let one = tenant.get(&format!("/v1/events/{}", page[1]["id"].as_str().unwrap())).await;
    assert_eq!(one["properties"].to_string(), r#"{"n":12345678901234567890.123456789,"region":"eu"}"#);
    let bounded = tenant.get("/v1/events/?from_timestamp=2026-03-10T10:59:59Z&to_timestamp=2026-03-10T10:59:59Z").await;
    assert_eq!(bounded.as_array().unwrap().len(), 1);
    let volume = tenant.get("/v1/events/volume").await;
    assert_eq!(
        volume["data_points"],
        json!([
            {"timestamp": "2026-03-10 10:00", "count": 1},
            {"timestamp": "2026-03-10 11:00", "count": 2},
        ])
    );
}

#[tokio::test]
async fn what_is_not_billed_as_sent_is_counted_under_its_reason_and_listed() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    let customers = tenant.get("/v1/customers/").await;
    let plans = tenant.get("/v1/plans/").await;
    let second = json!({"external_id": "s2", "customer_id": customers[0]["id"], "plan_id": plans[0]["id"], "started_at": "2026-03-05T00:00:00Z"});
    tenant.make("/v1/subscriptions/", second).await;
    let mut stranger = tokens("stranger", "2026-03-02T10:00:00Z", "1", "eu");
    stranger.customer = "nobody".into();
    let misnamed = tokens("misnamed", "2026-03-02T10:00:00Z", "1", "eu").of_subscription("nothing");
    let unknown_code = Sent::new("code", "nothing", "c", at("2026-03-02T10:00:00Z"), "{}");
    tenant
        .events(&[
            tokens("fine", "2026-03-02T10:00:00Z", "1", "eu"),
            tokens("named", "2026-03-06T10:00:00Z", "1", "eu").of_subscription("s2"),
            tokens("early", "2026-01-14T23:59:59Z", "1", "eu"),
            tokens("either", "2026-03-06T10:00:00Z", "1", "eu"),
            tokens("bad", "2026-03-02T10:00:00Z", "\"x\"", "eu"),
            stranger,
            misnamed,
            unknown_code,
        ])
        .await;
    tenant.events(&[tokens("fine", "2026-03-03T10:00:00Z", "1", "eu")]).await;
    tenant.events(&[tokens("fine", "2026-03-02T10:00:00Z", "2", "eu")]).await;
    server.writer.void(tenant.organization, "named", at("2026-03-10T12:00:00Z")).await.unwrap();

    let summary = tenant.get("/v1/events/rejections/summary").await;
    let wanted = json!({"ambiguous_subscription": 1, "conflict": 1, "invalid_value": 1, "restamped": 1, "unmatched": 4, "voided": 1});
    assert_eq!(summary, wanted);
    let mut listed: Vec<(String, String)> = Vec::new();
    for skip in 0..12 {
        let (_, headers, page) =
            tenant.ask("GET", &format!("/v1/events/rejections?limit=1&skip={skip}"), &Value::Null).await;
        assert_eq!(headers["x-total-count"], "9");
        for rejection in page.as_array().unwrap() {
            let text = |key: &str| rejection[key].as_str().unwrap().to_owned();
            listed.push((text("reason"), text("transaction_id")));
        }
    }
    listed.sort();
    let pair = |reason: &str, id: &str| (reason.to_owned(), id.to_owned());
    assert_eq!(
        listed,
        [
            pair("ambiguous_subscription", "either"),
            pair("conflict", "fine"),
            pair("invalid_value", "bad"),
            pair("restamped", "fine"),
            pair("unmatched", "code"),
            pair("unmatched", "early"),
            pair("unmatched", "misnamed"),
            pair("unmatched", "stranger"),
            pair("voided", "named"),
        ]
    );
    let (_, headers, page) = tenant
        .ask(
            "GET",
            "/v1/events/rejections/?reason=unmatched&from=2026-02-01T00:00:00Z&to=2026-03-02T10:00:00Z",
            &Value::Null,
        )
        .await;
    assert_eq!((headers["x-total-count"].to_str().unwrap(), page.as_array().unwrap().len()), ("3", 3));
    assert_eq!(tenant.get("/v1/events/rejections?reason=dead_letter").await, json!([]));
}

#[tokio::test]
async fn now_is_the_clock_of_the_organization() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    server.clock.set(at("2026-05-01T00:00:00Z"));
    let usage = tenant.get("/v1/customers/c/current_usage?subscription_id=s").await;
    assert_eq!(usage["from_datetime"], "2026-04-30T22:00:00Z");
}

#[tokio::test]
async fn the_busiest_metrics_of_a_window_are_named_and_counted() {
    let server = Server::start().await;
    let (tenant, other) = (server.tenant("one").await, server.tenant("other").await);
    tenant.account().await;
    let nobodys = |id: &str| Sent::new(id, "nothing", "c", at("2026-03-09T00:00:00Z"), "{}");
    tenant
        .events(&[
            tokens("t1", "2026-03-10T23:59:59.999999Z", "1", "eu"),
            tokens("t2", "2026-02-09T00:00:00Z", "1", "eu"),
            tokens("t3", "2026-02-08T23:59:59Z", "1", "eu"),
            tokens("t4", "2026-03-11T00:00:00Z", "1", "eu"),
            nobodys("t5"),
        ])
        .await;
    let top = tenant.get("/dashboard/usage").await;
    let wanted = json!({"top_metrics": [
        {"metric_code": "tokens", "metric_name": "Tokens", "event_count": 2},
        {"metric_code": "nothing", "metric_name": "nothing", "event_count": 1},
    ]});
    assert_eq!(top, wanted);
    let one_day = tenant.get("/dashboard/usage?start_date=2026-02-08&end_date=2026-02-08").await;
    assert_eq!(one_day["top_metrics"][0]["event_count"], 1);
    assert_eq!(other.get("/dashboard/usage").await["top_metrics"], json!([]));
    tenant.refused("/dashboard/usage?start_date=2026-02-08&end_date=2026-02-07", 422).await;
    tenant.refused("/dashboard/usage?start_date=x", 422).await;
}
