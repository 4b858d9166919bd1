//! The audit log: who changed what.

use super::world::World;
use serde_json::{Value, json};

#[tokio::test]
async fn every_change_is_told_with_before_and_after_and_who_made_it() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    let customer = tenant.customer("c").await;
    let path = format!("/v1/customers/{customer}");
    tenant.put(&path, json!({"name": "Grace"})).await.expect(200);
    tenant.put(&path, json!({"name": "Grace"})).await.expect(200);
    let keyed = [("idempotency-key", "k")];
    let made =
        tenant.ask_with("POST", "/v1/customers/", &keyed, json!({"external_id": "d", "name": "D"})).await.expect(201);
    tenant.delete(&path).await.expect(204);

    let trail = tenant.get(&format!("/v1/audit_logs/customer/{customer}")).await.expect(200);
    let actions: Vec<&str> = trail.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["deleted", "updated", "created"], "a change of nothing leaves no row");
    assert_eq!(trail[1]["changes"], json!({"name": {"old": "Ada", "new": "Grace"}}));
    assert!(trail.as_array().unwrap().iter().all(|row| row["actor_type"] == "api_key" && row["actor_id"].is_string()));
    let of_keyed = tenant.get(&format!("/v1/audit_logs/customer/{}", made["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(of_keyed[0]["actor_type"], "api_key", "also where the request runs in a task of its own");
    assert_eq!(other.get(&format!("/v1/audit_logs/customer/{customer}")).await.expect(200), json!([]));
    assert_eq!(tenant.get("/v1/audit_logs/?action=deleted").await.total(), 1);
    assert_eq!(tenant.ask("DELETE", "/v1/audit_logs/", Value::Null).await.status, 405);
}

#[tokio::test]
async fn a_change_of_state_is_called_so() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (customer, plan) = (tenant.customer("c").await, tenant.plan("p", &[]).await);
    let id = tenant.subscription("s", &customer, &plan, Some("2026-03-01T00:00:00Z")).await;
    tenant.post(&format!("/v1/subscriptions/{id}/pause"), Value::Null).await.expect(200);
    let trail = tenant.get(&format!("/v1/audit_logs/subscription/{id}")).await.expect(200);
    assert_eq!((&trail[0]["action"], &trail[1]["action"]), (&json!("status_changed"), &json!("created")));
    assert_eq!(trail[0]["changes"]["status"], json!({"old": "active", "new": "paused"}));
}
