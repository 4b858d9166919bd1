//! The commands beside `up`: on a stopped data directory they open it, else they go through the process that runs on it.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::wire::{Caller, text};
use serde_json::{Value, json};
use std::process::{Command, Output};

async fn account_with_usage(server: &Server) -> Account {
    let account = Account::open(server, "Commands").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    let event = json!({"transaction_id": "t-1", "external_customer_id": "acme", "code": "context_tokens",
                       "timestamp": "2026-01-15T00:00:00Z", "properties": {"tokens": 1000}});
    account.caller.post("/v1/events/", &event).await;
    account
}

fn on(server: &Server, arguments: &[&str]) -> Command {
    let mut command = tollgate(arguments);
    command.args(["--data-dir", server.directory_argument()]).env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET);
    command
}

fn succeeded(command: &mut Command) -> Output {
    let ended = output(command);
    assert!(ended.status.success(), "{}", told(&ended));
    ended
}

async fn charge_fee(caller: &Caller) -> Value {
    let fees = caller.all("/v1/fees/").await;
    fees.into_iter().find(|fee| fee["metric_code"] == "context_tokens").expect("the period is billed")
}

#[tokio::test(flavor = "multi_thread")]
async fn bill_and_prove_work_on_a_running_and_on_a_stopped_data_directory() {
    let mut server = Server::start(&["--billing-automatic", "false"]).await;
    let account = account_with_usage(&server).await;

    let rehearsed = succeeded(&mut on(&server, &["bill", "--as-of", "2026-02-01T00:00:00Z", "--dry-run"]));
    assert!(told(&rehearsed).contains("completed"), "{}", told(&rehearsed));
    assert!(account.caller.all("/v1/invoices/").await.is_empty(), "a dry run writes nothing");

    let billed = succeeded(&mut on(&server, &["bill", "--as-of", "2026-02-01T00:00:00Z"]));
    assert!(told(&billed).contains("50.00 USD") || told(&billed).contains("50.01 USD"), "{}", told(&billed));
    assert_eq!(account.caller.all("/v1/invoices/").await.len(), 1);
    let fee = charge_fee(&account.caller).await;
    succeeded(&mut on(&server, &["prove", &text(&fee["id"])]));

    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    let proved = succeeded(&mut on(&server, &["prove", &text(&fee["id"])]));
    assert!(told(&proved).contains("holds"), "{}", told(&proved));
    let billed =
        succeeded(&mut on(&server, &["bill", "--as-of", "2026-03-01T00:00:00Z", "--organization", &account.id]));
    assert!(told(&billed).contains("invoices created"), "{}", told(&billed));

    server.restart().await;
    assert_eq!(account.caller.all("/v1/invoices/").await.len(), 2, "February was billed while it was stopped");
    let unknown = output(&mut on(&server, &["prove", "00000000-0000-4000-8000-000000000000"]));
    assert_eq!(unknown.status.code(), Some(2), "{}", told(&unknown));
    assert!(told(&unknown).contains("there is no fee"), "{}", told(&unknown));
}

#[test]
fn a_directory_without_data_is_not_made_by_a_command_that_only_reads() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("nothing-here");
    let ended = output(&mut tollgate(&["bill", "--data-dir", data.to_str().unwrap()]));
    assert_eq!(ended.status.code(), Some(2));
    assert!(told(&ended).contains("is no data directory of tollgate"), "{}", told(&ended));
    assert!(!data.exists());
}

#[test]
fn every_command_has_help_with_an_example() {
    let help = told(&output(&mut tollgate(&["--help"])));
    let services = ["gateway", "aggregator", "rater", "api"];
    for command in services.into_iter().chain([
        "up",
        "engine",
        "bill",
        "import",
        "prove",
        "archive",
        "store",
        "check-config",
        "topic",
        "demo",
    ]) {
        assert!(help.contains(command), "{help}");
        let text = told(&output(&mut tollgate(&[command, "--help"])));
        assert!(text.contains("Example") && text.contains(&format!("tollgate {command}")), "{text}");
    }
}

#[test]
fn check_config_prints_what_is_in_force_without_secrets_and_says_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let good = output(
        tollgate(&["check-config", "--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"])
            .env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET),
    );
    assert!(good.status.success(), "{}", told(&good));
    assert!(told(&good).contains("listen = \"127.0.0.1:0\"") && !told(&good).contains(ADMIN_SECRET), "{}", told(&good));
    let bad = output(&mut tollgate(&["check-config", "--data-dir", "/proc/x", "--engine-lib", "/no/such/libchdb.so"]));
    assert_eq!(bad.status.code(), Some(1), "{}", told(&bad));
    assert!(told(&bad).contains("/proc/x") && told(&bad).contains("/no/such/libchdb.so"), "{}", told(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_when_it_is_told_to_stop() {
    let mut server = Server::start(&["--billing-automatic", "false"]).await;
    let account = account_with_usage(&server).await;
    let events: Vec<Value> = (0..20_000)
        .map(|number| {
            json!({"transaction_id": format!("s-{number}"), "external_customer_id": "acme", "code": "requests",
                   "timestamp": "2026-01-15T00:00:00Z"})
        })
        .collect();
    let mut sending = tokio::task::JoinSet::new();
    for chunk in events.chunks(1_000) {
        let request = account.caller.request(reqwest::Method::POST, "/v1/events/batch").json(&json!({"events": chunk}));
        sending.spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) });
    }
    // When the first is answered the others' connections are made and their requests wait or run.
    let first = sending.join_next().await.unwrap().unwrap();
    assert_eq!(first.unwrap(), 201);
    let mut acknowledged = 1_000;
    assert!(!sending.is_empty(), "the others are under way");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    while let Some(sent) = sending.join_next().await {
        assert_eq!(sent.unwrap().expect("a request that was taken is answered"), 201);
        acknowledged += 1_000;
    }
    server.restart().await;
    let stored = account.caller.all("/v1/events/?code=requests").await.len();
    assert_eq!(stored, acknowledged);
}
