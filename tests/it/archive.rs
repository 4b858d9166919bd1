//! Closed months in files, and fees proved from these files alone.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::wire::text;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn archive(folder: &Path, before: &str, data: &Path) -> Output {
    let (folder, data) = (folder.to_str().unwrap(), data.to_str().unwrap());
    let mut command = tollgate(&["archive", folder, "--before", before, "--data-dir", data]);
    output(command.env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET))
}

/// Without a data directory: from the files alone.
fn prove(fee: &str, folder: &Path) -> Output {
    output(&mut tollgate(&["prove", fee, "--archive", folder.to_str().unwrap(), "--data-dir", "/nowhere"]))
}

fn event(id: &str, month: u32, day: u32, tokens: u32) -> Value {
    json!({"transaction_id": id, "external_customer_id": "acme", "code": "context_tokens",
           "timestamp": format!("2026-{month:02}-{day:02}T00:00:00Z"), "properties": {"tokens": tokens}})
}

async fn usage_fee_of(account: &Account, month: &str) -> String {
    let fees = account.caller.all("/v1/fees/").await;
    let of_month =
        |fee: &&Value| fee["metric_code"] == "context_tokens" && text(&fee["period_start"]).starts_with(month);
    text(&fees.iter().find(of_month).unwrap_or_else(|| panic!("{month} is billed: {fees:?}"))["id"]).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fee_is_proved_from_the_archive_alone() {
    let mut server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Archived").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    for sent in [event("t-1", 1, 3, 700), event("t-2", 1, 15, 300), event("t-3", 1, 20, 5), event("t-4", 2, 2, 11)] {
        account.caller.post("/v1/events/", &sent).await;
    }
    account.caller.post("/v1/events/void", &json!({"transaction_id": "t-3"})).await;
    account.caller.bill("2026-02-01T00:00:00Z").await;
    // Beyond the fee's cut: part of the month, not of the fee.
    account.caller.post("/v1/events/", &event("t-5", 1, 21, 9)).await;
    account.caller.settled().await;
    let january = usage_fee_of(&account, "2026-01").await;
    let data = Path::new(server.directory_argument()).to_path_buf();

    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("archive");
    let running = archive(&folder, "2026-02", &data);
    assert!(running.status.success() && told(&running).contains("written"), "{}", told(&running));
    assert!(folder.join("2026-01/events-0000.parquet").exists() && !folder.join("2026-02").exists());
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    let stopped = archive(&folder, "2026-02", &data);
    assert!(stopped.status.success() && told(&stopped).contains("unchanged"), "{}", told(&stopped));

    std::fs::remove_dir_all(data.join("engine")).unwrap();
    let holds = prove(&january, &folder);
    assert!(holds.status.success() && told(&holds).contains("1000"), "{}", told(&holds));
    let unknown = prove("0d9b7a4e-3c1f-4f0e-9a76-5d0f0c1b2a33", &folder);
    assert_eq!(unknown.status.code(), Some(2), "{}", told(&unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_was_changed_or_lacks_a_month_proves_nothing() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Changed").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    account.caller.post("/v1/events/", &event("t-1", 1, 3, 700)).await;
    account.caller.bill("2026-02-01T00:00:00Z").await;
    let january = usage_fee_of(&account, "2026-01").await;
    let data = Path::new(server.directory_argument());
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("archive");
    assert!(archive(&folder, "2026-02", data).status.success());

    // More of the month came in since: the next run writes it anew.
    account.caller.post("/v1/events/", &event("t-2", 1, 4, 1)).await;
    account.caller.settled().await;
    let again = archive(&folder, "2026-02", data);
    assert!(again.status.success() && told(&again).contains("written"), "{}", told(&again));
    let holds = prove(&january, &folder);
    assert!(holds.status.success(), "{}", told(&holds));

    let file = folder.join("2026-01/events-0000.parquet");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let changed = prove(&january, &folder);
    assert_eq!(changed.status.code(), Some(2), "{}", told(&changed));
    assert!(told(&changed).contains("is not the file that was archived"), "{}", told(&changed));
}
