//! What the event path knows: at once after own writes, within a second after those of another process.

use super::world::World;
use domain::ids::OrganizationId;
use domain::snapshot::{MetricEntry, SnapshotCell};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn metric(cell: &SnapshotCell, organization: OrganizationId, code: &str) -> Option<MetricEntry> {
    cell.current().organizations.get(&organization)?.metrics.get(code).cloned()
}

#[tokio::test]
async fn own_writes_are_seen_at_once() {
    let world = World::new().await;
    let cell = world.catalog.snapshot();
    let tenant = world.tenant("Acme").await;
    let id = tenant.metric("m").await;
    assert_eq!(metric(&cell, tenant.organization, "m").unwrap().version, 1);
    tenant.put(&format!("/v1/billable_metrics/{id}"), json!({"field_name": "v"})).await.expect(200);
    let entry = metric(&cell, tenant.organization, "m").unwrap();
    assert_eq!((entry.version, entry.field_name.as_deref()), (2, Some("v")));
    tenant.delete(&format!("/v1/billable_metrics/{id}")).await.expect(204);
    assert_eq!(metric(&cell, tenant.organization, "m"), None);
}

#[tokio::test]
async fn dimensions_are_all_keys_of_filters_and_groups_and_growing_them_makes_a_version() {
    let world = World::new().await;
    let cell = world.catalog.snapshot();
    let tenant = world.tenant("Acme").await;
    let filters = json!([{"key": "region", "values": ["eu"]}]);
    let body = json!({"code": "m", "name": "M", "aggregation_type": "count", "filters": filters});
    let id = tenant.post("/v1/billable_metrics/", body).await.expect(201)["id"].clone();
    let entry = || metric(&cell, tenant.organization, "m").unwrap();
    assert_eq!((entry().version, entry().dimensions), (1, vec!["region".to_string()]));

    let charges = json!([{
        "billable_metric_id": id, "charge_model": "standard", "properties": {"amount": "1", "grouped_by": ["team", "region"]},
        "filters": [{"values": {"region": ["eu"]}, "properties": {"pricing_group_keys": ["app"]}}],
    }]);
    let body = json!({"code": "p", "name": "P", "interval": "monthly", "charges": charges});
    let plan = tenant.post("/v1/plans/", body).await.expect(201)["id"].clone();
    assert_eq!((entry().version, entry().dimensions), (2, ["app", "region", "team"].map(String::from).to_vec()));

    let path = format!("/v1/plans/{}", plan.as_str().unwrap());
    tenant.put(&path, json!({"charges": []})).await.expect(200);
    assert_eq!((entry().version, entry().dimensions.len()), (2, 3), "dimensions only grow");
}

#[tokio::test]
async fn writes_of_another_process_are_seen_within_a_second_and_by_a_miss_at_once() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let other = world.other_process().await;
    let cell = other.snapshot();

    // Also right after another look: what was written before the miss is seen by it.
    for number in 0..5 {
        let code = format!("missed_{number}");
        tenant.metric(&code).await;
        cell.refreshed().await;
        assert!(metric(&cell, tenant.organization, &code).is_some(), "{code}");
    }

    tenant.metric("polled").await;
    let started = Instant::now();
    while metric(&cell, tenant.organization, "polled").is_none() {
        assert!(started.elapsed() < Duration::from_secs(5), "the write was not seen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_misses_at_once_look_rarely() {
    let world = World::new().await;
    let cell = world.catalog.snapshot();
    let started = Instant::now();
    for _ in 0..3 {
        futures::future::join_all((0..1_000).map(|_| cell.refreshed())).await;
    }
    // Looks are 20 ms apart: a look for each of the 3,000 misses would take a minute.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_catalog_opened_again_knows_what_it_knew() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    tenant.metric("m").await;
    let before = world.catalog.snapshot().current();
    let again = world.other_process().await.snapshot().current();
    assert_eq!(again.version, before.version);
    assert_eq!(again.keys.len(), before.keys.len());
    assert_eq!(again.organizations[&tenant.organization].metrics, before.organizations[&tenant.organization].metrics);
    assert_eq!(tenant.ask("GET", "/v1/billable_metrics/", Value::Null).await.total(), 1);
}
