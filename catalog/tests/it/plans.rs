//! Plans, their charges and versions, and simulation.

use super::world::{Tenant, World, id_of};
use catalog::BillingScope;
use domain::ids::PlanId;
use serde_json::{Value, json};

fn charge(metric: &str, amount: &str) -> Value {
    json!({"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": amount}})
}

async fn versions(tenant: &Tenant<'_>, plan: &str) -> Vec<domain::catalog::Plan> {
    let scope = BillingScope::Organization(tenant.organization);
    let mut read = tenant.world.catalog.billing_catalog(scope).await.unwrap();
    read.plans.remove(&plan.parse::<PlanId>().unwrap()).unwrap()
}

#[tokio::test]
async fn a_plan_is_kept_with_all_its_options() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    tenant.post("/v1/taxes/", json!({"code": "vat", "name": "VAT", "rate": "0.2"})).await.expect(201);
    let mut body = json!({
        "code": "p", "name": "P", "description": "d", "interval": "semiannual", "amount_cents": 4900, "currency": "EUR",
        "trial_period_days": 14, "pay_in_advance": true, "bill_charges_monthly": true, "tax_codes": ["vat"],
        "minimum_commitment": {"amount_cents": 10000, "invoice_display_name": "Minimum"},
        "usage_thresholds": [{"amount_cents": 5000}, {"amount_cents": 1000, "recurring": true}],
        "charges": [{
            "billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": 0, "grouped_by": ["region"]},
            "pay_in_advance": true, "prorated": true, "invoiceable": false, "min_amount_cents": 500,
            "invoice_display_name": "Calls", "tax_codes": ["vat"], "accepts_target_wallet": true,
            "filters": [{"values": {"tier": ["gold"]}, "properties": {"amount": "0.05"}, "invoice_display_name": "Gold"}],
        }],
    });
    // As text: the macro would read the number as a float.
    body["charges"][0]["properties"]["amount"] = serde_json::from_str("0.10").unwrap();
    let made = tenant.post("/v1/plans", body.clone()).await.expect(201);
    for (field, sent) in body.as_object().unwrap() {
        if field != "charges" && field != "usage_thresholds" && field != "minimum_commitment" {
            assert_eq!(&made[field], sent, "{field}");
        }
    }
    let shown = &made["charges"][0];
    assert_eq!(shown["properties"].to_string(), r#"{"amount":0.10,"grouped_by":["region"]}"#);
    assert_eq!(shown["filters"][0]["values"], json!({"tier": ["gold"]}));
    for field in ["pay_in_advance", "prorated", "invoiceable", "min_amount_cents", "tax_codes", "accepts_target_wallet"]
    {
        assert_eq!(shown[field], body["charges"][0][field], "{field}");
    }
    assert_eq!(tenant.get(&format!("/v1/plans/{}", id_of(&made))).await.expect(200), made);
    assert_eq!(tenant.get("/v1/plans/").await.expect(200), json!([made]));
}

#[tokio::test]
async fn two_filters_may_say_the_same_and_keep_their_order() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let mut line = charge(&tenant.metric("m").await, "10");
    let filter = |amount: &str| json!({"values": {"cloud": ["aws"]}, "properties": {"amount": amount}});
    line["filters"] = json!([filter("5"), filter("3")]);
    let body = json!({"code": "p", "name": "P", "interval": "monthly", "charges": [line]});
    let made = tenant.post("/v1/plans/", body).await.expect(201);
    let prices: Vec<_> = (0..2).map(|place| &made["charges"][0]["filters"][place]["properties"]["amount"]).collect();
    assert_eq!(prices, ["5", "3"]);
}

#[tokio::test]
async fn replacing_charges_makes_a_version_and_keeps_the_ids_of_lines_that_stay() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let (one, two) = (tenant.metric("one").await, tenant.metric("two").await);
    let plan = tenant.plan("p", &[&one, &two]).await;
    let path = format!("/v1/plans/{plan}");
    let before = tenant.get(&path).await.expect(200);
    let change = json!({"charges": [charge(&two, "9"), charge(&one, "0.01"), charge(&one, "3")]});
    let after = tenant.put(&path, change.clone()).await.expect(200);
    assert_eq!(after["version"], 2);
    let ids = |body: &Value| body["charges"].as_array().unwrap().iter().map(id_of).collect::<Vec<_>>();
    assert_eq!(ids(&after)[..2], [ids(&before)[1].clone(), ids(&before)[0].clone()]);
    assert!(!ids(&before).contains(&ids(&after)[2]));

    assert_eq!(tenant.put(&path, change).await.expect(200)["version"], 2, "nothing changed");
    tenant.put(&path, json!({"amount_cents": 2000})).await.expect(200);
    let versions = versions(&tenant, &plan).await;
    let told: Vec<_> =
        versions.iter().map(|version| (version.version, version.amount.0, version.charges.len())).collect();
    assert_eq!(told, [(1, 1000, 2), (2, 1000, 3), (3, 2000, 3)]);
}

#[tokio::test]
async fn prices_that_cannot_be_read_are_refused_with_their_place() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let range =
        |from: i64, to: Value| json!({"from_value": from, "to_value": to, "per_unit_amount": "1", "flat_amount": "0"});
    let cases = [
        ("standard", json!({}), "amount"),
        ("standard", json!({"amount": "-1"}), "amount"),
        ("standard", json!({"amount": "1e999"}), "amount"),
        ("standard", json!({"amount": "NaN"}), "amount"),
        ("graduated", json!({"graduated_ranges": [range(0, json!(10)), range(20, Value::Null)]}), "graduated_ranges"),
        ("graduated", json!({"graduated_ranges": [range(0, json!(10))]}), "graduated_ranges"),
        ("volume", json!({"volume_ranges": [range(0, json!(10)), range(5, Value::Null)]}), "volume_ranges"),
        ("package", json!({"amount": "1", "package_size": 0}), "package_size"),
    ];
    for (model, properties, field) in cases {
        let charges = json!([{"billable_metric_id": metric, "charge_model": model, "properties": properties}]);
        let body = json!({"code": "p", "name": "P", "interval": "monthly", "charges": charges});
        let faults = tenant.post("/v1/plans/", body).await.faults();
        let place = format!("[\"body\",\"charges\",0,\"properties\",\"{field}\"");
        assert!(!faults.is_empty() && faults.iter().all(|fault| fault.starts_with(&place)), "{properties}: {faults:?}");
    }
    assert_eq!(tenant.get("/v1/plans/").await.total(), 0);
}

#[tokio::test]
async fn bad_fields_of_a_plan_are_refused() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let body = json!({
        "code": "", "name": "", "interval": "monthly", "amount_cents": -1, "currency": "usd", "trial_period_days": 99_999,
        "minimum_commitment": {"amount_cents": 0}, "usage_thresholds": [{"amount_cents": 5}, {"amount_cents": 5}],
        "tax_codes": ["a", "a"],
    });
    let faults = tenant.post("/v1/plans/", body).await.faults();
    assert_eq!(faults.len(), 8, "{faults:?}");
    for body in [
        json!({"code": "p", "name": "P", "interval": "daily"}),
        json!({"code": "p", "name": "P"}),
        json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": "10"}),
        json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": 9_223_372_036_854_775_808_u64}),
        json!({"code": "p", "name": "P", "interval": "monthly", "charges": [{"charge_model": "standard"}]}),
    ] {
        assert_eq!(tenant.post("/v1/plans/", body).await.status, 422);
    }
    let unknown = json!({"code": "p", "name": "P", "interval": "monthly", "charges": [charge(&uuid::Uuid::nil().to_string(), "1")]});
    assert_eq!(tenant.post("/v1/plans/", unknown).await.code(400), "unknown_metric");
}

#[tokio::test]
async fn code_and_interval_cannot_change() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let plan = tenant.plan("p", &[]).await;
    let path = format!("/v1/plans/{plan}");
    assert_eq!(tenant.put(&path, json!({"code": "q", "interval": "weekly"})).await.faults().len(), 2);
    tenant.put(&path, json!({"code": "p", "interval": "monthly"})).await.expect(200);
    assert_eq!(
        tenant.post("/v1/plans/", json!({"code": "p", "name": "x", "interval": "weekly"})).await.code(409),
        "code_taken"
    );
}

#[tokio::test]
async fn a_plan_that_a_subscription_had_cannot_be_deleted() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let (used, free) = (tenant.plan("used", &[&metric]).await, tenant.plan("free", &[&metric]).await);
    let customer = tenant.customer("c").await;
    let subscription = tenant.subscription("s", &customer, &used, None).await;
    tenant.delete(&format!("/v1/subscriptions/{subscription}")).await.expect(204);
    assert_eq!(tenant.get("/v1/plans/subscription_counts").await.expect(200), json!({(used.as_str()): 1}));
    assert_eq!(tenant.delete(&format!("/v1/plans/{used}")).await.code(409), "plan_in_use");
    tenant.delete(&format!("/v1/plans/{free}")).await.expect(204);
    assert_eq!(tenant.delete(&format!("/v1/plans/{free}")).await.status, 404);
}

#[tokio::test]
async fn simulating_prices_made_up_units_by_the_models_that_bill() {
    let world = World::new().await;
    let tenant = world.tenant("Acme").await;
    let metric = tenant.metric("m").await;
    let ranges = json!([
        {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "0"},
        {"from_value": 10, "to_value": null, "per_unit_amount": "0.5", "flat_amount": "2"},
    ]);
    let body = json!({"code": "p", "name": "P", "interval": "monthly", "amount_cents": 1000, "charges": [
        charge(&metric, "0.015"),
        {"billable_metric_id": metric, "charge_model": "graduated", "properties": {"graduated_ranges": ranges}},
        {"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "0"}, "min_amount_cents": 77},
    ]});
    let plan = id_of(&tenant.post("/v1/plans/", body).await.expect(201));
    let path = format!("/v1/plans/{plan}/simulate");
    for units in [json!(15), json!("15"), json!(15.0)] {
        let result = tenant.post(&path, json!({"units": units})).await.expect(200);
        let cents: Vec<_> =
            result["charges"].as_array().unwrap().iter().map(|charge| charge["amount_cents"].clone()).collect();
        // 15 × 0.015 = 0.225, half a cent goes up; 10 × 1 + 2 + 5 × 0.5 = 14.50; the minimum.
        assert_eq!(cents, [json!(23), json!(1450), json!(77)]);
        assert_eq!((&result["total_amount_cents"], &result["charges"][0]["units"]), (&json!(2550), &json!(15)));
    }
    for units in [json!(-1), json!("NaN"), json!(null), json!("1e300"), json!([])] {
        assert_eq!(tenant.post(&path, json!({"units": units})).await.status, 422, "{units}");
    }
    assert_eq!(tenant.post(&path, json!({"units": "99999999999999999999999999"})).await.code(422), "amount_too_large");
}
