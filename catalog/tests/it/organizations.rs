//! Organizations, API keys, the sandbox clock.

use super::world::{World, at, id_of};
use async_trait::async_trait;
use catalog::{ClockMoved, Done};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::ApiError;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn names_that_clash_get_numbered_slugs() {
    let world = World::new().await;
    let mut slugs = Vec::new();
    for _ in 0..3 {
        let body = world.admin("POST", "/v1/organizations/", json!({"name": "Acme Inc."})).await.expect(201);
        slugs.push(body["slug"].as_str().unwrap().to_string());
    }
    assert_eq!(slugs, ["acme-inc", "acme-inc-1", "acme-inc-2"]);
}

#[tokio::test]
async fn only_the_operator_makes_lists_and_wipes_organizations() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let path = format!("/v1/organizations/{}", tenant.organization);
    for (method, path) in [("GET", "/v1/organizations/"), ("POST", "/v1/organizations"), ("DELETE", path.as_str())] {
        assert_eq!(tenant.ask(method, path, json!({"name": "x"})).await.status, 401);
    }
    let listed = world.admin("GET", "/v1/organizations", Value::Null).await;
    assert_eq!((listed.total(), listed.body.as_array().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn a_raw_key_is_shown_once_and_never_stored() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let made = tenant.post("/v1/organizations/current/api_keys", json!({"name": "ci"})).await.expect(201);
    let raw = made["raw_key"].as_str().unwrap();
    assert!(raw.starts_with("tg_live_") && raw.len() == 8 + 64, "{raw}");
    assert_eq!(made["key_prefix"], raw[..12]);
    let listed = tenant.get("/v1/organizations/current/api_keys").await;
    assert_eq!(listed.total(), 2);
    assert!(!listed.body.to_string().contains(&raw[12..]));
    for entry in std::fs::read_dir(world.directory.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let secret = &raw.as_bytes()[12..];
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the raw key is on disk");
    }
}

#[tokio::test]
async fn revoked_rotated_and_expired_keys_stop_working_at_once() {
    let world = World::new().await;
    let mut tenant = world.tenant("Acme").await;
    let keys = "/v1/organizations/current/api_keys";
    let made = tenant.post(keys, json!({"expires_at": "2026-03-10T13:00:00Z"})).await.expect(201);
    let first = tenant.key.clone();
    tenant.key = made["raw_key"].as_str().unwrap().to_string();
    tenant.get(keys).await.expect(200);

    let rotated = tenant.post(&format!("{keys}/{}/rotate", id_of(&made)), Value::Null).await.expect(200);
    assert_eq!(rotated["expires_at"], made["expires_at"]);
    assert_eq!(tenant.get(keys).await.code(401), "invalid_api_key");
    tenant.key = rotated["raw_key"].as_str().unwrap().to_string();
    assert_eq!(tenant.post(&format!("{keys}/{}/rotate", id_of(&made)), Value::Null).await.status, 404);

    world.clock.set(at("2026-03-10T13:00:00Z"));
    assert_eq!(tenant.get(keys).await.code(401), "expired_api_key");

    tenant.key = first;
    tenant.delete(&format!("{keys}/{}", id_of(&rotated))).await.expect(204);
    tenant.delete(&format!("{keys}/{}", id_of(&rotated))).await.expect(204);
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_down_lazily() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let used =
        || async { tenant.get("/v1/organizations/current/api_keys").await.expect(200)[0]["last_used_at"].clone() };
    assert_eq!(used().await, Value::Null);
    world.catalog.store_key_usage(&world.state.auth.usage).await.unwrap();
    assert_eq!(used().await, "2026-03-10T12:00:00Z");
}

#[tokio::test]
async fn secrets_are_masked_and_a_masked_secret_sent_back_changes_nothing() {
    let world = World::new().await;
    let tenant = world.tenant_of(json!({"name": "Acme", "hmac_key": "hush"})).await;
    let shown = tenant.get("/v1/organizations/current").await.expect(200);
    assert_eq!(shown["hmac_key"], "********");
    let current = "/v1/organizations/current";
    tenant.put(current, json!({"hmac_key": "********", "name": "New"})).await.expect(200);
    assert_eq!(tenant.get(current).await.expect(200)["hmac_key"], "********");
    let cleared = tenant.put(current, json!({"hmac_key": null})).await.expect(200);
    assert_eq!((cleared["hmac_key"].clone(), cleared["name"].clone()), (Value::Null, json!("New")));
}

#[tokio::test]
async fn wiping_an_organization_takes_all_its_rows_and_its_keys() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    for tenant in [&tenant, &other] {
        let metric = tenant.metric("m").await;
        let plan = tenant.plan("p", &[&metric]).await;
        let customer = tenant.customer("c").await;
        tenant.subscription("s", &customer, &plan, Some("2026-01-01T00:00:00Z")).await;
    }
    let path = format!("/v1/organizations/{}", tenant.organization);
    world.admin("DELETE", &path, Value::Null).await.expect(204);
    assert_eq!(tenant.get("/v1/customers/").await.status, 401);
    assert_eq!(world.admin("DELETE", &path, Value::Null).await.status, 404);
    assert_eq!(other.get("/v1/subscriptions/").await.total(), 1);
}

/// Notes each move of a clock.
struct Witness;

#[async_trait]
impl ClockMoved for Witness {
    async fn clock_will_move(&self, _organization: OrganizationId) -> Result<Vec<Done>, ApiError> {
        Ok(Vec::new())
    }

    async fn clock_moved(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Done>, ApiError> {
        Ok(vec![Done { at: now, what: "witnessed".into(), id: organization.to_string() }])
    }
}

#[tokio::test]
async fn a_sandboxs_clock_moves_forward_and_does_what_falls_due_in_order() {
    let world = World::with(|state| state.clock_moved.push(Arc::new(Witness))).await;
    let tenant = world.sandbox("Play").await;
    assert!(tenant.key.starts_with("tg_test_"));
    let clock = "/v1/organizations/current/clock";
    assert_eq!(tenant.get(clock).await.expect(200)["now"], "2026-03-10T12:00:00Z");

    tenant.put(clock, json!({"now": "2022-01-01T00:00:00Z"})).await.expect(200);
    let plan = tenant.plan("p", &[]).await;
    let customer = tenant.customer("c").await;
    let second = tenant.subscription("b", &customer, &plan, Some("2022-03-01T00:00:00Z")).await;
    let first = tenant.subscription("a", &customer, &plan, Some("2022-02-01T00:00:00Z")).await;

    let moved = tenant.put(clock, json!({"now": "2022-04-01T00:00:00Z"})).await.expect(200);
    let done: Vec<_> =
        moved["done"].as_array().unwrap().iter().map(|step| (step["at"].clone(), step["id"].clone())).collect();
    assert_eq!(
        done,
        [
            (json!("2022-02-01T00:00:00Z"), json!(first)),
            (json!("2022-03-01T00:00:00Z"), json!(second)),
            (json!("2022-04-01T00:00:00Z"), json!(tenant.organization)),
        ]
    );
    assert_eq!(tenant.get(clock).await.expect(200)["now"], "2022-04-01T00:00:00Z");
    assert_eq!(tenant.put(clock, json!({"now": "2022-03-31T23:59:59Z"})).await.faults(), [r#"["body","now"]"#]);
    let again = tenant.put(clock, json!({"now": "2022-04-01T00:00:00Z"})).await.expect(200);
    assert_eq!(again["done"].as_array().unwrap().len(), 1, "{again}");
}

#[tokio::test]
async fn a_sandbox_with_subscriptions_cannot_go_back_and_a_live_organization_has_no_clock() {
    let world = World::new().await;
    let sandbox = world.sandbox("Play").await;
    let plan = sandbox.plan("p", &[]).await;
    let customer = sandbox.customer("c").await;
    sandbox.subscription("s", &customer, &plan, None).await;
    let clock = "/v1/organizations/current/clock";
    assert_eq!(sandbox.put(clock, json!({"now": "2022-01-01T00:00:00Z"})).await.status, 422);

    let live = world.tenant("Live").await;
    assert_eq!(live.get(clock).await.code(403), "not_a_sandbox");
    assert_eq!(live.put(clock, json!({"now": "2027-01-01T00:00:00Z"})).await.code(403), "not_a_sandbox");
}

#[tokio::test]
async fn limits_of_organizations_and_keys_reach_the_event_path() {
    let world = World::new().await;
    let tenant = world.tenant_of(json!({"name": "Acme", "events_per_second": 500})).await;
    tenant.post("/v1/organizations/current/api_keys", json!({"events_per_second": 5})).await.expect(201);
    let snapshot = world.catalog.snapshot().current();
    assert_eq!(snapshot.organizations[&tenant.organization].events_per_second, Some(500));
    let mut limits: Vec<_> = snapshot.keys.values().flatten().map(|key| key.events_per_second).collect();
    limits.sort_unstable();
    assert_eq!(limits, [None, Some(5)]);
    tenant.put("/v1/organizations/current", json!({"events_per_second": null})).await.expect(200);
    let snapshot = world.catalog.snapshot().current();
    assert_eq!(snapshot.organizations[&tenant.organization].events_per_second, None);
}
