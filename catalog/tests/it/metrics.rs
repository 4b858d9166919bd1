//! Billable metrics, their filters and versions.

use super::world::{Tenant, World, id_of};
use catalog::{BillingCatalog, BillingScope};
use domain::ids::MetricId;
use serde_json::{Value, json};

async fn billing(tenant: &Tenant<'_>) -> BillingCatalog {
    tenant.world.catalog.billing_catalog(BillingScope::Organization(tenant.organization)).await.unwrap()
}

#[tokio::test]
async fn fields_that_do_not_go_together_are_refused() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let cases = [
        (json!({"aggregation_type": "sum"}), "field_name"),
        (json!({"aggregation_type": "max", "field_name": ""}), "field_name"),
        (json!({"aggregation_type": "unique_count"}), "field_name"),
        (json!({"aggregation_type": "min"}), "field_name"),
        (json!({"aggregation_type": "custom"}), "expression"),
        (json!({"aggregation_type": "custom", "expression": "  "}), "expression"),
        (json!({"aggregation_type": "average", "field_name": "v", "recurring": true}), "recurring"),
        (json!({"aggregation_type": "custom", "expression": "a", "recurring": true}), "recurring"),
        (json!({"aggregation_type": "count", "rounding_precision": 2}), "rounding_precision"),
        (
            json!({"aggregation_type": "count", "rounding_function": "ceil", "rounding_precision": 16}),
            "rounding_precision",
        ),
        (json!({"aggregation_type": "count", "rounding_function": "bankers"}), "rounding_function"),
        (json!({"aggregation_type": "median", "field_name": "v"}), "aggregation_type"),
    ];
    for (fields, fault) in cases {
        let mut body = json!({"code": "m", "name": "M"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let faults = tenant.post("/v1/billable_metrics/", body).await.faults();
        assert_eq!(faults, [format!("[\"body\",\"{fault}\"]")], "{fields}");
    }
    assert_eq!(tenant.get("/v1/billable_metrics/").await.total(), 0);
}

#[tokio::test]
async fn all_nine_aggregations_are_accepted() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    for kind in ["count", "sum", "max", "unique_count", "weighted_sum", "latest", "custom", "min", "average"] {
        let body =
            json!({"code": kind, "name": kind, "aggregation_type": kind, "field_name": "v", "expression": "v * 2"});
        assert_eq!(tenant.post("/v1/billable_metrics/", body).await.expect(201)["aggregation_type"], kind);
    }
    let stats = tenant.get("/v1/billable_metrics/stats").await.expect(200);
    assert_eq!((stats["total"].clone(), stats["by_aggregation_type"]["weighted_sum"].clone()), (json!(9), json!(1)));
}

#[tokio::test]
async fn each_change_that_rating_can_see_is_a_version_of_its_own_and_old_ones_stay() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({"code": "m", "name": "M", "aggregation_type": "sum", "field_name": "a"});
    let id = id_of(&tenant.post("/v1/billable_metrics/", body).await.expect(201));
    let path = format!("/v1/billable_metrics/{id}");
    tenant.put(&path, json!({"description": "for people"})).await.expect(200);
    tenant.put(&path, json!({"field_name": "b"})).await.expect(200);
    let changed = tenant.put(&path, json!({"rounding_function": "ceil"})).await.expect(200);
    assert_eq!((&changed["version"], &changed["description"]), (&json!(3), &json!("for people")));

    let metrics = billing(&tenant).await.metrics;
    let versions = &metrics[&id.parse::<MetricId>().unwrap()];
    let fields: Vec<_> =
        versions.iter().map(|version| (version.version, version.field_name.clone().unwrap())).collect();
    assert_eq!(fields, [(1, "a".into()), (2, "b".into()), (3, "b".into())]);
}

#[tokio::test]
async fn code_and_aggregation_cannot_change_and_a_change_is_checked_as_a_whole() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({"code": "m", "name": "M", "aggregation_type": "sum", "field_name": "a"});
    let id = id_of(&tenant.post("/v1/billable_metrics/", body).await.expect(201));
    let path = format!("/v1/billable_metrics/{id}");
    for (change, fault) in [
        (json!({"code": "n"}), "code"),
        (json!({"aggregation_type": "max"}), "aggregation_type"),
        (json!({"field_name": null}), "field_name"),
        (json!({"rounding_precision": 2}), "rounding_precision"),
    ] {
        assert_eq!(tenant.put(&path, change).await.faults(), [format!("[\"body\",\"{fault}\"]")]);
    }
    tenant.put(&path, json!({"code": "m", "aggregation_type": "sum"})).await.expect(200);
}

#[tokio::test]
async fn filters_are_declared_listed_and_dropped() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let filters = json!([{"key": "region", "values": ["eu", 1, true]}]);
    let body = json!({"code": "m", "name": "M", "aggregation_type": "count", "filters": filters});
    tenant.post("/v1/billable_metrics/", body).await.expect(201);
    let path = "/v1/billable_metrics/m/filters";
    let tier = tenant.post(path, json!({"key": "tier"})).await.expect(201);
    assert_eq!(tenant.post(path, json!({"key": "tier", "values": ["x"]})).await.code(409), "filter_key_taken");
    let listed = tenant.get(path).await.expect(200);
    let keys: Vec<_> =
        listed.as_array().unwrap().iter().map(|row| (row["key"].clone(), row["values"].clone())).collect();
    assert_eq!(keys, [(json!("region"), json!(["eu", "1", "true"])), (json!("tier"), json!([]))]);

    tenant.delete(&format!("{path}/{}", id_of(&tier))).await.expect(204);
    assert_eq!(tenant.delete(&format!("{path}/{}", id_of(&tier))).await.status, 404);
    assert_eq!(tenant.get("/v1/billable_metrics/nope/filters").await.status, 404);
    let versions = billing(&tenant).await.metrics.into_values().next().unwrap();
    assert_eq!(versions.iter().map(|version| version.filters.len()).collect::<Vec<_>>(), [1, 2, 1]);
    for bad in [json!({"key": ""}), json!({"key": "k", "values": [null]}), json!({"key": "k", "values": ["a", "a"]})] {
        assert_eq!(tenant.post(path, bad).await.status, 422);
    }
}

#[tokio::test]
async fn a_metric_that_any_version_of_a_plan_charges_cannot_be_deleted() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (used, free) = (tenant.metric("used").await, tenant.metric("free").await);
    let plan = tenant.plan("p", &[&used]).await;
    assert_eq!(tenant.get("/v1/billable_metrics/plan_counts").await.expect(200), json!({(used.as_str()): 1}));
    let plans = tenant.get(&format!("/v1/billable_metrics/{used}/plans")).await.expect(200);
    assert_eq!(plans[0]["code"], "p");

    tenant.put(&format!("/v1/plans/{plan}"), json!({"charges": []})).await.expect(200);
    assert_eq!(tenant.get("/v1/billable_metrics/plan_counts").await.expect(200), json!({}));
    assert_eq!(tenant.delete(&format!("/v1/billable_metrics/{used}")).await.code(409), "metric_in_use");
    tenant.delete(&format!("/v1/billable_metrics/{free}")).await.expect(204);
    tenant.metric("free").await;
    assert_eq!(
        tenant
            .post("/v1/billable_metrics/", json!({"code": "used", "name": "x", "aggregation_type": "count"}))
            .await
            .code(409),
        "code_taken"
    );
    assert_eq!(
        tenant.get(&format!("/v1/billable_metrics/{free}")).await.expect(404)["detail"],
        Value::from("Billable metric not found")
    );
}
