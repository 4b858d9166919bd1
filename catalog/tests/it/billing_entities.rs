//! Billing entities: addresses, numbers, the default one.

use super::world::World;
use serde_json::json;

#[tokio::test]
async fn an_entity_has_a_prefix_of_its_own_and_one_is_the_default() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({"code": "fr", "name": "France", "country": "FR", "is_default": true, "next_invoice_number": 7});
    let made = tenant.post("/v1/billing_entities/", body.clone()).await.expect(201);
    assert_eq!((&made["invoice_prefix"], &made["net_payment_term"]), (&json!("FR"), &json!(30)));
    assert_eq!(made["next_invoice_number"], 7);
    assert_eq!(tenant.post("/v1/billing_entities/", body).await.code(409), "code_taken");
    let same_prefix = json!({"code": "other", "name": "O", "invoice_prefix": "FR"});
    assert_eq!(tenant.post("/v1/billing_entities/", same_prefix).await.code(409), "code_taken");
    tenant.post("/v1/billing_entities/", json!({"code": "de", "name": "G", "is_default": true})).await.expect(201);
    assert_eq!(tenant.get("/v1/billing_entities/fr").await.expect(200)["is_default"], false);
    let change = json!({"city": "Lyon", "invoice_prefix": "F"});
    let changed = tenant.ask("PATCH", "/v1/billing_entities/fr", change).await.expect(200);
    assert_eq!(
        (&changed["city"], &changed["invoice_prefix"], &changed["country"]),
        (&json!("Lyon"), &json!("F"), &json!("FR"))
    );
    assert_eq!(tenant.get("/v1/billing_entities/").await.total(), 2);
}

#[tokio::test]
async fn a_customer_names_an_entity_of_its_organization_which_then_stays() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    let made = tenant.post("/v1/billing_entities/", json!({"code": "fr", "name": "F"})).await.expect(201);
    let customer = json!({"external_id": "c", "name": "C", "billing_entity_id": made["id"]});
    assert_eq!(other.post("/v1/customers/", customer.clone()).await.code(400), "unknown_billing_entity");
    let kept = tenant.post("/v1/customers/", customer).await.expect(201);
    assert_eq!(kept["billing_entity_id"], made["id"]);
    let id = made["id"].as_str().unwrap();
    assert_eq!(tenant.get("/v1/billing_entities/customer_counts").await.expect(200), json!({id: 1}));
    assert_eq!(tenant.delete("/v1/billing_entities/fr").await.code(409), "billing_entity_in_use");
    let path = format!("/v1/customers/{}", kept["id"].as_str().unwrap());
    let freed = tenant.put(&path, json!({"billing_entity_id": null})).await.expect(200);
    assert!(freed["billing_entity_id"].is_null());
    tenant.delete("/v1/billing_entities/fr").await.expect(204);
}

#[tokio::test]
async fn bad_fields_are_refused() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    for (field, value) in [
        ("code", json!("")),
        ("country", json!("FRA")),
        ("email", json!("nobody")),
        ("next_invoice_number", json!(0)),
        ("timezone", json!("Mars/Olympus")),
        ("currency", json!("XXZ")),
        ("invoice_grace_period", json!(-1)),
    ] {
        let mut body = json!({"code": "c", "name": "N"});
        body[field] = value;
        assert_eq!(tenant.post("/v1/billing_entities/", body).await.status, 422, "{field}");
    }
}
