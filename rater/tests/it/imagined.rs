//! Usage that is imagined: one more event, the rest of a period, another plan. Over HTTP, on a real catalog and engine.

use crate::api::{Server, tokens};
use crate::fixtures::at;
use serde_json::{Value, json};

const MARCH: [(&str, &str, &str, &str); 3] = [
    ("t1", "2026-03-01T10:00:00Z", "100", "eu"),
    ("t2", "2026-03-02T10:00:00Z", "0.5", "us"),
    ("t3", "2026-02-10T10:00:00Z", "7", "eu"),
];

#[tokio::test]
async fn one_more_event_costs_what_it_adds_to_its_own_line() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    let subscription = tenant.account().await;
    tenant.events(&MARCH.map(|(id, when, n, region)| tokens(id, when, n, region))).await;
    let ask = async |properties: Value| {
        let body = json!({"subscription_id": subscription, "code": "tokens", "properties": properties});
        let (status, _, answer) = tenant.ask("POST", "/v1/events/estimate_fees", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let answer = ask(json!({"n": 20.25, "region": "eu"})).await;
    let wanted = json!({"metric_code": "tokens", "charge_model": "standard", "units": "120.25", "amount_cents": "120",
        "unit_amount_cents": "1", "event_amount_cents": "20.25", "event_units": "20.25"});
    assert_eq!(answer, wanted);
    let elsewhere = ask(json!({"n": "3", "region": "asia"})).await;
    assert_eq!((&elsewhere["units"], &elsewhere["amount_cents"]), (&json!("3"), &json!("3")));
    assert_eq!(ask(json!({"region": "eu"})).await["event_amount_cents"], "0");
    // Nothing was stored.
    assert_eq!(tenant.get("/v1/events/").await.as_array().unwrap().len(), 3);
    let nobody = "6b0f5a2e-54a6-4c37-8d2a-0d1d3f0c7c11";
    for (body, wanted) in [
        (json!({"subscription_id": nobody, "code": "tokens"}), 404),
        (json!({"subscription_id": subscription, "code": "nothing"}), 422),
        (json!({"subscription_id": subscription}), 422),
        (json!({"subscription_id": "x", "code": "tokens"}), 422),
    ] {
        let (status, _, answer) = tenant.ask("POST", "/v1/events/estimate_fees", &body).await;
        assert_eq!(status, wanted, "{body}: {answer}");
    }
    let other = server.tenant("other").await;
    let body = json!({"subscription_id": subscription, "code": "tokens"});
    assert_eq!(other.ask("POST", "/v1/events/estimate_fees", &body).await.0, 404);
    assert_eq!(tenant.ask("POST", &format!("/v1/subscriptions/{subscription}/pause"), &Value::Null).await.0, 200);
    assert_eq!(tenant.ask("POST", "/v1/events/estimate_fees", &body).await.0, 400);
}

#[tokio::test]
async fn an_imagined_event_of_a_distinct_count_adds_nothing_when_its_value_is_there() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    let metric = json!({"code": "users", "name": "U", "aggregation_type": "unique_count", "field_name": "user"});
    let metric = tenant.make("/v1/billable_metrics/", metric).await;
    let ranges = json!([{"from_value": 0, "to_value": 1, "per_unit_amount": "1", "flat_amount": "0"},
        {"from_value": 2, "to_value": null, "per_unit_amount": "5", "flat_amount": "10"}]);
    let charge =
        json!({"billable_metric_id": metric, "charge_model": "graduated", "properties": {"graduated_ranges": ranges}});
    let plan = json!({"code": "p", "name": "P", "interval": "monthly", "charges": [charge]});
    let plan = tenant.make("/v1/plans/", plan).await;
    let customer = tenant.make("/v1/customers/", json!({"external_id": "c", "name": "C"})).await;
    let subscription =
        json!({"external_id": "s", "customer_id": customer, "plan_id": plan, "started_at": "2026-01-15T00:00:00Z"});
    let subscription = tenant.make("/v1/subscriptions/", subscription).await;
    let event = |id: &str| crate::store::Sent::new(id, "users", "c", at("2026-03-02T10:00:00Z"), r#"{"user":"ann"}"#);
    tenant.events(&[event("t1"), event("t2")]).await;
    for (user, units, amount) in [("ann", "1", "100"), ("bob", "2", "1600")] {
        let body = json!({"subscription_id": subscription, "code": "users", "properties": {"user": user}});
        let (_, _, answer) = tenant.ask("POST", "/v1/events/estimate_fees/", &body).await;
        assert_eq!((&answer["units"], &answer["amount_cents"]), (&json!(units), &json!(amount)), "{answer}");
    }
}

#[tokio::test]
async fn a_projection_prices_what_the_whole_period_will_come_to() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    tenant.events(&MARCH.map(|(id, when, n, region)| tokens(id, when, n, region))).await;
    let usage = tenant.get("/v1/customers/c/projected_usage?subscription_id=s").await;
    // Paris' March has 743 hours (its clocks change), of which 229 have passed.
    assert_eq!(
        (&usage["charges"][0]["units"], &usage["charges"][0]["amount_cents"]),
        (&json!("324.454148"), &json!("324"))
    );
    assert_eq!(usage["amount_cents"], "326");
    assert_eq!(usage["charges"][0]["events_count"], 1);
    // In the first hours of a period a day is what counts.
    server.clock.set(at("2026-03-01T11:00:00Z"));
    let early = tenant.get("/v1/customers/c/projected_usage?subscription_id=s").await;
    assert_eq!(early["charges"][0]["units"], "3095.833333");
    tenant.refused("/v1/customers/nobody/projected_usage?subscription_id=s", 404).await;
    tenant.refused("/v1/customers/c/projected_usage", 422).await;
}

#[tokio::test]
async fn an_event_is_looked_at_again_for_the_subscriptions_it_may_count_for() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    let mut stranger = tokens("t9", "2026-03-02T10:00:00Z", "1", "eu");
    stranger.customer = "nobody".into();
    tenant.events(&[tokens("t1", "2026-03-01T10:00:00Z", "1", "eu"), stranger]).await;
    for event in tenant.get("/v1/events/").await.as_array().unwrap() {
        let path = format!("/v1/events/{}/reprocess", event["id"].as_str().unwrap());
        let (status, _, answer) = tenant.ask("POST", &path, &Value::Null).await;
        let wanted = match event["transaction_id"].as_str().unwrap() {
            "t1" => ("reprocessing", 1),
            _ => ("no_active_subscriptions", 0),
        };
        let got = (answer["status"].as_str().unwrap(), answer["subscriptions_checked"].as_i64().unwrap());
        assert_eq!((status, got, &answer["event_id"]), (200, wanted, &event["id"]));
    }
    let unknown = "/v1/events/6b0f5a2e-54a6-4c37-8d2a-0d1d3f0c7c11/reprocess";
    assert_eq!(tenant.ask("POST", unknown, &Value::Null).await.0, 404);
    assert_eq!(tenant.ask("POST", "/v1/events/x/reprocess", &Value::Null).await.0, 422);
}

#[tokio::test]
async fn history_under_another_plan_is_told_in_total_and_for_each_customer_and_nothing_is_written() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    tenant.account().await;
    let (plans, metrics) = (tenant.get("/v1/plans/").await, tenant.get("/v1/billable_metrics/").await);
    let second = json!({"external_id": "big", "name": "Big", "timezone": "Europe/Paris"});
    let second = tenant.make("/v1/customers/", second).await;
    let subscription = json!({"external_id": "b", "customer_id": second, "plan_id": plans[0]["id"],
        "started_at": "2026-02-01T00:00:00Z"});
    tenant.make("/v1/subscriptions/", subscription).await;
    let mut big = tokens("t9", "2026-02-02T10:00:00Z", "100000", "eu");
    big.customer = "big".into();
    tenant.events(&MARCH.map(|(id, when, n, region)| tokens(id, when, n, region))).await;
    tenant.events(&[big]).await;
    let ranges = json!([{"from_value": 0, "to_value": 100, "per_unit_amount": "0.02", "flat_amount": "0"},
        {"from_value": 101, "to_value": null, "per_unit_amount": "0.005", "flat_amount": "0"}]);
    let charge = json!({"billable_metric_id": metrics[0]["id"], "charge_model": "graduated",
        "properties": {"graduated_ranges": ranges}});
    let body = json!({"charges": [charge], "from": "2026-01-31T23:00:00Z", "to": "2026-03-31T22:00:00Z"});
    let (status, _, answer) = tenant.ask("POST", "/v1/plans/p/what_if", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        (&answer["old_amount_cents"], &answer["new_amount_cents"], &answer["difference_cents"]),
        // c: February 7, March 100 + 1 cents; then 14 and 200.25.
        (&json!("100108"), &json!("50364"), &json!("-49744")),
        "{answer}"
    );
    let customers: Vec<_> = answer["customers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["external_customer_id"].as_str().unwrap(), row["difference_cents"].as_str().unwrap()))
        .collect();
    assert_eq!(customers, [("big", "-49850"), ("c", "106")]);
    assert_eq!((&answer["winners_count"], &answer["losers_count"]), (&json!(1), &json!(1)));
    assert_eq!(tenant.get("/v1/plans/").await, plans);
    let only = json!({"amount_cents": 3100, "from": "2026-02-28T23:00:00Z", "to": "2026-03-31T22:00:00Z",
        "external_customer_ids": ["c"]});
    let (_, _, answer) = tenant.ask("POST", "/v1/plans/p/what_if/", &only).await;
    assert_eq!((&answer["subscriptions_count"], &answer["difference_cents"]), (&json!(1), &json!("3100")));
    for (path, body, wanted) in [
        ("/v1/plans/nothing/what_if", only.clone(), 404),
        ("/v1/plans/p/what_if", json!({"from": "2026-02-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}), 422),
        ("/v1/plans/p/what_if", json!({"from": "2026-02-01T00:00:00Z"}), 422),
        (
            "/v1/plans/p/what_if",
            json!({"amount_cents": -1, "from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}),
            422,
        ),
        (
            "/v1/plans/p/what_if",
            json!({"charges": [{}], "from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}),
            422,
        ),
        (
            "/v1/plans/p/what_if",
            json!({"external_customer_ids": ["x"], "from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00Z"}),
            422,
        ),
    ] {
        let (status, _, answer) = tenant.ask("POST", path, &body).await;
        assert_eq!(status, wanted, "{body}: {answer}");
    }
    let other = server.tenant("other").await;
    assert_eq!(other.ask("POST", "/v1/plans/p/what_if", &only).await.0, 404);
}
