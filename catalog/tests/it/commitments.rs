//! Minimum commitments as resources of their own.

use super::world::World;
use serde_json::json;

#[tokio::test]
async fn a_plan_has_at_most_one_commitment_which_each_change_versions() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    let plan = tenant.plan("p", &[]).await;
    assert_eq!(tenant.get("/v1/plans/p/commitments").await.expect(200), json!([]));
    let made = tenant.post("/v1/plans/p/commitments", json!({"amount_cents": 5000})).await.expect(201);
    assert_eq!((&made["amount_cents"], &made["plan_id"]), (&json!("5000"), &json!(plan)));
    let again = tenant.post("/v1/plans/p/commitments", json!({"amount_cents": 1})).await;
    assert_eq!(again.code(409), "commitment_exists");
    let path = format!("/v1/commitments/{}", made["id"].as_str().unwrap());
    assert_eq!(other.put(&path, json!({"amount_cents": 1})).await.status, 404);
    let changed = tenant.put(&path, json!({"amount_cents": "6000", "invoice_display_name": "Least"})).await.expect(200);
    assert_eq!((&changed["amount_cents"], &changed["invoice_display_name"]), (&json!("6000"), &json!("Least")));
    assert_eq!(tenant.get(&format!("/v1/plans/{plan}")).await.expect(200)["version"], 3);
    assert_eq!(tenant.put(&path, json!({"commitment_type": "maximum"})).await.status, 422);
    tenant.delete(&path).await.expect(204);
    assert_eq!(tenant.delete(&path).await.status, 404);
    assert_eq!(tenant.get("/v1/plans/nowhere/commitments").await.status, 404);
}
