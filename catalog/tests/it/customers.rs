//! Customers.

use super::world::{World, at};
use catalog::BillingScope;
use serde_json::{Value, json};

#[tokio::test]
async fn a_customer_is_made_read_changed_and_deleted() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    // As text: the macro would read the number as a float.
    let body = r#"{"external_id": "c-1", "name": "Ada", "email": "ada@example.com", "billing_metadata": {"n": 0.10}}"#;
    let body = serde_json::from_str(body).unwrap();
    let made = tenant.post("/v1/customers", body).await.expect(201);
    assert_eq!(made["currency"], "USD");
    assert_eq!(made["net_payment_term"], 30);
    assert_eq!(made["billing_metadata"].to_string(), r#"{"n":0.10}"#);
    let path = format!("/v1/customers/{}", made["id"].as_str().unwrap());
    assert_eq!(tenant.get(&path).await.expect(200), made);

    world.clock.set(at("2026-03-11T00:00:00Z"));
    let change = json!({"email": null, "name": null, "timezone": "Asia/Tokyo", "currency": "JPY"});
    let changed = tenant.put(&path, change).await.expect(200);
    assert_eq!((&changed["email"], &changed["name"]), (&Value::Null, &json!("Ada")));
    assert_eq!((&changed["timezone"], &changed["updated_at"]), (&json!("Asia/Tokyo"), &json!("2026-03-11T00:00:00Z")));

    let read = world.catalog.billing_catalog(BillingScope::Organization(tenant.organization)).await.unwrap();
    assert!(read.customers.values().next().is_some_and(|customer| {
        customer.timezones
            == [(at("1970-01-01T00:00:00Z"), "UTC".into()), (at("2026-03-11T00:00:00Z"), "Asia/Tokyo".into())]
    }));

    tenant.delete(&path).await.expect(204);
    assert_eq!(tenant.get(&path).await.status, 404);
    assert_eq!(tenant.delete(&path).await.status, 404);
}

#[tokio::test]
async fn an_external_id_is_taken_once_per_organization() {
    let world = World::new().await;
    let (one, other) = (world.tenant("One").await, world.tenant("Other").await);
    one.customer("c").await;
    other.customer("c").await;
    let again = one.post("/v1/customers/", json!({"external_id": "c", "name": "x"})).await;
    assert_eq!(again.code(409), "external_id_taken");
}

#[tokio::test]
async fn a_customer_with_a_subscription_cannot_be_deleted() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let customer = tenant.customer("c").await;
    let plan = tenant.plan("p", &[]).await;
    tenant.subscription("s", &customer, &plan, None).await;
    assert_eq!(tenant.delete(&format!("/v1/customers/{customer}")).await.code(409), "customer_in_use");
}

#[tokio::test]
async fn pages_neither_repeat_nor_lose_a_row_and_the_total_is_told() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    // All made at one instant: only the tie-break orders them.
    for number in 0..7 {
        tenant.customer(&format!("c-{number}")).await;
    }
    for order in ["", "name", "name:desc", "external_id:desc", "created_at:asc"] {
        let mut seen = Vec::new();
        for skip in [0, 3, 6, 9] {
            let page = tenant.get(&format!("/v1/customers/?limit=3&skip={skip}&order_by={order}")).await;
            assert_eq!(page.total(), 7);
            seen.extend(page.expect(200).as_array().unwrap().iter().map(|row| row["external_id"].to_string()));
        }
        let listed = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((listed, seen.len()), (7, 7), "{order}");
    }
    assert_eq!(tenant.get("/v1/customers/?order_by=billing_metadata").await.faults(), [r#"["query","order_by"]"#]);
}

#[tokio::test]
async fn each_bad_field_is_told_and_all_at_once() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({
        "external_id": "", "name": "x".repeat(256), "email": "nope", "currency": "XXX", "timezone": "Mars/Base",
        "invoice_grace_period": 100_000,
    });
    let faults = tenant.post("/v1/customers/", body).await.faults();
    let fields = ["external_id", "name", "email", "currency", "timezone", "invoice_grace_period"];
    assert_eq!(faults, fields.map(|field| format!("[\"body\",\"{field}\"]")));
    for (field, value) in [
        ("name", json!(5)),
        ("external_id", Value::Null),
        ("net_payment_term", json!(-1)),
        ("net_payment_term", json!(1.5)),
        ("net_payment_term", json!("30")),
        ("billing_metadata", json!([])),
    ] {
        let mut body = json!({"external_id": "c", "name": "n"});
        body[field] = value;
        assert_eq!(tenant.post("/v1/customers/", body).await.faults(), [format!("[\"body\",\"{field}\"]")]);
    }
    assert_eq!(tenant.get("/v1/customers/").await.total(), 0);
}
