//! `tollgate up --ingest streaming` on a real broker: gateway, log, aggregator, rater and API in one process.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::log::{borrowed, streaming, streaming_with};
use crate::wire::{Caller, text};
use event_log::testing::needs_real_brokers;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    // A retry is answered as the first was, once the store has the event: a gateway waits half a second for that, a busy machine longer.
    let one = event("single", 7, jan);
    let first_answer = caller.post("/v1/events/", &one).await;
    caller.settled().await;
    let (one, repeated) = (first_answer, caller.post("/v1/events/", &one).await);
    assert_eq!((&one["id"], &one["created_at"]), (&repeated["id"], &repeated["created_at"]));

    let run = caller.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 1, "{run}");
    let fee = fee_of_tokens(caller).await;
    assert_eq!((text(&fee["events_count"]), text(&fee["units"])), ("1000".into(), "9997".into()), "{fee}");
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["holds"], true, "{proof}");
    let rejected = caller.get("/v1/events/rejections/summary").await;
    let listed = rejected.to_string();
    assert!(["restamped", "conflict", "voided"].iter().all(|reason| listed.contains(reason)), "{listed}");
    assert_every_stage_is_measured(&server).await;

    assert_reading_again_changes_nothing(&server, &flags, caller, &fee).await;

    let late = event("late", 3, jan);
    caller.post("/v1/events/", &late).await;
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["holds"], true, "{proof}");
    let set_back = tollgate(&["aggregator", "reprocess", "--from-time", jan])
        .args(["--data-dir", "nowhere"])
        .args(&flags)
        .output()
        .unwrap();
    assert_eq!(set_back.status.code(), Some(2), "a reader is there: {}", told(&set_back));
    let run = caller.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 0, "{run}");
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["since"]["late_events"], 1, "acknowledged before the stop, stored after it: {proof}");
}

/// The whole log once more, from its first record, through the running process.
async fn assert_reading_again_changes_nothing(server: &Server, flags: &[String], caller: &Caller, fee: &Value) {
    let seen = async || {
        let rejected = caller.get("/v1/events/rejections/summary").await;
        let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        (caller.all("/v1/events/").await.len(), rejected, proof, caller.all("/v1/fees/").await)
    };
    let before = seen().await;
    let mut again = tollgate(&["aggregator", "reprocess", "--from-offset", "0"]);
    again.args(["--data-dir", server.directory_argument()]).args(flags).env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET);
    let again = output(&mut again);
    assert!(again.status.success() && told(&again).contains("is read again from"), "{}", told(&again));
    caller.settled().await;
    assert_eq!(seen().await, before);
    let progress = Caller::admin(server).get("/v1/log").await;
    assert_eq!(progress["partitions"].as_array().map(Vec::len), Some(6), "{progress}");
    let refused =
        caller.request(Method::POST, "/v1/log/reprocess").json(&json!({"from_offset": 0})).send().await.unwrap();
    assert_eq!(refused.status(), 401, "the operator's alone");
}

/// Each stage has something to show on `/metrics`.
async fn assert_every_stage_is_measured(server: &Server) {
    // The lag is told every second.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
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
    let mut check = tollgate(&["check-config", "--kafka-partitions", "7", "--data-dir", server.directory_argument()]);
    let wrong = output(check.args(&flags));
    assert_eq!(wrong.status.code(), Some(1), "{}", told(&wrong));
    assert!(told(&wrong).contains("has 6 partitions, kafka.partitions says 7: set it to 6"), "{}", told(&wrong));
    server.terminate();
    let bill = |further: &[String]| {
        let mut command = tollgate(&["bill", "--as-of", "2026-02-01T00:00:00Z"]);
        command.args(["--data-dir", server.directory_argument()]).args(further);
        output(&mut command)
    };
    let refused = bill(&[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(told(&refused).contains("--ingest streaming"), "{}", told(&refused));
    let billed = bill(&flags);
    assert!(billed.status.success(), "{}", told(&billed));
    assert!(told(&billed).contains("invoices created"), "{}", told(&billed));
}

/// Sends single events until it is told to stop; the ids of those that were acknowledged. A 503 is sent again, as clients must.
async fn send_until(caller: Caller, sender: usize, stop: Arc<AtomicBool>) -> usize {
    let mut acknowledged = 0;
    while !stop.load(Ordering::Relaxed) {
        let body = event(&format!("s{sender}-{acknowledged}"), 1, "2026-01-15T00:00:00Z");
        loop {
            let answer = caller.request(Method::POST, "/v1/events/").json(&body).send().await.unwrap();
            match answer.status().as_u16() {
                201 => break,
                503 => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{other}: {}", answer.text().await.unwrap()),
            }
        }
        acknowledged += 1;
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_grows_under_traffic_and_every_acknowledged_event_is_billed_once() {
    if !needs_real_brokers("topics whose configuration is altered") {
        return;
    }
    let flags = streaming_with(&["--billing-automatic", "false"]);
    let mut server = Server::start(&borrowed(&flags)).await;
    let account = account(&server).await;
    let caller = &account.caller;
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> =
        (0..4).map(|sender| tokio::spawn(send_until(caller.clone(), sender, Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;

    let grown = output(tollgate(&["topic", "grow", "--partitions", "12"]).args(&flags));
    assert!(grown.status.success(), "{}", told(&grown));
    assert!(told(&grown).contains("is open with 12 partitions"), "{}", told(&grown));
    tokio::time::sleep(Duration::from_secs(2)).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = 0;
    for sender in senders {
        acknowledged += sender.await.unwrap();
    }
    // What was sent to the old topic comes again through the new one: copies, whatever partition they stand in.
    let again: Vec<Value> = (0..20).map(|number| event(&format!("s0-{number}"), 1, "2026-01-15T00:00:00Z")).collect();
    send_lines(caller, &again).await;
    caller.bill("2026-02-01T00:00:00Z").await;
    let fee = fee_of_tokens(caller).await;
    assert_eq!(fee["events_count"], acknowledged, "{fee}");
    let shown = output(tollgate(&["topic", "show"]).args(&flags));
    assert!(told(&shown).contains("closed") && told(&shown).contains("12"), "{}", told(&shown));
    let checked = output(tollgate(&["check-config", "--data-dir", server.directory_argument()]).args(&flags));
    assert!(told(&checked).contains("-2 has 12 partitions"), "{}", told(&checked));

    // A process that starts with the old configuration finds both epochs.
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    caller.post("/v1/events/", &event("after", 1, "2026-01-15T00:00:00Z")).await;
    caller.settled().await;
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!((&proof["holds"], &proof["since"]["late_events"]), (&json!(true), &json!(1)), "{proof}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_goes_over_to_streaming_with_everything_that_was_answered_before() {
    let mut server = Server::start(&["--billing-automatic", "false"]).await;
    let account = account(&server).await;
    let caller = &account.caller;
    let events: Vec<Value> = (0..50).map(|number| event(&format!("t-{number}"), 1, "2026-01-15T00:00:00Z")).collect();
    send_lines(caller, &events[..20]).await;
    // Answered a moment ago: it may be in the journal only.
    caller.post("/v1/events/", &events[20]).await;
    server.kill_tree();

    let flags = streaming_with(&["--billing-automatic", "false"]);
    server.restart_with(&borrowed(&flags)).await;
    send_lines(caller, &events[10..]).await;
    caller.bill("2026-02-01T00:00:00Z").await;
    let fee = fee_of_tokens(caller).await;
    assert_eq!(fee["events_count"], 50, "{fee}");
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!(proof["holds"], true, "{proof}");
    assert!(server.log().contains("what direct mode had in its journal is in the store"), "{}", server.log());

    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart_with(&["--billing-automatic", "false"]).await;
    assert!(server.log().contains("events may still be in that log"), "{}", server.log());
    caller.post("/v1/events/", &event("direct", 1, "2026-01-16T00:00:00Z")).await;
    let proof = caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!((&proof["holds"], &proof["since"]["late_events"]), (&json!(true), &json!(1)), "{proof}");
}
