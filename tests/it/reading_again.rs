//! Reading the log again, from a time or from its first record, with everything in it that could be counted twice: copies, losers,
//! voids before and after their event, lines that cannot be read, and events whose metric came later. No count and no fee changes.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::log::{borrowed, streaming_with};
use crate::wire::{Caller, text};
use reqwest::Method;
use serde_json::{Value, json};

const JANUARY: &str = "2026-01-15T00:00:00Z";
const AS_OF: &str = "2026-02-01T00:00:00Z";

fn event(id: &str, code: &str, tokens: u64, at: &str) -> Value {
    json!({"transaction_id": id, "external_customer_id": "acme", "code": code, "timestamp": at,
           "properties": {"tokens": tokens}})
}

async fn send(caller: &Caller, events: Vec<Value>) {
    caller.post("/v1/events/batch", &json!({"events": events})).await;
}

/// Lago's form takes codes that no metric has yet.
async fn send_unmatched(caller: &Caller, ids: std::ops::Range<u64>) {
    let event = |id: u64| {
        json!({"transaction_id": format!("later-{id}"), "external_customer_id": "acme", "code": "later",
                                 "timestamp": 1_768_435_200 + id, "properties": {"tokens": id}})
    };
    let answer = caller.request(Method::POST, "/api/v1/events/batch");
    let answer = answer.json(&json!({"events": ids.map(event).collect::<Vec<_>>()})).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// The first part: before the instant that reading goes back to.
async fn send_first(caller: &Caller) {
    send(caller, (0..200).map(|n| event(&format!("t-{n}"), "context_tokens", n, JANUARY)).collect()).await;
    // Before its event, and after another.
    for id in ["t-250", "t-7"] {
        caller.post("/v1/events/void", &json!({"transaction_id": id})).await;
    }
    send_unmatched(caller, 0..50).await;
}

/// The second: some of it is about events of the first.
async fn send_second(caller: &Caller) {
    send(caller, (150..300).map(|n| event(&format!("t-{n}"), "context_tokens", n, JANUARY)).collect()).await;
    send(caller, (0..20).map(|n| event(&format!("t-{n}"), "context_tokens", n, "2026-01-16T00:00:00Z")).collect())
        .await;
    send(caller, (20..40).map(|n| event(&format!("t-{n}"), "context_tokens", 1_000 + n, JANUARY)).collect()).await;
    for id in ["t-8", "t-160"] {
        caller.post("/v1/events/void", &json!({"transaction_id": id})).await;
    }
    send_unmatched(caller, 25..80).await;
}

/// A metric for the code that came before it, with a charge, for the subscription that is there already.
async fn charge_later(account: &Account, customer: &str) {
    let metric = json!({"code": "later", "name": "later", "aggregation_type": "sum", "field_name": "tokens"});
    let metric = account.caller.post("/v1/billable_metrics/", &metric).await;
    let plan = json!({"code": "late", "name": "Late", "interval": "monthly", "currency": "USD", "amount_cents": 0, "charges": [
        {"billable_metric_id": metric["id"], "charge_model": "standard", "properties": {"amount": "0.01"}}]});
    let plan = account.caller.post("/v1/plans/", &plan).await;
    let subscription = json!({"external_id": "acme-late", "customer_id": customer, "plan_id": plan["id"],
                              "started_at": "2026-01-01T00:00:00Z"});
    account.caller.post("/v1/subscriptions/", &subscription).await;
}

/// Everything that reading twice could change: in the store, row by row; what is listed; what is billed, and its proof.
async fn everything(server: &Server, caller: &Caller) -> Value {
    let mut tables = Vec::new();
    for (table, key) in [("events", "id"), ("event_ids", "id"), ("losers", "id"), ("voids", "transaction_id")] {
        let fresh = if table == "losers" { " FINAL" } else { "" };
        let counted = format!("SELECT count(), uniqExact({key}), sum(cityHash64(*)) FROM tollgate.{table}{fresh}");
        tables.push(server.engine(&counted).await);
    }
    let fees = caller.all("/v1/fees/").await;
    let mut proofs = Vec::new();
    for fee in fees.iter().filter(|fee| fee["fee_type"] == "charge") {
        proofs.push(caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await);
    }
    json!({
        "tables": tables, "fees": fees, "proofs": proofs,
        "events": caller.all("/v1/events/").await, "rejections": caller.all("/v1/events/rejections").await,
        "rejected": caller.get("/v1/events/rejections/summary").await,
    })
}

fn reprocess(server: &Server, flags: &[String], from: [&str; 2]) -> String {
    let mut command = tollgate(&["aggregator", "reprocess"]);
    command.args(from).args(["--data-dir", server.directory_argument()]).args(flags);
    let ended = output(command.env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET));
    assert!(ended.status.success(), "{}", told(&ended));
    told(&ended)
}

/// The offsets that a partition is read again from, in the table the command prints.
fn offsets(table: &str) -> Vec<u64> {
    table.lines().filter_map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).next_back()).collect()
}

fn fee<'a>(seen: &'a Value, code: &str) -> &'a Value {
    let fees = seen["fees"].as_array().unwrap();
    fees.iter().find(|fee| fee["metric_code"] == code).unwrap_or_else(|| panic!("no fee of {code}: {fees:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_log_again_from_a_time_or_from_its_start_changes_no_count_and_no_fee() {
    let flags = streaming_with(&["--billing-automatic", "false"]);
    let mut server = Server::start(&borrowed(&flags)).await;
    let account = Account::open(&server, "Again").await;
    let caller = &account.caller;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;

    send_first(caller).await;
    // The brokers' clock stamps records: an instant between the two halves, in whole milliseconds.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let between = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    send_second(caller).await;
    caller.settled().await;
    charge_later(&account, &customer).await;
    caller.bill(AS_OF).await;

    let before = everything(&server, caller).await;
    // 300 events but for four voids; 80 of the metric that came later.
    assert_eq!(fee(&before, "context_tokens")["events_count"], 296, "{}", before["fees"]);
    assert_eq!(fee(&before, "later")["events_count"], 80, "{}", before["fees"]);
    let listed = before["rejected"].to_string();
    assert!(["restamped", "conflict", "voided"].iter().all(|reason| listed.contains(reason)), "{listed}");
    assert!(before["proofs"].as_array().unwrap().iter().all(|proof| proof["holds"] == true), "{}", before["proofs"]);

    let from_time = offsets(&reprocess(&server, &flags, ["--from-time", &between]));
    assert!(from_time.iter().any(|offset| *offset > 0), "{between} lies between the halves: {from_time:?}");
    caller.settled().await;
    assert_same(&everything(&server, caller).await, &before, "from a time");

    let from_start = offsets(&reprocess(&server, &flags, ["--from-offset", "0"]));
    assert!(from_start.len() == 6 && from_start.iter().all(|offset| *offset == 0), "{from_start:?}");
    // Amid it, as a crash would have it: the rest is read by the next start.
    server.kill_tree();
    server.restart().await;
    caller.settled().await;
    assert_same(&everything(&server, caller).await, &before, "from offset 0, through a crash");
    let run = caller.bill(AS_OF).await;
    assert_eq!(run["invoices_created"], 0, "{run}");
}

/// Names what differs.
fn assert_same(seen: &Value, before: &Value, when: &str) {
    for (part, was) in before.as_object().unwrap() {
        assert_eq!(&seen[part], was, "{part}, read again {when}");
    }
}
