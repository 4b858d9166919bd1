//! I8: two organizations that share every id and code are billed apart; so are two subscriptions of one customer.

use crate::account::Account;
use crate::harness::Server;
use crate::oracle::Usage;
use crate::wire::{Caller, text};
use serde_json::{Value, json};

fn event(id: &str, code: &str, names: &Value, tokens: u64, at: &str) -> Value {
    let mut event = json!({"transaction_id": id, "code": code, "timestamp": at, "properties": {"tokens": tokens}});
    for (name, value) in names.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

async fn send(account: &Account, events: Vec<Value>) -> Value {
    account.caller.post("/v1/events/batch", &json!({"events": events})).await
}

/// (metric, units, cents) of the charge fees of one subscription.
async fn charges(caller: &Caller, subscription: &str) -> Vec<(String, String, String)> {
    let fees = caller.all("/v1/fees/").await;
    let of_it = |fee: &&Value| fee["subscription_id"] == subscription && fee["fee_type"] == "charge";
    let mut charges: Vec<_> = fees
        .iter()
        .filter(of_it)
        .map(|fee| (text(&fee["metric_code"]), text(&fee["units"]), text(&fee["amount_cents"])))
        .collect();
    charges.sort();
    charges
}

fn expected(usage: &Usage) -> Vec<(String, String, String)> {
    let cents = usage.charges();
    let mut charges: Vec<_> = crate::account::METRICS
        .iter()
        .zip(cents)
        .map(|(code, cents)| ((*code).to_string(), usage.units(code).to_string(), cents.to_string()))
        .collect();
    charges.sort();
    charges
}

#[tokio::test(flavor = "multi_thread")]
async fn two_organizations_that_share_all_ids_and_codes_are_billed_apart() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let mut fees_of = Vec::new();
    for (name, tokens) in [("One", 1_000_001), ("Two", 2_000_003)] {
        let account = Account::open(&server, name).await;
        let customer = account.customer("acme", "UTC").await;
        let subscription = account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
        let names = json!({"external_customer_id": "acme"});
        let mut usage = Usage::default();
        let mut events = Vec::new();
        for (id, code) in [("t-1", "context_tokens"), ("t-2", "generated_tokens"), ("t-3", "requests")] {
            usage.add(code, tokens);
            events.push(event(id, code, &names, tokens, "2026-01-15T12:00:00Z"));
        }
        let answer = send(&account, events).await;
        assert_eq!((&answer["ingested"], &answer["duplicates"]), (&json!(3), &json!(0)), "{name}: {answer}");
        fees_of.push((account, subscription, usage));
    }
    for (account, subscription, usage) in &fees_of {
        account.caller.bill("2026-02-01T00:00:00Z").await;
        assert_eq!(charges(&account.caller, subscription).await, expected(usage));
        assert_eq!(account.caller.all("/v1/invoices/").await.len(), 1);
    }
    let [(one, ..), (two, ..)] = fees_of.as_slice() else { panic!("two accounts") };
    for path in ["/v1/invoices", "/v1/fees", "/v1/events", "/v1/customers", "/v1/subscriptions", "/v1/plans"] {
        let theirs = text(&two.caller.all(&format!("{path}/")).await[0]["id"]);
        assert_eq!(two.caller.get_status(&format!("{path}/{theirs}")).await, 200, "{path}");
        assert_eq!(one.caller.get_status(&format!("{path}/{theirs}")).await, 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_with_two_subscriptions_to_one_metric_is_billed_for_each_apart() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Two subscriptions").await;
    let customer = account.customer("acme", "UTC").await;
    let first = account.subscription("first", &customer, "2026-01-01T00:00:00Z").await;
    let second = account.subscription("second", &customer, "2026-01-01T00:00:00Z").await;
    let at = "2026-01-10T00:00:00Z";
    let events = vec![
        event("t-1", "context_tokens", &json!({"external_subscription_id": "first"}), 400_000, at),
        event("t-2", "context_tokens", &json!({"external_subscription_id": "second"}), 1_500_000, at),
        event(
            "t-3",
            "context_tokens",
            &json!({"external_subscription_id": "second", "external_customer_id": "acme"}),
            7,
            at,
        ),
        // Names only the customer: counts for the oldest subscription and is listed as ambiguous.
        event("t-4", "context_tokens", &json!({"external_customer_id": "acme"}), 11, at),
    ];
    send(&account, events).await;
    account.caller.bill("2026-02-01T00:00:00Z").await;
    let usage_of = |tokens: &[u64]| {
        let mut usage = Usage::default();
        tokens.iter().for_each(|tokens| usage.add("context_tokens", *tokens));
        usage
    };
    assert_eq!(charges(&account.caller, &first).await, expected(&usage_of(&[400_000, 11])));
    assert_eq!(charges(&account.caller, &second).await, expected(&usage_of(&[1_500_000, 7])));
    let ambiguous = account.caller.all("/v1/events/rejections?reason=ambiguous_subscription").await;
    assert_eq!(ambiguous.len(), 1, "{ambiguous:?}");
}
