//! Bad requests on every route: a precise 4xx, never a panic, never a 5xx, nothing stored.

use super::world::{ADMIN, World};
use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every operation of the catalog, with a random id for each parameter.
fn operations() -> Vec<(Method, String)> {
    let fill = |path: String| {
        let parts = path.split('/').map(|part| match part {
            "{code}" => "nope".to_string(),
            part if part.starts_with('{') => uuid::Uuid::new_v4().to_string(),
            part => part.to_string(),
        });
        parts.collect::<Vec<_>>().join("/")
    };
    catalog::operations(&catalog::openapi()).into_iter().map(|(method, path)| (method, fill(path))).collect()
}

fn is_admins(method: &Method, path: &str) -> bool {
    path == "/v1/organizations/"
        || (*method == Method::DELETE && path.matches('/').count() == 3 && path.starts_with("/v1/organizations/"))
}

#[tokio::test]
async fn every_route_refuses_a_request_without_a_good_credential() {
    let world = World::new().await;
    let organization = world.tenant("Acme").await.organization.to_string();
    for (method, path) in operations() {
        for headers in [
            vec![],
            vec![("x-organization-id", organization.as_str())],
            vec![("authorization", "Bearer tg_live_0000")],
            vec![("authorization", "Basic Zm9vOmJhcg==")],
            vec![("x-admin-secret", "wrong"), ("x-organization-id", organization.as_str())],
        ] {
            let mut request = Request::builder().method(method.clone()).uri(&path);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let answer = world.send(request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 401, "{method} {path} {headers:?}: {}", answer.body);
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
}

#[tokio::test]
async fn every_route_with_a_body_refuses_what_is_not_its_json() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let bodies: [(&str, &str, &[u16]); 9] = [
        ("application/json", "{", &[422]),
        ("application/json", "", &[422]),
        ("application/json", "[]", &[422]),
        ("application/json", "\"text\"", &[422]),
        ("application/json", r#"{"name":"a","name":"b"}"#, &[422]),
        ("application/json", r#"{"name":"a\u0000"}"#, &[422]),
        ("application/json", "\u{feff}{}", &[422]),
        ("text/plain", "{}", &[415]),
        ("application/x-www-form-urlencoded", "name=a", &[415]),
    ];
    for (method, path) in operations() {
        let takes_body = method == Method::PUT || method == Method::POST;
        let is_action = ["activate", "pause", "resume", "cancel", "rotate"].iter().any(|action| path.ends_with(action));
        let is_action = is_action && !path.contains("bulk_");
        if !takes_body || is_action {
            continue;
        }
        for (media_type, body, statuses) in bodies {
            let mut request = Request::builder().method(method.clone()).uri(&path).header("content-type", media_type);
            request = if is_admins(&method, &path) {
                request.header("x-admin-secret", ADMIN)
            } else {
                request.header("authorization", format!("Bearer {}", tenant.key))
            };
            let answer = world.send(request.body(Body::from(body)).unwrap()).await;
            assert!(statuses.contains(&answer.status), "{method} {path} {body:?}: {} {}", answer.status, answer.body);
            assert!(answer.body["code"].is_string(), "{}", answer.body);
        }
    }
    for path in ["/v1/customers/", "/v1/billable_metrics/", "/v1/plans/", "/v1/subscriptions/"] {
        assert_eq!(tenant.get(path).await.total(), 0);
    }
}

#[tokio::test]
async fn ids_that_are_none_and_pages_that_are_none_are_422() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    for path in ["/v1/customers/nope", "/v1/plans/1", "/v1/subscriptions/%F0%9F%92%A5", "/v1/billable_metrics/null"] {
        assert_eq!(tenant.get(path).await.status, 422, "{path}");
    }
    for root in ["customers", "billable_metrics", "plans", "subscriptions", "organizations/current/api_keys"] {
        for query in ["limit=0", "limit=1001", "skip=-1", "limit=x", "order_by=nope", "order_by=name:up"] {
            let answer = tenant.get(&format!("/v1/{root}?{query}")).await;
            assert_eq!(answer.status, 422, "{root} {query}");
        }
    }
    assert_eq!(tenant.get("/v1/customers/%ff").await.status, 400);
    assert_eq!(tenant.get("/v1/billable_metrics/%00/filters").await.status, 422);
}

#[tokio::test]
async fn deep_nesting_and_long_bodies_are_refused() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = json!([nested]);
    }
    let deep = json!({"external_id": "c", "name": "n", "billing_metadata": {"x": nested}});
    assert_eq!(tenant.post("/v1/customers/", deep).await.status, 422);
    let long = json!({"external_id": "c", "name": "n", "billing_metadata": {"x": "x".repeat(3_000_000)}});
    assert_eq!(tenant.post("/v1/customers/", long).await.code(413), "body_too_large");
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_as_problems() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let nowhere = tenant.get("/v1/nowhere").await;
    assert_eq!(nowhere.headers["content-type"], "application/problem+json");
    assert_eq!(nowhere.code(404), "no_such_route");
    assert_eq!(tenant.ask("PATCH", "/v1/customers/", Value::Null).await.code(405), "method_not_allowed");
}

/// Values that a client might send where something else belongs.
fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(1e300)),
        Just(json!("")),
        Just(json!("\u{202e}\u{0}x")),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("x".repeat(300))),
        Just(json!([])),
        Just(json!([null, {}])),
        Just(json!({"a": {"b": []}})),
        Just(json!("2026-01-01")),
    ]
}

/// Well-formed bodies, by route.
fn good_bodies() -> Vec<(&'static str, Value)> {
    let id = uuid::Uuid::nil();
    let charge = json!({"billable_metric_id": id, "charge_model": "graduated", "properties": {"graduated_ranges": [
        {"from_value": 0, "to_value": null, "per_unit_amount": "1", "flat_amount": "0"}]}, "filters": [
        {"values": {"region": ["eu"]}, "properties": {}}], "min_amount_cents": 5, "tax_codes": ["vat"]});
    vec![
        (
            "/v1/customers/",
            json!({"external_id": "c", "name": "n", "email": "a@b.c", "currency": "EUR", "timezone": "UTC",
            "billing_metadata": {}, "invoice_grace_period": 1, "net_payment_term": 2}),
        ),
        (
            "/v1/billable_metrics/",
            json!({"code": "m", "name": "n", "aggregation_type": "sum", "field_name": "v",
            "recurring": true, "rounding_function": "ceil", "rounding_precision": 2, "filters": [{"key": "k", "values": ["v"]}]}),
        ),
        (
            "/v1/plans/",
            json!({"code": "p", "name": "n", "interval": "monthly", "amount_cents": 1, "currency": "USD",
            "trial_period_days": 1, "minimum_commitment": {"amount_cents": 1}, "usage_thresholds": [{"amount_cents": 1}],
            "tax_codes": ["vat"], "charges": [charge]}),
        ),
        (
            "/v1/subscriptions/",
            json!({"external_id": "s", "customer_id": id, "plan_id": id, "billing_time": "calendar",
            "pay_in_advance": true, "trial_period_days": 1, "started_at": "2026-01-01T00:00:00Z", "name": "n"}),
        ),
        (
            "/v1/organizations/current/api_keys",
            json!({"name": "n", "expires_at": "2027-01-01T00:00:00Z", "events_per_second": 5}),
        ),
    ]
}

/// All places in a value, as JSON pointers.
fn places(value: &Value, at: String, into: &mut Vec<String>) {
    into.push(at.clone());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, inner)| places(inner, format!("{at}/{name}"), into)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| places(inner, format!("{at}/{index}"), into))
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_odd_value_anywhere_in_a_body_is_answered_with_a_5xx(
        route in 0_usize..5,
        place in any::<proptest::sample::Index>(),
        odd in odd_value(),
    ) {
        thread_local! {
            static RUNTIME: tokio::runtime::Runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        }
        let (path, mut body) = good_bodies().remove(route);
        let mut all = Vec::new();
        places(&body, String::new(), &mut all);
        *body.pointer_mut(place.get(&all[..]).as_str()).unwrap() = odd;
        RUNTIME.with(|runtime| runtime.block_on(async {
            let world = World::new().await;
            let tenant = world.tenant("Acme").await;
            let sent = body.to_string();
            let answer = tenant.post(path, body).await;
            assert!(answer.status < 500, "{path} {sent}: {}", answer.body);
        }));
    }
}
