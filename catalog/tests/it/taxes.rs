//! Taxes: made, attached, refused.

use super::world::{World, id_of};
use serde_json::{Value, json};

fn vat(rate: &str) -> Value {
    json!({"code": "vat", "name": "VAT", "rate": rate, "category": "sales"})
}

#[tokio::test]
async fn a_tax_keeps_as_many_places_as_it_has() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let made = tenant.post("/v1/taxes/", vat("0.0887500001")).await.expect(201);
    assert_eq!((&made["rate"], &made["applied_to_organization"]), (&json!("0.0887500001"), &json!(false)));
    assert_eq!(tenant.get("/v1/taxes/vat").await.expect(200), made);
    let changed = tenant.put("/v1/taxes/vat", json!({"rate": 0.19, "applied_to_organization": true})).await.expect(200);
    assert_eq!((&changed["rate"], &changed["category"]), (&json!("0.19"), &json!("sales")));
    assert_eq!(tenant.get("/v1/taxes/").await.total(), 1);
    assert_eq!(tenant.post("/v1/taxes/", vat("0.1")).await.code(409), "code_taken");
    tenant.delete("/v1/taxes/vat").await.expect(204);
    assert_eq!(tenant.get("/v1/taxes/vat").await.status, 404);
}

#[tokio::test]
async fn a_rate_below_nothing_or_in_percent_is_refused() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    for rate in ["-1", "-0.000001", "20", "1e-300", "NaN", ""] {
        assert_eq!(tenant.post("/v1/taxes/", vat(rate)).await.status, 422, "{rate}");
    }
    tenant.post("/v1/taxes/", vat("0")).await.expect(201);
    assert_eq!(tenant.put("/v1/taxes/vat", json!({"rate": "-1"})).await.status, 422);
    assert_eq!(tenant.get("/v1/taxes/vat").await.expect(200)["rate"], "0");
}

#[tokio::test]
async fn a_tax_is_attached_once_to_what_exists_and_counted() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant("Acme").await, world.tenant("Other").await);
    tenant.post("/v1/taxes/", vat("0.2")).await.expect(201);
    let (customer, theirs) = (tenant.customer("c").await, other.customer("c").await);
    let attach = |kind: &'static str, id: String| json!({"tax_code": "vat", "taxable_type": kind, "taxable_id": id});
    let applied = tenant.post("/v1/taxes/apply", attach("customer", customer.clone())).await.expect(201);
    let again = tenant.post("/v1/taxes/apply", attach("customer", customer.clone())).await;
    assert_eq!(again.code(409), "tax_already_applied");
    assert_eq!(tenant.post("/v1/taxes/apply", attach("customer", theirs)).await.status, 404, "of another organization");
    assert_eq!(tenant.post("/v1/taxes/apply", attach("planet", customer.clone())).await.status, 422);
    let listed =
        tenant.get(&format!("/v1/taxes/applied?taxable_type=customer&taxable_id={customer}")).await.expect(200);
    assert_eq!(listed, json!([applied]));
    assert_eq!(tenant.get("/v1/taxes/applied").await.status, 422);
    let tax = id_of(&tenant.get("/v1/taxes/vat").await.expect(200));
    assert_eq!(tenant.get("/v1/taxes/application_counts").await.expect(200), json!({"counts": {tax: 1}}));
    let entities = tenant.get("/v1/taxes/vat/applied_entities").await.expect(200);
    assert_eq!(entities["entities"][0]["taxable_id"], json!(customer));
    assert_eq!(tenant.delete("/v1/taxes/vat").await.code(409), "tax_in_use");
    let path = format!("/v1/taxes/applied/{}", id_of(&applied));
    assert_eq!(other.delete(&path).await.status, 404);
    tenant.delete(&path).await.expect(204);
    tenant.delete("/v1/taxes/vat").await.expect(204);
}

#[tokio::test]
async fn a_plan_names_taxes_that_exist_and_keeps_them() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let plan = json!({"code": "p", "name": "P", "interval": "monthly", "tax_codes": ["vat"]});
    assert_eq!(tenant.post("/v1/plans/", plan.clone()).await.code(400), "unknown_tax");
    tenant.post("/v1/taxes/", vat("0.2")).await.expect(201);
    tenant.post("/v1/plans/", plan).await.expect(201);
    assert_eq!(tenant.delete("/v1/taxes/vat").await.code(409), "tax_in_use");
}
