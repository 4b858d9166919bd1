//! Changing the plan: one subscription ends, the next goes on from it.

use super::world::{Tenant, World, at, id_of};
use serde_json::{Value, json};

async fn plan(tenant: &Tenant<'_>, code: &str, cents: i64, more: Value) -> String {
    let mut body = json!({"code": code, "name": code, "interval": "monthly", "amount_cents": cents});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    id_of(&tenant.post("/v1/plans/", body).await.expect(201))
}

async fn change(tenant: &Tenant<'_>, id: &str, plan: &str, when: &str) -> super::world::Answer {
    tenant.post(&format!("/v1/subscriptions/{id}/change_plan"), json!({"plan_id": plan, "when": when})).await
}

#[tokio::test]
async fn an_upgrade_takes_effect_now_and_keeps_the_anchor() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (cheap, dear) =
        (plan(&tenant, "a", 100, json!({})).await, plan(&tenant, "b", 200, json!({"pay_in_advance": true})).await);
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &cheap, Some("2026-01-05T00:00:00Z")).await;
    let next = change(&tenant, &id, &dear, "auto").await.expect(200);
    assert_eq!(
        (&next["status"], &next["external_id"], &next["plan_id"]),
        (&json!("active"), &json!("s"), &json!(dear))
    );
    assert_eq!((&next["previous_plan_id"], &next["previous_subscription_id"]), (&json!(cheap), &json!(id)));
    assert_eq!((&next["anchor_at"], &next["pay_in_advance"]), (&json!("2026-01-05T00:00:00Z"), &json!(true)));
    let old = tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200);
    assert_eq!((&old["status"], &old["ended_at"]), (&json!("terminated"), &next["started_at"]));
    assert_eq!(change(&tenant, &id, &dear, "auto").await.code(409), "wrong_subscription_state");
    assert_eq!(change(&tenant, next["id"].as_str().unwrap(), &dear, "auto").await.code(400), "same_plan");
}

#[tokio::test]
async fn a_downgrade_waits_for_the_end_of_the_period_and_the_clock_carries_it_out() {
    let world = World::new().await;
    let tenant = world.sandbox("Acme").await;
    tenant.put("/v1/organizations/current/clock", json!({"now": "2026-03-10T00:00:00Z"})).await.expect(200);
    let (dear, cheap) = (plan(&tenant, "a", 200, json!({})).await, plan(&tenant, "b", 100, json!({})).await);
    let middle = plan(&tenant, "m", 150, json!({})).await;
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &dear, Some("2026-03-05T00:00:00Z")).await;
    let first = change(&tenant, &id, &middle, "auto").await.expect(200);
    assert_eq!((&first["status"], &first["started_at"]), (&json!("pending"), &json!("2026-04-01T00:00:00Z")));
    let second = change(&tenant, &id, &cheap, "auto").await.expect(200);
    let dropped = tenant.get(&format!("/v1/subscriptions/{}", id_of(&first))).await.expect(200);
    assert_eq!(dropped["status"], "canceled", "planning another one drops it");
    assert_eq!(tenant.put(&format!("/v1/subscriptions/{id}"), json!({"ending_at": null})).await.status, 422);

    tenant.put("/v1/organizations/current/clock", json!({"now": "2026-04-02T00:00:00Z"})).await.expect(200);
    let old = tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200);
    let new = tenant.get(&format!("/v1/subscriptions/{}", id_of(&second))).await.expect(200);
    assert_eq!((&old["status"], &old["ended_at"]), (&json!("terminated"), &json!("2026-04-01T00:00:00Z")));
    assert_eq!((&new["status"], &new["started_at"]), (&json!("active"), &json!("2026-04-01T00:00:00Z")));
    assert!(!new["downgraded_at"].is_null());
}

#[tokio::test]
async fn ending_a_subscription_drops_what_it_would_have_become() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (dear, cheap) = (plan(&tenant, "a", 200, json!({})).await, plan(&tenant, "b", 100, json!({})).await);
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &dear, Some("2026-03-05T00:00:00Z")).await;
    let next = change(&tenant, &id, &cheap, "auto").await.expect(200);
    tenant.delete(&format!("/v1/subscriptions/{id}")).await.expect(204);
    assert_eq!(tenant.get(&format!("/v1/subscriptions/{}", id_of(&next))).await.expect(200)["status"], "canceled");
    tenant.subscription("s", &customer, &dear, Some("2026-03-06T00:00:00Z")).await;
}

#[tokio::test]
async fn plans_that_cannot_follow_are_refused_and_nothing_changes() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    let (own, euro) =
        (plan(&tenant, "a", 200, json!({})).await, plan(&tenant, "e", 200, json!({"currency": "EUR"})).await);
    let theirs = plan(&other, "a", 300, json!({})).await;
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &own, Some("2026-03-05T00:00:00Z")).await;
    let before = tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200);
    assert_eq!(change(&tenant, &id, &euro, "now").await.code(400), "currency_mismatch");
    assert_eq!(change(&tenant, &id, &theirs, "now").await.code(400), "unknown_plan");
    assert_eq!(change(&tenant, &id, &own, "now").await.code(400), "same_plan");
    assert_eq!(change(&tenant, &id, &own, "someday").await.status, 422);
    assert_eq!(change(&other, &id, &theirs, "now").await.status, 404);
    assert_eq!(tenant.get(&format!("/v1/subscriptions/{id}")).await.expect(200), before);
}

#[tokio::test]
async fn of_two_changes_at_one_instant_one_wins_and_the_other_is_409() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (own, one, two) = (
        plan(&tenant, "a", 100, json!({})).await,
        plan(&tenant, "b", 200, json!({})).await,
        plan(&tenant, "c", 300, json!({})).await,
    );
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &own, Some("2026-03-05T00:00:00Z")).await;
    let (first, second) = tokio::join!(change(&tenant, &id, &one, "now"), change(&tenant, &id, &two, "now"));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let running = tenant.get("/v1/subscriptions/?external_id=s").await.expect(200);
    let active = running.as_array().unwrap().iter().filter(|one| one["status"] == "active").count();
    assert_eq!((running.as_array().unwrap().len(), active), (2, 1));
}

#[tokio::test]
async fn a_preview_counts_days_and_stores_nothing() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let advance = json!({"pay_in_advance": true});
    let (own, dear) = (plan(&tenant, "a", 3100, advance.clone()).await, plan(&tenant, "b", 6200, advance).await);
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &own, Some("2026-03-05T00:00:00Z")).await;
    world.clock.set(at("2026-03-12T13:00:00Z"));
    let path = format!("/v1/subscriptions/{id}/change_plan_preview");
    let shown = tenant.post(&path, json!({"new_plan_id": dear})).await.expect(200);
    let money = json!({"days_remaining": 20, "total_days": 31, "current_plan_credit_cents": 2000,
        "new_plan_charge_cents": 4000, "net_amount_cents": 2000});
    assert_eq!((&shown["proration"], &shown["new_plan"]["code"]), (&money, &json!("b")));
    assert_eq!(tenant.post(&path, json!({"new_plan_id": own})).await.code(400), "same_plan");
    let early = json!({"new_plan_id": dear, "effective_date": "2026-01-01T00:00:00Z"});
    assert_eq!(tenant.post(&path, early).await.status, 422);
    assert_eq!(tenant.get("/v1/subscriptions/").await.total(), 1);
}

#[tokio::test]
async fn a_second_subscription_of_one_name_has_no_second_trial() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let own = plan(&tenant, "a", 100, json!({"trial_period_days": 14})).await;
    let customer = tenant.customer("c").await;
    let id = tenant.subscription("s", &customer, &own, Some("2026-03-05T00:00:00Z")).await;
    tenant.delete(&format!("/v1/subscriptions/{id}")).await.expect(204);
    let again = tenant.subscription("s", &customer, &own, Some("2026-03-09T00:00:00Z")).await;
    assert_eq!(tenant.get(&format!("/v1/subscriptions/{again}")).await.expect(200)["trial_period_days"], 0);
    let another = tenant.subscription("t", &customer, &own, Some("2026-03-09T00:00:00Z")).await;
    assert_eq!(tenant.get(&format!("/v1/subscriptions/{another}")).await.expect(200)["trial_period_days"], 14);
}
