//! A sandbox's clock: moving it bills what falls due, in order, before the answer.

use crate::account::Account;
use crate::harness::Server;
use crate::wire::text;
use reqwest::Method;
use serde_json::{Value, json};

const CLOCK: &str = "/v1/organizations/current/clock";

async fn set(account: &Account, now: &str) -> (u16, Value) {
    let request = account.caller.request(Method::PUT, CLOCK).json(&json!({"now": now}));
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_is_billed_by_moving_the_clock_over_it_and_only_forward() {
    let server = Server::start(&[]).await;
    let account = Account::made_from(&server, json!({"name": "Rehearsal", "sandbox": true})).await;
    assert_eq!(set(&account, "2027-01-01T00:00:00Z").await.0, 200);
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2027-01-01T00:00:00Z").await;
    let event = json!({"transaction_id": "t-1", "external_customer_id": "acme", "code": "context_tokens",
                       "timestamp": "2027-02-10T00:00:00Z", "properties": {"tokens": 2_000_000}});
    account.caller.post("/v1/events/", &event).await;

    let (status, moved) = set(&account, "2027-04-01T00:00:00Z").await;
    assert_eq!(status, 200, "{moved}");
    let done: Vec<String> = moved["done"].as_array().unwrap().iter().map(|step| text(&step["at"])).collect();
    assert!(!done.is_empty() && done.is_sorted(), "{moved}");
    let mut totals: Vec<(String, String)> = account
        .caller
        .all("/v1/invoices/")
        .await
        .iter()
        .map(|invoice| (text(&invoice["billing_period_start"]), text(&invoice["total_cents"])))
        .collect();
    totals.sort();
    // 49.00 and the entered tier's 1.00; in February 2.50 + 1.00 + 1.25 + 0.50 of usage instead.
    let expected =
        [("2027-01-01T00:00:00Z", "5000"), ("2027-02-01T00:00:00Z", "5425"), ("2027-03-01T00:00:00Z", "5000")];
    assert_eq!(totals, expected.map(|(start, cents)| (start.to_string(), cents.to_string())));

    for (id, timestamp) in [("late", "2027-02-11T00:00:00Z"), ("in-time", "2027-04-01T00:00:00Z")] {
        let event = json!({"transaction_id": id, "external_customer_id": "acme", "code": "context_tokens",
                           "timestamp": timestamp, "properties": {"tokens": 1}});
        account.caller.post("/v1/events/", &event).await;
    }
    // Also once an adjustment has billed it.
    for clock in ["2027-04-02T00:00:00Z", "2027-05-01T00:00:00Z"] {
        assert_eq!(set(&account, clock).await.0, 200);
        assert_eq!(account.caller.get("/v1/events/rejections/summary").await, json!({"late": 1}));
        let late = account.caller.all("/v1/events/rejections?reason=late").await;
        let told: Vec<_> = late.iter().map(|one| (text(&one["reason"]), text(&one["transaction_id"]))).collect();
        assert_eq!(told, [("late".to_string(), "late".to_string())]);
    }

    assert_eq!(set(&account, "2027-03-01T00:00:00Z").await.0, 422, "backward");
    let live = Account::open(&server, "Live").await;
    assert_eq!(set(&live, "2099-01-01T00:00:00Z").await.0, 403, "a live organization has no clock of its own");
}
