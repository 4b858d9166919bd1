//! The audit log: who changed what.

use super::world::{World, id_of};
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

#[tokio::test]
async fn metrics_their_filters_and_keys_are_told_of_and_no_key_is_in_it() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let of = async |resource: &str, id: &str| {
        let trail = tenant.get(&format!("/v1/audit_logs/{resource}/{id}")).await.expect(200);
        trail.as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let filter = json!({"key": "region", "values": ["eu"]});
    let filter = id_of(&tenant.post("/v1/billable_metrics/m/filters", filter).await.expect(201));
    tenant.delete(&format!("/v1/billable_metrics/m/filters/{filter}")).await.expect(204);
    tenant.put(&format!("/v1/billable_metrics/{metric}"), json!({"name": "Calls"})).await.expect(200);
    tenant.delete(&format!("/v1/billable_metrics/{metric}")).await.expect(204);
    assert_eq!(of("billable_metric", &metric).await, ["deleted", "updated", "created"]);
    assert_eq!(of("billable_metric_filter", &filter).await, ["deleted", "created"]);

    let made = tenant.post("/v1/organizations/current/api_keys", json!({"name": "k"})).await.expect(201);
    let path = format!("/v1/organizations/current/api_keys/{}", id_of(&made));
    tenant.delete(&path).await.expect(204);
    tenant.delete(&path).await.expect(204);
    assert_eq!(of("api_key", &id_of(&made)).await, ["status_changed", "created"], "once revoked");
    let all = tenant.get("/v1/audit_logs/?limit=1000").await.expect(200).to_string();
    assert!(!all.contains(made["raw_key"].as_str().unwrap()));
}
