//! The event store out to files and into another one: same events, same positions, same proofs.

use crate::account::Account;
use crate::harness::{ADMIN_SECRET, Server, output, told, tollgate};
use crate::wire::text;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;

fn store(action: &str, folder: &Path, data: &Path) -> Output {
    let (folder, data) = (folder.to_str().unwrap(), data.to_str().unwrap());
    let mut command = tollgate(&["store", action, folder, "--data-dir", data]);
    output(command.env("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET))
}

fn succeeded(ended: &Output) -> String {
    assert!(ended.status.success(), "{}", told(ended));
    told(ended)
}

fn refused(ended: &Output) -> String {
    assert_eq!(ended.status.code(), Some(2), "{}", told(ended));
    told(ended)
}

fn event(id: &str, day: u32, tokens: u32) -> Value {
    json!({"transaction_id": id, "external_customer_id": "acme", "code": "context_tokens",
           "timestamp": format!("2026-01-{day:02}T00:00:00Z"), "properties": {"tokens": tokens}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_goes_out_to_files_and_into_another_where_every_fee_is_proved() {
    let mut server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Moving").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    let first = account.caller.post("/v1/events/", &event("t-1", 3, 700)).await;
    for (id, day, tokens) in [("t-2", 15, 300), ("t-2", 16, 300), ("t-3", 20, 5)] {
        account.caller.post("/v1/events/", &event(id, day, tokens)).await;
    }
    account.caller.post("/v1/events/void", &json!({"transaction_id": "t-3"})).await;
    account.caller.bill("2026-02-01T00:00:00Z").await;
    let data = Path::new(server.directory_argument()).to_path_buf();
    assert_eq!(server.terminate(), Some(0), "{}", server.log());

    let scratch = tempfile::tempdir().unwrap();
    let (folder, other) = (scratch.path().join("export"), scratch.path().join("other"));
    let exported = succeeded(&store("export", &folder, &data));
    assert!(exported.contains("rows in") && folder.join("events-202601.native.zst").exists(), "{exported}");
    assert!(refused(&store("export", &folder, &data)).contains("complete export already"));

    let brought = succeeded(&store("import", &folder, &other));
    assert!(brought.contains(" 0 were there"), "{brought}");
    let again = succeeded(&store("import", &folder, &other));
    assert!(again.contains("0 rows brought in"), "{again}");

    // The ledger goes along, and the other directory takes the place of the first.
    std::fs::remove_dir_all(data.join("engine")).unwrap();
    std::fs::rename(other.join("engine"), data.join("engine")).unwrap();
    server.restart().await;
    let fees = account.caller.all("/v1/fees/").await;
    let fee = fees.iter().find(|fee| fee["metric_code"] == "context_tokens").expect("January is billed");
    let proof = account.caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!((&proof["holds"], &proof["billed"]["units"]), (&json!(true), &json!("1000")), "{proof}");
    // Known there: a copy changes nothing.
    account.caller.post("/v1/events/", &event("t-1", 3, 700)).await;
    let stored = account.caller.get(&format!("/v1/events/{}", text(&first["id"]))).await;
    assert_eq!(stored["timestamp"], "2026-01-03T00:00:00Z", "{stored}");
    let after = account.caller.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
    assert_eq!((&after["holds"], &after["since"]["late_events"]), (&json!(true), &json!(0)), "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_after_its_own_half_partition_and_refuses_somebody_elses_rows() {
    let server = Server::start(&["--billing-automatic", "false"]).await;
    let account = Account::open(&server, "Elsewhere").await;
    account.customer("acme", "UTC").await;
    account.caller.post("/v1/events/", &event("here", 5, 1)).await;
    account.caller.settled().await;
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("export");
    succeeded(&store("export", &folder, Path::new(server.directory_argument())));

    let busy = Server::start(&["--billing-automatic", "false"]).await;
    let other = Account::open(&busy, "Busy").await;
    other.customer("acme", "UTC").await;
    let there = other.caller.post("/v1/events/", &event("there", 6, 2)).await;
    other.caller.settled().await;
    let mixed = refused(&store("import", &folder, Path::new(busy.directory_argument())));
    assert!(mixed.contains("import into an empty store"), "{mixed}");
    let kept = other.caller.get(&format!("/v1/events/{}", text(&there["id"]))).await;
    assert_eq!(kept["transaction_id"], "there");

    // A file cut short is found out; with the whole one the same command goes on.
    let empty = scratch.path().join("empty");
    let file = folder.join("events-202601.native.zst");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refused(&store("import", &folder, &empty));
    std::fs::write(&file, &whole).unwrap();
    let done = succeeded(&store("import", &folder, &empty));
    assert!(done.contains("all of them equal"), "{done}");
}
