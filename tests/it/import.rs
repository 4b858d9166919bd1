//! `tollgate import`: the trace as a compressed CSV file, killed in the middle and run again; refusals by line; exit codes.

use crate::account::Account;
use crate::harness::{Server, output, told, tollgate};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const TRACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/AzureLLMInferenceTrace_conv.csv.zst");

fn import(server: &Server, account: &Account, file: &Path, extra: &[&str]) -> Command {
    let mut command = tollgate(&["import", file.to_str().unwrap(), "--url", &server.url]);
    command.args(["--api-key", account.caller.raw_key()]).args(extra);
    command
}

const TRACE_OPTIONS: [&str; 13] = [
    "--map",
    "TIMESTAMP=timestamp",
    "--map",
    "ContextTokens=properties.context",
    "--map",
    "GeneratedTokens=properties.tokens",
    "--timezone",
    "UTC",
    "--set",
    "code=generated_tokens",
    "--set",
    "external_customer_id=acme",
    "--chunk=200",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_import_killed_in_the_middle_goes_on_and_every_row_counts_once() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Import").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.csv.zst");
    std::fs::copy(TRACE, &file).unwrap();
    let position = directory.path().join("trace.csv.zst.import-position.json");
    let mut first = import(&server, &account, &file, &TRACE_OPTIONS).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..600 {
        if position.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.kill().unwrap();
    let cut_off = !first.wait().unwrap().success();
    assert!(position.exists(), "a position is saved after each acknowledged request");

    let second = output(&mut import(&server, &account, &file, &TRACE_OPTIONS));
    assert!(second.status.success(), "{}", told(&second));
    assert!(!cut_off || told(&second).contains("going on after row"), "{}", told(&second));
    let third = output(&mut import(&server, &account, &file, &[&TRACE_OPTIONS[..], &["--restart"]].concat()));
    assert!(third.status.success() && told(&third).contains("19,366 known already"), "{}", told(&third));

    let events = account.caller.all("/v1/events/?code=generated_tokens").await;
    assert_eq!(events.len(), 19_366);
    let tokens: u64 = events.iter().map(|event| event["properties"]["tokens"].as_u64().unwrap()).sum();
    assert_eq!(tokens, 4_088_665);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_no_events_are_listed_by_line_and_the_rest_is_stored() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Refusals").await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("usage.ndjson");
    let lines = [
        r#"{"code":"requests","timestamp":"2026-01-01T00:00:00Z","external_customer_id":"acme","properties":{"a":0.10}}"#,
        r#"{"code":"requests","timestamp":"2026-01-01T00:00:00","external_customer_id":"acme"}"#,
        r#"{"code":"no_such_metric","timestamp":"2026-01-01T00:00:00Z","external_customer_id":"acme"}"#,
        r#"not json"#,
        r#"{"code":"requests","timestamp":"2026-01-01T00:00:00Z","external_customer_id":"acme"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let ended = output(&mut import(&server, &account, &file, &[]));
    let text = told(&ended);
    assert_eq!(ended.status.code(), Some(1), "{text}");
    for (line, reason) in [(2, "--timezone"), (3, "no_such_metric"), (4, "is not JSON")] {
        let told = text.lines().find(|said| said.contains(&format!("usage.ndjson:{line}: refused: ")));
        assert!(told.is_some_and(|said| said.contains(reason)), "line {line}, {reason}:\n{text}");
    }
    assert_eq!(account.caller.all("/v1/events/").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_a_server_that_is_away_ends_it_with_the_reason() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("usage.csv");
    std::fs::write(&file, "code,timestamp,external_customer_id\nrequests,2026-01-01T00:00:00Z,acme\n").unwrap();
    let path = file.to_str().unwrap();
    let wrong = output(&mut tollgate(&["import", path, "--url", &server.url, "--api-key", "tg_live_wrong"]));
    assert_eq!(wrong.status.code(), Some(2), "{}", told(&wrong));
    assert!(told(&wrong).contains("401"), "{}", told(&wrong));
    let nobody = format!("http://127.0.0.1:{}", crate::harness::free_port());
    let away =
        output(&mut tollgate(&["import", path, "--url", &nobody, "--api-key", "tg_live_wrong", "--patience", "1"]));
    assert_eq!(away.status.code(), Some(2), "{}", told(&away));
    assert!(told(&away).contains("cannot be reached") && told(&away).contains("trying again"), "{}", told(&away));
}
