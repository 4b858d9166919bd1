//! I8: no credential, id or filter of one organization reaches another's data. All ids and codes may repeat across them.

use super::world::{Tenant, World, id_of};
use catalog::BillingScope;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Everything an organization can have, under the same names in each.
struct Belongings {
    customer: String,
    metric: String,
    filter: String,
    plan: String,
    subscription: String,
    key: String,
}

async fn belongings(tenant: &Tenant<'_>) -> Belongings {
    let metric = tenant.metric("m").await;
    let filter = tenant.post("/v1/billable_metrics/m/filters", json!({"key": "region"})).await.expect(201);
    let plan = tenant.plan("p", &[&metric]).await;
    let customer = tenant.customer("c").await;
    let subscription = tenant.subscription("s", &customer, &plan, Some("2026-01-01T00:00:00Z")).await;
    let key = tenant.post("/v1/organizations/current/api_keys", json!({"name": "k"})).await.expect(201);
    Belongings { customer, metric, filter: id_of(&filter), plan, subscription, key: id_of(&key) }
}

/// Every request that names something of `other` by id, and what it must be answered.
fn reaches(other: &Belongings) -> Vec<(&'static str, String, Value, u16)> {
    let Belongings { customer, metric, filter, plan, subscription, key } = other;
    let none = Value::Null;
    let mut reaches = vec![
        ("GET", format!("/v1/customers/{customer}"), none.clone(), 404),
        ("PUT", format!("/v1/customers/{customer}"), json!({"name": "stolen"}), 404),
        ("DELETE", format!("/v1/customers/{customer}"), none.clone(), 404),
        ("GET", format!("/v1/billable_metrics/{metric}"), none.clone(), 404),
        ("PUT", format!("/v1/billable_metrics/{metric}"), json!({"name": "stolen"}), 404),
        ("DELETE", format!("/v1/billable_metrics/{metric}"), none.clone(), 404),
        ("DELETE", format!("/v1/billable_metrics/m/filters/{filter}"), none.clone(), 404),
        ("GET", format!("/v1/plans/{plan}"), none.clone(), 404),
        ("PUT", format!("/v1/plans/{plan}"), json!({"name": "stolen", "charges": []}), 404),
        ("DELETE", format!("/v1/plans/{plan}"), none.clone(), 404),
        ("POST", format!("/v1/plans/{plan}/simulate"), json!({"units": 1}), 404),
        ("GET", format!("/v1/subscriptions/{subscription}"), none.clone(), 404),
        ("PUT", format!("/v1/subscriptions/{subscription}"), json!({"name": "stolen"}), 404),
        ("DELETE", format!("/v1/subscriptions/{subscription}"), none.clone(), 404),
        ("GET", format!("/v1/subscriptions/{subscription}/next_billing_date"), none.clone(), 404),
        ("POST", format!("/v1/organizations/current/api_keys/{key}/rotate"), none.clone(), 404),
        ("DELETE", format!("/v1/organizations/current/api_keys/{key}"), none.clone(), 404),
        (
            "POST",
            "/v1/subscriptions/".into(),
            json!({"external_id": "x", "customer_id": customer, "plan_id": plan}),
            400,
        ),
        (
            "POST",
            "/v1/plans/".into(),
            json!({"code": "x", "name": "x", "interval": "monthly", "charges": [
                {"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "1"}}]}),
            400,
        ),
    ];
    for action in ["activate", "pause", "resume", "cancel"] {
        reaches.push(("POST", format!("/v1/subscriptions/{subscription}/{action}"), none.clone(), 404));
    }
    reaches
}

/// All that an organization shows of itself.
async fn picture(tenant: &Tenant<'_>) -> Vec<Value> {
    let mut picture = Vec::new();
    for path in [
        "/v1/organizations/current",
        "/v1/customers/",
        "/v1/billable_metrics/",
        "/v1/billable_metrics/m/filters",
        "/v1/plans/",
        "/v1/subscriptions/",
        "/v1/billable_metrics/plan_counts",
        "/v1/billable_metrics/stats",
        "/v1/plans/subscription_counts",
    ] {
        picture.push(tenant.get(path).await.expect(200));
    }
    let mut keys = tenant.get("/v1/organizations/current/api_keys").await.expect(200);
    for key in keys.as_array_mut().unwrap() {
        key["last_used_at"] = Value::Null;
    }
    picture.push(keys);
    picture
}

#[tokio::test]
async fn no_id_of_one_organization_reaches_another() {
    let world = World::new().await;
    let (mine, other) = (world.tenant("Acme").await, world.tenant("Acme").await);
    belongings(&mine).await;
    let theirs = belongings(&other).await;
    let before = picture(&other).await;
    for (method, path, body, status) in reaches(&theirs) {
        let answer = mine.ask(method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(!answer.body.to_string().contains("stolen"));
    }
    let bulk = json!({"subscription_ids": [theirs.subscription]});
    for action in ["bulk_pause", "bulk_resume", "bulk_terminate"] {
        let told = mine.post(&format!("/v1/subscriptions/{action}"), bulk.clone()).await.expect(200);
        assert_eq!(told["failed_count"], 1);
    }
    assert_eq!(mine.get(&format!("/v1/billable_metrics/{}/plans", theirs.metric)).await.expect(200), json!([]));
    let filtered = mine.get(&format!("/v1/subscriptions/?customer_id={}", theirs.customer)).await;
    assert_eq!(filtered.total(), 0);
    assert_eq!(picture(&other).await, before);
}

#[tokio::test]
async fn naming_another_organization_in_a_header_changes_nothing() {
    let world = World::new().await;
    let (mine, other) = (world.tenant("Mine").await, world.tenant("Other").await);
    other.customer("secret").await;
    let id = other.organization.to_string();
    let answer = mine.ask_with("GET", "/v1/customers/", &[("x-organization-id", &id)], Value::Null).await;
    assert_eq!(answer.total(), 0);
}

#[tokio::test]
async fn bulk_readers_keep_to_their_scope() {
    let world = World::new().await;
    let (mine, other) = (world.tenant("Mine").await, world.tenant("Other").await);
    let theirs = belongings(&other).await;
    belongings(&mine).await;
    let read = |scope| world.catalog.billing_catalog(scope);
    let all = read(BillingScope::All).await.unwrap();
    assert_eq!((all.subscriptions.len(), all.customers.len(), all.plans.len(), all.organizations.len()), (2, 2, 2, 2));
    for scope in [
        BillingScope::Organization(mine.organization),
        BillingScope::Customer(mine.organization, theirs.customer.parse().unwrap()),
        BillingScope::Subscription(mine.organization, theirs.subscription.parse().unwrap()),
    ] {
        let read = read(scope).await.unwrap();
        assert!(read.subscriptions.iter().all(|subscription| subscription.organization == mine.organization));
        assert!(read.customers.values().all(|customer| customer.organization == mine.organization));
        assert!(!read.plans.contains_key(&theirs.plan.parse().unwrap()));
        assert!(!read.metrics.contains_key(&theirs.metric.parse().unwrap()));
        assert_eq!(read.organizations.keys().collect::<Vec<_>>(), [&mine.organization]);
    }
}

/// What one of two organizations does, under names that both use.
#[derive(Clone, Debug)]
enum Step {
    Customer(u8),
    Metric(u8),
    RenameFirstCustomer,
    DeleteFirstCustomer,
    DeleteFirstMetric,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..3).prop_map(Step::Customer),
        (0_u8..3).prop_map(Step::Metric),
        Just(Step::RenameFirstCustomer),
        Just(Step::DeleteFirstCustomer),
        Just(Step::DeleteFirstMetric),
    ]
}

async fn do_step(tenant: &Tenant<'_>, step: &Step) {
    let first = |listed: Value| listed[0]["id"].as_str().map(str::to_string);
    match step {
        Step::Customer(number) => {
            tenant.post("/v1/customers/", json!({"external_id": format!("c{number}"), "name": "n"})).await;
        }
        Step::Metric(number) => {
            let body = json!({"code": format!("m{number}"), "name": "n", "aggregation_type": "count"});
            tenant.post("/v1/billable_metrics/", body).await;
        }
        Step::RenameFirstCustomer => {
            if let Some(id) = first(tenant.get("/v1/customers/?order_by=external_id").await.expect(200)) {
                tenant.put(&format!("/v1/customers/{id}"), json!({"name": "renamed"})).await.expect(200);
            }
        }
        Step::DeleteFirstCustomer => {
            if let Some(id) = first(tenant.get("/v1/customers/?order_by=external_id").await.expect(200)) {
                tenant.delete(&format!("/v1/customers/{id}")).await.expect(204);
            }
        }
        Step::DeleteFirstMetric => {
            if let Some(id) = first(tenant.get("/v1/billable_metrics/?order_by=code").await.expect(200)) {
                tenant.delete(&format!("/v1/billable_metrics/{id}")).await.expect(204);
            }
        }
    }
}

/// What an organization shows, without ids and times.
async fn names(tenant: &Tenant<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for (path, field) in
        [("/v1/customers/?order_by=external_id", "external_id"), ("/v1/billable_metrics/?order_by=code", "code")]
    {
        let listed = tenant.get(path).await;
        names.push(listed.total().to_string());
        let rows = listed.expect(200);
        names.extend(rows.as_array().unwrap().iter().map(|row| format!("{} {}", row[field], row["name"])));
    }
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// An organization's data look the same whether or not another one does things under the same names in between.
    #[test]
    fn what_others_do_in_between_changes_nothing(steps in proptest::collection::vec((any::<bool>(), step()), 1..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (shared, alone) = (World::new().await, World::new().await);
            let (mine, other) = (shared.tenant("Same").await, shared.tenant("Same").await);
            let undisturbed = alone.tenant("Same").await;
            for (is_mine, step) in &steps {
                do_step(if *is_mine { &mine } else { &other }, step).await;
                if *is_mine {
                    do_step(&undisturbed, step).await;
                }
            }
            assert_eq!(names(&mine).await, names(&undisturbed).await);
        });
    }
}
