//! A charge whose events name the wallet that pays has a fee for each wallet.

use crate::api::Server;
use crate::fixtures::at;
use crate::store::Sent;
use serde_json::{Value, json};

#[tokio::test]
async fn a_charge_that_accepts_a_wallet_named_by_its_events_is_grouped_by_that_name() {
    let server = Server::start().await;
    let tenant = server.tenant("one").await;
    let metric = json!({"code": "tokens", "name": "T", "aggregation_type": "sum", "field_name": "n"});
    let metric = tenant.make("/v1/billable_metrics/", metric).await;
    let filter = json!({"values": {"region": ["eu"]}, "properties": {"amount": "2", "pricing_group_keys": ["model"]}});
    let charge = json!({"billable_metric_id": metric, "charge_model": "standard", "properties": {"amount": "1"},
        "filters": [filter], "accepts_target_wallet": true});
    let plan = json!({"code": "p", "name": "P", "interval": "monthly", "charges": [charge]});
    let plan = tenant.make("/v1/plans/", plan).await;
    let customer = tenant.make("/v1/customers/", json!({"external_id": "c", "name": "C"})).await;
    let subscription =
        json!({"external_id": "s", "customer_id": customer, "plan_id": plan, "started_at": "2026-01-15T00:00:00Z"});
    tenant.make("/v1/subscriptions/", subscription).await;
    let event =
        |id: &str, properties: Value| Sent::new(id, "tokens", "c", at("2026-03-02T10:00:00Z"), &properties.to_string());
    tenant
        .events(&[
            event("t1", json!({"n": 1, "target_wallet_code": "w1"})),
            event("t2", json!({"n": 2, "target_wallet_code": "w2"})),
            event("t3", json!({"n": 4, "target_wallet_code": "w2", "region": "eu", "model": "m"})),
            event("t4", json!({"n": 8})),
        ])
        .await;
    let usage = tenant.get("/v1/customers/c/current_usage?subscription_id=s").await;
    let mut lines: Vec<(String, String)> = usage["charges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["filters"].to_string(), line["amount_cents"].as_str().unwrap().to_owned()))
        .collect();
    lines.sort();
    let wanted = [
        (r#"{"model":"m","region":"eu","target_wallet_code":"w2"}"#, "800"),
        (r#"{"target_wallet_code":""}"#, "800"),
        (r#"{"target_wallet_code":"w1"}"#, "100"),
        (r#"{"target_wallet_code":"w2"}"#, "200"),
    ];
    assert_eq!(lines, wanted.map(|(filters, cents)| (filters.to_owned(), cents.to_owned())));
    // Shown as it was sent.
    let shown = tenant.get("/v1/plans/").await;
    assert_eq!(shown[0]["charges"][0]["properties"], json!({"amount": "1"}));
}
