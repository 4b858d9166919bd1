//! Add-ons: made, applied, refused. What they cost is invoicing's.

use super::world::World;
use serde_json::json;

#[tokio::test]
async fn an_add_on_is_applied_at_its_own_or_another_price() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let customer = tenant.customer("c").await;
    let made =
        tenant.post("/v1/add_ons/", json!({"code": "setup", "name": "Setup", "amount_cents": 4900})).await.expect(201);
    assert_eq!((&made["amount_cents"], &made["amount_currency"]), (&json!("4900"), &json!("USD")));
    let apply = |more: serde_json::Value| {
        let mut body = json!({"add_on_code": "setup", "customer_id": customer});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tenant.post("/v1/add_ons/apply", body)
    };
    assert_eq!(apply(json!({})).await.expect(201)["amount_cents"], "4900");
    assert_eq!(apply(json!({"amount_cents": "100"})).await.expect(201)["amount_cents"], "100");
    assert_eq!(apply(json!({"amount_currency": "EUR"})).await.code(409), "currency_mismatch");
    for cents in ["-1", "0.5", "1e30"] {
        assert_eq!(apply(json!({"amount_cents": cents})).await.status, 422, "{cents}");
    }
    let got = tenant.get("/v1/add_ons/setup/applications").await.expect(200);
    assert_eq!(got.as_array().unwrap().len(), 2);
    assert_eq!(got, tenant.get(&format!("/v1/customers/{customer}/applied_add_ons")).await.expect(200));
    assert_eq!(got[0]["customer_name"], "Ada");
    let id = made["id"].as_str().unwrap();
    assert_eq!(tenant.get("/v1/add_ons/application_counts").await.expect(200), json!({id: 2}));
    assert_eq!(tenant.delete("/v1/add_ons/setup").await.code(409), "add_on_in_use");
    let changed = tenant.put("/v1/add_ons/setup", json!({"amount_cents": 5000, "description": "x"})).await.expect(200);
    assert_eq!((&changed["amount_cents"], &changed["description"]), (&json!("5000"), &json!("x")));
}

#[tokio::test]
async fn what_is_unknown_or_of_another_organization_is_404() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    tenant.post("/v1/add_ons/", json!({"code": "a", "name": "A", "amount_cents": 1})).await.expect(201);
    let theirs = other.customer("c").await;
    let apply = json!({"add_on_code": "a", "customer_id": theirs});
    assert_eq!(tenant.post("/v1/add_ons/apply", apply.clone()).await.status, 404);
    assert_eq!(other.post("/v1/add_ons/apply", apply).await.status, 404);
    assert_eq!(other.get("/v1/add_ons/a").await.status, 404);
    assert_eq!(
        tenant.post("/v1/add_ons/", json!({"code": "a", "name": "A", "amount_cents": 1})).await.code(409),
        "code_taken"
    );
}
