//! Published clients work by changing their base URL: PyPI `bxb`, `lago-python-client` and `cloudevents`, in an environment of
//! their own. Everything they were answered 2xx for is in the store as it was sent, and is billed once.

use crate::account::Account;
use crate::harness::Server;
use crate::log::{borrowed, streaming};
use crate::wire::text;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// What is installed; the environment is made anew when this changes.
const REQUIREMENTS: [&str; 8] = [
    "bxb==0.6.0",
    "lago-python-client==1.55.0",
    "cloudevents==2.2.0",
    "httpx==0.28.1",
    "orjson==3.13.0",
    "pydantic==2.14.3",
    "typeguard==4.6.0",
    "urllib3==2.8.0",
];

/// Runs a command that must succeed.
fn run(command: &mut Command, what_to_do: &str) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{command:?} cannot be run: {error}. {what_to_do}"),
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}). {what_to_do}\n{text}\n{errors}", output.status);
    text
}

/// The Python of an environment with the requirements, made once per target directory, by one test at a time.
pub fn python() -> PathBuf {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("published-clients");
    let marker = directory.join("installed");
    let wanted = REQUIREMENTS.join("\n");
    let python = directory.join("bin/python");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let mut make = Command::new("python3");
    run(
        make.args(["-m", "venv", "--clear"]).arg(&directory),
        "This test needs Python 3 with its venv module (apt-get install python3-venv)",
    );
    let mut install = Command::new(&python);
    run(
        install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(REQUIREMENTS),
        "This test needs a package index that pip can reach",
    );
    std::fs::write(&marker, wanted).unwrap();
    python
}

async fn run_clients(server: &Server, key: &str) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/published_clients.py");
    let url = server.url.clone();
    let key = key.to_owned();
    let clients = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python());
        command.arg(script).arg(url).env("TOLLGATE_TEST_KEY", key).env("NO_PROXY", "127.0.0.1");
        run(&mut command, "The gateway's answers are not what a published client expects")
    });
    let output = clients.await.unwrap();
    assert!(output.contains("all is well"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn published_clients_send_by_changing_their_base_url_and_every_event_is_billed_once() {
    send_and_bill(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_clients_see_no_difference_when_their_events_go_through_the_log() {
    send_and_bill(&streaming()).await;
}

async fn send_and_bill(log: &[String]) {
    let server = Server::start(&[&borrowed(log)[..], &["--billing-automatic", "false"]].concat()).await;
    let account = Account::open(&server, "Clients").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    run_clients(&server, account.caller.raw_key()).await;

    account.caller.settled().await;
    let events = account.caller.all("/v1/events/").await;
    let mut by_sender: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        let id = event["transaction_id"].as_str().unwrap();
        *by_sender.entry(id.split(['-', ' ']).next().unwrap()).or_default() += 1;
    }
    let expected = [("/another", 1), ("bxb", 5), ("https://example.com/gateway", 10), ("lago", 15)];
    assert_eq!(by_sender, BTreeMap::from(expected));
    let of =
        |id: &str| events.iter().find(|event| event["transaction_id"] == id).unwrap_or_else(|| panic!("{id} is lost"));
    let cloud = of("https://example.com/gateway 7");
    assert_eq!((&cloud["external_customer_id"], &cloud["code"]), (&json!("acme"), &json!("requests")));
    assert_eq!(
        (&cloud["timestamp"], &cloud["properties"]),
        (&json!("2026-01-15T12:00:00.123456Z"), &json!({"tokens": 7}))
    );
    assert_eq!(of("lago-0")["timestamp"], "2026-01-15T12:00:00.123456Z");
    assert_eq!(of("lago-2")["timestamp"], of("lago-0")["timestamp"], "ISO 8601 and seconds of one instant");

    account.caller.bill("2026-02-01T00:00:00Z").await;
    let fees = account.caller.all("/v1/fees/").await;
    let fee = fees.iter().find(|fee| fee["metric_code"] == "requests").unwrap();
    // All but the one that was stamped "now", which lies in another period, and the one whose metric is still to come.
    assert_eq!(text(&fee["events_count"]), "29", "{fee}");
    let unmatched: Vec<Value> = account.caller.all("/v1/events/rejections?reason=unmatched").await;
    assert!(unmatched.iter().any(|event| event["transaction_id"] == "lago-unmatched"), "{unmatched:?}");
}
