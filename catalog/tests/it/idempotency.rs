//! `Idempotency-Key`: one effect and one answer, also when requests come at once.

use super::world::{World, at};
use catalog::Catalog;
use domain::ids::OrganizationId;
use domain::time::MICROS_PER_SECOND;
use http_api::idempotency::{Claim, IdempotencyStore, IdempotentRequest, StoredAnswer};
use serde_json::{Value, json};
use std::collections::HashMap;

const KEY: (&str, &str) = ("idempotency-key", "k-1");

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_has_no_effect() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({"external_id": "c", "name": "Ada"});
    let first = tenant.ask_with("POST", "/v1/customers/", &[KEY], body.clone()).await;
    assert!(!first.headers.contains_key("idempotency-replayed"));
    let first = first.expect(201);
    // With or without the final slash it is the same route.
    for path in ["/v1/customers/", "/v1/customers"] {
        let again = tenant.ask_with("POST", path, &[KEY], body.clone()).await;
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(again.expect(201), first);
    }
    assert_eq!(tenant.get("/v1/customers/").await.total(), 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_422_and_on_another_route_or_organization_its_own() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    let body = json!({"external_id": "c", "name": "Ada"});
    let customer = tenant.ask_with("POST", "/v1/customers/", &[KEY], body.clone()).await.expect(201);
    let reused = tenant.ask_with("POST", "/v1/customers/", &[KEY], json!({"external_id": "d", "name": "Ada"})).await;
    assert_eq!(reused.code(422), "idempotency_key_reused");

    let plan = tenant.plan("p", &[]).await;
    let subscription = json!({"external_id": "s", "customer_id": customer["id"], "plan_id": plan});
    let made = tenant.ask_with("POST", "/v1/subscriptions/", &[KEY], subscription).await.expect(201);
    assert_eq!(made["external_id"], "s");
    let theirs = other.ask_with("POST", "/v1/customers/", &[KEY], body).await.expect(201);
    assert_ne!(theirs["id"], customer["id"]);
}

#[tokio::test]
async fn an_error_is_not_kept_so_the_key_can_be_used_again() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let bad = json!({"external_id": "c", "name": ""});
    for _ in 0..2 {
        assert_eq!(tenant.ask_with("POST", "/v1/customers/", &[KEY], bad.clone()).await.code(422), "validation_error");
    }
    tenant.ask_with("POST", "/v1/customers/", &[KEY], json!({"external_id": "c", "name": "Ada"})).await.expect(201);
}

#[tokio::test]
async fn a_key_that_is_empty_or_too_long_is_422_and_a_bad_credential_still_401() {
    let world = World::new().await;
    let mut tenant = world.tenant("Acme").await;
    let body = json!({"external_id": "c", "name": "Ada"});
    for key in [String::new(), "x".repeat(256)] {
        let answer = tenant.ask_with("POST", "/v1/customers/", &[("idempotency-key", &key)], body.clone()).await;
        assert_eq!(answer.faults(), [r#"["header","Idempotency-Key"]"#]);
    }
    tenant.key = "tg_live_wrong".into();
    assert_eq!(tenant.ask_with("POST", "/v1/customers/", &[KEY], body).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_has_the_effect_and_none_sees_another_answer() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({"external_id": "c", "name": "Ada"});
    let requests = (0..24).map(|_| tenant.ask_with("POST", "/v1/customers/", &[KEY], body.clone()));
    let answers = futures::future::join_all(requests).await;
    let mut by_status: HashMap<u16, Vec<Value>> = HashMap::new();
    for answer in answers {
        by_status.entry(answer.status).or_default().push(answer.body);
    }
    let created = by_status.remove(&201).unwrap();
    assert!(created.iter().all(|body| *body == created[0]));
    for in_flight in by_status.remove(&409).unwrap_or_default() {
        assert_eq!(in_flight["code"], "idempotency_key_in_use");
    }
    assert!(by_status.is_empty(), "{by_status:?}");
    assert_eq!(tenant.get("/v1/customers/").await.total(), 1);
}

fn request(key: &str) -> IdempotentRequest {
    IdempotentRequest {
        organization: OrganizationId(uuid::Uuid::nil()),
        method: "POST".into(),
        path: "/v1/customers".into(),
        key: key.into(),
        body_hash: [7; 32],
    }
}

async fn claim(catalog: &Catalog, after_seconds: i64) -> Claim {
    let mut now = at("2026-03-10T12:00:00Z");
    now.0 += after_seconds * MICROS_PER_SECOND;
    catalog.claim(&request("k"), now).await.unwrap()
}

#[tokio::test]
async fn a_claim_whose_process_died_is_let_go_after_its_lease() {
    let world = World::new().await;
    assert_eq!(claim(&world.catalog, 0).await, Claim::Fresh);
    assert_eq!(claim(&world.catalog, 59).await, Claim::Running);
    assert_eq!(claim(&world.catalog, 61).await, Claim::Fresh);
    world.catalog.release(&request("k")).await.unwrap();
    assert_eq!(claim(&world.catalog, 62).await, Claim::Fresh);
}

#[tokio::test]
async fn an_answer_lives_24_hours() {
    let world = World::new().await;
    claim(&world.catalog, 0).await;
    let answer = StoredAnswer { status: 201, body: "{}".into() };
    world.catalog.keep(&request("k"), &answer).await.unwrap();
    world.catalog.release(&request("k")).await.unwrap();
    assert_eq!(claim(&world.catalog, 24 * 3600).await, Claim::Answered(answer));
    assert_eq!(claim(&world.catalog, 24 * 3600 + 1).await, Claim::Fresh);
    let mut later = at("2026-03-10T12:00:00Z");
    later.0 += 3 * 24 * 3600 * MICROS_PER_SECOND;
    assert_eq!(world.catalog.sweep_idempotency_keys(later).await.unwrap(), 1);
}
