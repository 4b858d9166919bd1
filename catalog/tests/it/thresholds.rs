//! Usage thresholds of plans and subscriptions: made, shown, taken away, refused.

use super::world::{World, id_of};
use catalog::BillingScope;
use serde_json::{Value, json};

const AT: Option<&str> = Some("2026-01-01T00:00:00Z");

fn amounts(list: &Value) -> Vec<(String, bool)> {
    let told = |one: &Value| (one["amount_cents"].as_str().unwrap().to_owned(), one["recurring"].as_bool().unwrap());
    list.as_array().unwrap().iter().map(told).collect()
}

#[tokio::test]
async fn a_threshold_of_a_plan_is_a_new_version_and_keeps_its_id_while_it_says_the_same() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let plan = tenant.plan("p", &[&tenant.metric("m").await]).await;
    let path = "/v1/plans/p/usage_thresholds";
    let new = json!({"amount_cents": "5000", "currency": "USD", "threshold_display_name": "Fifty"});
    let made = tenant.post(path, new.clone()).await.expect(201);
    assert_eq!((&made["amount_cents"], &made["plan_id"]), (&json!("5000"), &json!(plan)));
    assert_eq!((&made["threshold_display_name"], &made["subscription_id"]), (&json!("Fifty"), &Value::Null));
    tenant.post(path, json!({"amount_cents": 5000, "recurring": true})).await.expect(201);
    assert_eq!(tenant.post(path, new.clone()).await.code(409), "threshold_exists");
    let list = tenant.get(path).await.expect(200);
    assert_eq!(amounts(&list), [("5000".to_owned(), false), ("5000".to_owned(), true)]);
    assert_eq!(list[0], made);
    let shown = tenant.get(&format!("/v1/plans/{plan}")).await.expect(200);
    assert_eq!((&shown["version"], &shown["usage_thresholds"][0]["amount_cents"]), (&json!(3), &json!(5000)));
    // Taken away and made again it is the same one: what it crossed stays crossed.
    tenant.delete(&format!("/v1/usage_thresholds/{}", id_of(&made))).await.expect(204);
    assert_eq!(amounts(&tenant.get(path).await.expect(200)), [("5000".to_owned(), true)]);
    assert_eq!(id_of(&tenant.post(path, new).await.expect(201)), id_of(&made));
}

#[tokio::test]
async fn a_subscription_has_its_own_beside_its_plans_and_billing_sees_each_amount_once() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let plan = tenant.plan("p", &[&tenant.metric("m").await]).await;
    let customer = tenant.customer("ada").await;
    let subscription = tenant.subscription("s", &customer, &plan, AT).await;
    tenant.post("/v1/plans/p/usage_thresholds", json!({"amount_cents": 300})).await.expect(201);
    let path = format!("/v1/subscriptions/{subscription}/usage_thresholds");
    for amount in [300, 100] {
        tenant.post(&path, json!({"amount_cents": amount})).await.expect(201);
    }
    assert_eq!(tenant.post(&path, json!({"amount_cents": 100})).await.code(409), "threshold_exists");
    let list = tenant.get(&path).await.expect(200);
    assert_eq!(amounts(&list), [("100".to_owned(), false), ("300".to_owned(), false)]);
    let read = tenant.world.catalog.billing_catalog(BillingScope::Organization(tenant.organization)).await.unwrap();
    let of = read.terms.thresholds(subscription.parse().unwrap(), plan.parse().unwrap(), 2);
    let cents: Vec<i64> = of.iter().map(|threshold| threshold.amount.0).collect();
    assert_eq!(cents, [100, 300]);
    tenant.delete(&format!("/v1/usage_thresholds/{}", id_of(&list[0]))).await.expect(204);
    assert_eq!(amounts(&tenant.get(&path).await.expect(200)), [("300".to_owned(), false)]);
}

#[tokio::test]
async fn what_cannot_be_a_threshold_is_refused_and_another_organizations_is_not_there() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let plan = tenant.plan("p", &[&tenant.metric("m").await]).await;
    let customer = tenant.customer("ada").await;
    let subscription = tenant.subscription("s", &customer, &plan, AT).await;
    let of_subscription = format!("/v1/subscriptions/{subscription}/usage_thresholds");
    for path in ["/v1/plans/p/usage_thresholds", &of_subscription] {
        for (body, field) in [
            (json!({"amount_cents": 0}), "amount_cents"),
            (json!({"amount_cents": "-5"}), "amount_cents"),
            (json!({"amount_cents": "0.5"}), "amount_cents"),
            (json!({"amount_cents": 5, "currency": "JPY"}), "currency"),
            (json!({"amount_cents": 5, "threshold_display_name": "x".repeat(256)}), "threshold_display_name"),
        ] {
            let faults = tenant.post(path, body).await.faults();
            assert!(faults.iter().any(|fault| fault.contains(field)), "{field}: {faults:?}");
        }
        assert_eq!(tenant.get(path).await.expect(200), json!([]));
    }
    let made = tenant.post(&of_subscription, json!({"amount_cents": 5})).await.expect(201);
    let of_plan = tenant.post("/v1/plans/p/usage_thresholds", json!({"amount_cents": 5})).await.expect(201);
    let other = world.tenant("Other").await;
    for id in [id_of(&made), id_of(&of_plan), uuid::Uuid::nil().to_string()] {
        other.delete(&format!("/v1/usage_thresholds/{id}")).await.expect(404);
    }
    other.get(&of_subscription).await.expect(404);
    other.get("/v1/plans/p/usage_thresholds").await.expect(404);
    assert_eq!(tenant.get(&of_subscription).await.expect(200), json!([made]));
}
