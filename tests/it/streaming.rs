//! `tollgate up --ingest streaming` on a real broker: gateway, log, aggregator, rater and API in one process.

use crate::account::Account;
use crate::harness::Server;
use crate::log::{borrowed, streaming, streaming_with};
use crate::wire::{Caller, text};
use reqwest::Method;
use serde_json::{Value, json};

fn event(id: &str, tokens: u64, at: &str) -> Value {
    json!({"transaction_id": id, "external_customer_id": "acme", "code": "context_tokens", "timestamp": at,
           "properties": {"tokens": tokens}})
}

async fn send_lines(caller: &Caller, events: &[Value]) -> Value {
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    let request = caller.request(Method::POST, "/v1/events/batch").header("content-type", "application/x-ndjson");
    let answer = request.body(lines).send().await.unwrap();
    assert_eq!(answer.status(), 201);
    answer.json().await.unwrap()
}

async fn account(server: &Server) -> Account {
    let account = Account::open(server, "Streaming").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    account
}

async fn fee_of_tokens(caller: &Caller) -> Value {
    let fees = caller.all("/v1/fees/").await;
    fees.into_iter().find(|fee| fee["metric_code"] == "context_tokens").expect("the period is billed")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_went_through_the_log_are_billed_once_and_proved_also_after_a_restart() {
    let flags = streaming_with(&["--billing-automatic", "false"]);
    let mut server = Server::start(&borrowed(&flags)).await;
    let account = account(&server).await;
    let caller = &account.caller;

    let jan = "2026-01-15T00:00:00Z";
    let events: Vec<Value> = (0..1_000).map(|number| event(&format!("t-{number}"), 10, jan)).collect();
    let first = caller.post("/v1/events/batch", &json!({"events": events[..500]})).await;
    assert_eq!((&first["ingested"], &first["duplicates"]), (&json!(500), &json!(0)));
    // An exact copy, one that was stamped anew, and one that says something else: none of them is billed.
    let again = [event("t-1", 10, jan), event("t-2", 10, "2026-01-16T00:00:00Z"), event("t-3", 999, jan)];
    send_lines(caller, &[&events[500..], &again].concat()).await;
    caller.post("/v1/events/void", &json!({"transaction_id": "t-4"})).await;
    // A retry is answered as the first was, although the event is on its way into the store.
    let one = event("single", 7, jan);
    let (one, repeated) = (caller.post("/v1/events/", &one).await, caller.post("/v1/events/", &one).await);
    assert_eq!((&one["id"], &one["created_at"]), (&repeated["id"], &repeated["created_at"]));

    let run = caller.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 1, "{run}");
    let fee = fee_of_tokens(caller).await;
    assert_eq!((text(&fee["events_count"]), text(&fee["units"])), ("1000".into(), "9997".into()), "{fee}");
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["holds"], true, "{proof}");
    let rejected = caller.get("/v1/events/rejections/summary").await;
    let told = rejected.to_string();
    assert!(told.contains("restamped") && told.contains("conflict") && told.contains("voided"), "{told}");
    assert_every_stage_is_measured(&server).await;

    let late = event("late", 3, jan);
    caller.post("/v1/events/", &late).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["holds"], true, "{proof}");
    let run = caller.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 0, "{run}");
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["since"]["late_events"], 1, "acknowledged before the stop, stored after it: {proof}");
}

/// Each stage of issue and operators' dashboards has something to show on `/metrics`.
async fn assert_every_stage_is_measured(server: &Server) {
    let shown = Caller::nobody(server).request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for metric in [
        "tollgate_log_events_produced_total",
        "tollgate_log_events_acknowledged_total",
        "tollgate_log_ack_seconds",
        "tollgate_log_queue_bytes",
        "tollgate_aggregator_consumed_total",
        "tollgate_aggregator_consumer_lag_events",
        "tollgate_aggregator_consumer_lag_seconds",
        "tollgate_aggregator_freshness_seconds",
        "tollgate_store_events_total",
        "tollgate_store_repeats_total",
        "tollgate_aggregator_voids_total",
        "tollgate_aggregator_dead_letters_total",
    ] {
        assert!(shown.contains(metric), "{metric} is not among\n{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_a_log_is_not_billed_by_who_does_not_know_the_log() {
    let flags = streaming();
    let mut server = Server::start(&borrowed(&flags)).await;
    let account = account(&server).await;
    account.caller.post("/v1/events/", &event("t-1", 10, "2026-01-15T00:00:00Z")).await;
    account.caller.settled().await;
    server.terminate();
    let bill = |further: &[String]| {
        let mut command = crate::harness::tollgate(&["bill", "--as-of", "2026-02-01T00:00:00Z"]);
        command.args(["--data-dir", server.directory_argument()]).args(further);
        crate::harness::output(&mut command)
    };
    let refused = bill(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(crate::harness::told(&refused).contains("--ingest streaming"), "{}", crate::harness::told(&refused));
    let billed = bill(&flags);
    assert!(billed.status.success(), "{}", crate::harness::told(&billed));
    assert!(crate::harness::told(&billed).contains("invoices created"), "{}", crate::harness::told(&billed));
}
