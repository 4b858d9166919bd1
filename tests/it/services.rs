//! The services started one by one: an engine, two gateways, two aggregators, a rater and an API over one ledger and one log.

use crate::account::Account;
use crate::dashboards::Watching;
use crate::harness::{ADMIN_SECRET, free_port, output, told, tollgate};
use crate::log::streaming;
use crate::wire::{Caller, text};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const ENGINE_PASSWORD: &str = "a-password-of-these-tests";
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// What all services of one installation share.
struct Installation {
    directory: tempfile::TempDir,
    flags: Vec<String>,
    engine: Option<Child>,
}

impl Installation {
    /// An engine of its own, a fresh topic, and the ledger at `database_url`. Nobody waits for the engine here: that is the services' part.
    fn new(database_url: Option<String>) -> Self {
        let directory = tempfile::Builder::new().prefix("tollgate-it-").tempdir().unwrap();
        let sqlite = format!("sqlite://{}", directory.path().join("ledger.db").display());
        let engine_url = format!("127.0.0.1:{}", free_port());
        let mut flags = streaming();
        flags.extend(["--clickhouse-url".into(), format!("http://{engine_url}")]);
        flags.extend(["--database-url".into(), database_url.unwrap_or(sqlite)]);
        let mut engine = tollgate(&["engine", "--listen", &engine_url, "--data-dir"]);
        engine.arg(directory.path().join("engine")).env("TOLLGATE_ENGINE_PASSWORD", ENGINE_PASSWORD);
        let log = std::fs::File::create(directory.path().join("engine.log")).unwrap();
        let engine = engine.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { directory, flags, engine: Some(engine) }
    }

    fn service(&self, name: &str, further: &[&str]) -> Service {
        let port = free_port();
        let log = self.directory.path().join(format!("{name}-{port}.log"));
        let file = std::fs::File::create(&log).unwrap();
        // As deploy/compose starts it, but for where things are.
        let config = format!("{}/deploy/config/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let mut command = tollgate(&[name, "--config", &config, "--listen", &format!("127.0.0.1:{port}")]);
        command.args(["--clickhouse-user", "default", "--kafka-partitions", "6", "--kafka-replication", "1"]);
        command.args(["--kafka-min-insync-replicas", "1"]);
        command.args(&self.flags).args(further).envs(secrets());
        let process = command.stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Service { url: format!("http://127.0.0.1:{port}"), process: Some(process), log }
    }

    async fn started(&self, name: &str, further: &[&str]) -> Service {
        let service = self.service(name, further);
        service.ready().await;
        service
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        let Some(mut engine) = self.engine.take() else { return };
        engine.kill().unwrap();
        engine.wait().unwrap();
    }
}

fn secrets() -> [(&'static str, &'static str); 2] {
    [("TOLLGATE_ADMIN_SECRET", ADMIN_SECRET), ("TOLLGATE_CLICKHOUSE_PASSWORD", ENGINE_PASSWORD)]
}

async fn answers(url: &str, check: impl Fn()) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let deadline = Instant::now() + READY_PATIENCE;
    while !http.get(url).send().await.is_ok_and(|answer| answer.status() == 200) {
        check();
        assert!(Instant::now() < deadline, "{url} did not answer 200 in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One running service.
struct Service {
    url: String,
    process: Option<Child>,
    log: std::path::PathBuf,
}

impl Service {
    async fn ready(&self) {
        answers(&format!("{}/readyz", self.url), || {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(!log.lines().any(|line| line.starts_with("error: ")), "{log}");
        })
        .await;
    }

    fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Its exit code after SIGTERM.
    fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().expect("it runs");
        let pid = nix::unistd::Pid::from_raw(i32::try_from(process.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        process.wait().unwrap().code()
    }

    fn caller(&self, key: &str) -> Caller {
        Caller::key_at(&self.url, key)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
    }
}

fn event(id: &str) -> Value {
    json!({"transaction_id": id, "external_customer_id": "acme", "code": "requests", "timestamp": "2026-01-15T00:00:00Z"})
}

async fn send(gateway: &Caller, ids: impl Iterator<Item = usize>) {
    for id in ids {
        gateway.post("/v1/events/", &event(&format!("t-{id}"))).await;
    }
}

/// Shares and quantiles are of what happens between two looks: a demo that ended before the first look shows none.
async fn send_without_end(api: &Service, gateways: &[&Service]) {
    let account = Account::opened_at(Caller::admin_at(&api.url), "Watched").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-watched", &customer, "2026-01-01T00:00:00Z").await;
    for (id, gateway) in (0..).zip(gateways.iter().cycle()) {
        send(&gateway.caller(account.caller.raw_key()), id..id + 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn demo(api: &Service, gateways: &[&Service], data: &Path) -> String {
    let urls: Vec<&str> = gateways.iter().map(|gateway| gateway.url.as_str()).collect();
    let mut command = tollgate(&["demo", "--url", &api.url, "--gateway-url", &urls.join(","), "--data-dir"]);
    let ended = output(command.arg(data).envs(secrets()));
    assert!(ended.status.success(), "{}", told(&ended));
    told(&ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_and_two_aggregators_serve_the_demo_and_lose_nothing_when_one_of_each_goes() {
    let postgres = match test_postgres::installed() {
        Some(_) => Some(test_postgres::TestPostgres::shared().database().await.unwrap()),
        None => None,
    };
    let installation = Installation::new(postgres);
    let names = ["api", "gateway", "gateway", "aggregator", "aggregator", "rater", "rater"];
    let started = names.map(|name| installation.service(name, &[]));
    let urls: Vec<String> = started.iter().map(|service| service.url.clone()).collect();
    let watched: Vec<(&str, &str)> = names.into_iter().zip(urls.iter().map(String::as_str)).collect();
    let [mut api, mut first, mut second, mut doomed, mut heir, mut rater, mut other_rater] = started;
    for service in [&api, &first, &second, &doomed, &heir, &rater, &other_rater] {
        service.ready().await;
    }

    let watching = Watching::start(&watched);
    let gateways = [&first, &second];
    let shown = demo(&api, &gateways, installation.directory.path());
    if let Some(watching) = watching {
        tokio::select! {
            () = watching.every_panel_has_data() => {}
            () = send_without_end(&api, &gateways) => {}
        }
    }
    assert!(shown.contains("Streamed 19,366 requests as 58,098 events"), "{shown}");
    assert!(shown.contains("(4 invoices made by this start)"), "{shown}");
    let commands: Vec<&str> = shown.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 3, "{shown}");
    for command in commands {
        let ended = Command::new("bash").args(["-c", &format!("{command} --fail")]).output().unwrap();
        assert!(ended.status.success(), "{command}\n{}", told(&ended));
    }
    let again = demo(&api, &[&second], installation.directory.path());
    assert!(again.contains("(0 invoices made by this start)"), "{again}");
    let key = shown.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap();
    let reader = api.caller(key);
    let charges: Vec<Value> =
        reader.all("/v1/fees/").await.into_iter().filter(|fee| fee["fee_type"] == "charge").collect();
    assert_eq!(charges.len(), 12);
    for fee in &charges {
        let proof = reader.get(&format!("/v1/fees/{}/proof", text(&fee["id"]))).await;
        assert_eq!(proof["holds"], true, "{proof}");
    }
    // Events are the gateways', all else is the API's.
    let misled = reader.request(Method::POST, "/v1/events/").json(&event("misled")).send().await.unwrap();
    assert_eq!(misled.status(), 405);
    assert_eq!(first.caller(key).get_status("/v1/customers/").await, 404);

    let account = Account::opened_at(Caller::admin_at(&api.url), "Failing over").await;
    let (key, reader) = (account.caller.raw_key(), account.caller.clone());
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    send(&first.caller(key), 0..40).await;
    doomed.kill();
    send(&second.caller(key), 20..60).await;
    assert_eq!(first.terminate(), Some(0));
    send(&second.caller(key), 50..80).await;
    let run = reader.bill("2026-02-01T00:00:00Z").await;
    assert_eq!(run["invoices_created"], 1, "{run}");
    let fees = reader.all("/v1/fees/").await;
    let fee = fees.iter().find(|fee| fee["metric_code"] == "requests").unwrap();
    assert_eq!(fee["events_count"], 80, "copies that went through another gateway are copies: {fee}");
    assert_each_run_was_executed_once(&Caller::admin_at(&api.url), &[&rater, &other_rater]).await;
    for service in [&mut second, &mut heir, &mut rater, &mut other_rater, &mut api] {
        assert_eq!(service.terminate(), Some(0));
    }
}

/// Two raters saw all runs that were asked for: each was taken up by one of them, and ended by it.
async fn assert_each_run_was_executed_once(admin: &Caller, raters: &[&Service]) {
    let shown = futures::future::join_all(raters.iter().map(|rater| async {
        let request = reqwest::get(format!("{}/metrics", rater.url)).await.unwrap();
        request.text().await.unwrap()
    }));
    let ended_by = |shown: &String| -> usize {
        let lines = shown.lines().filter(|line| line.starts_with("tollgate_billing_runs_total"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    };
    let ended: usize = shown.await.iter().map(ended_by).sum();
    let runs = admin.all("/v1/billing_runs").await;
    assert!(runs.iter().all(|run| run["status"] == "completed"), "{runs:?}");
    assert_eq!(ended, runs.len(), "executions of runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_in_vain_names_the_partition_and_the_next_one_bills_what_it_waited_for() {
    let installation = Installation::new(None);
    let api = installation.started("api", &[]).await;
    let gateway = installation.started("gateway", &[]).await;
    let _rater = installation.started("rater", &["--billing-wait-seconds", "2"]).await;
    let account = Account::opened_at(Caller::admin_at(&api.url), "Waiting").await;
    let customer = account.customer("acme", "UTC").await;
    account.subscription("acme-inference", &customer, "2026-01-01T00:00:00Z").await;
    send(&gateway.caller(account.caller.raw_key()), 0..1).await;

    let run = account.caller.ended_run(&json!({"as_of": "2026-02-01T00:00:00Z"})).await;
    assert_eq!(run["status"], "failed", "{run}");
    let error = text(&run["error"]);
    assert!(error.starts_with("partition ") && error.contains("needed is 1: it has not moved"), "{error}");
    assert!(account.caller.all("/v1/invoices/").await.is_empty());

    let _aggregator = installation.started("aggregator", &[]).await;
    account.caller.bill("2026-02-01T00:00:00Z").await;
    let fees = account.caller.all("/v1/fees/").await;
    assert!(fees.iter().any(|fee| fee["metric_code"] == "requests" && fee["events_count"] == 1), "{fees:?}");
}

#[test]
fn a_service_by_itself_says_at_once_everything_that_it_lacks() {
    for (service, lacks) in [("gateway", &["kafka.brokers"][..]), ("aggregator", &["kafka.brokers"])] {
        let ended = output(&mut tollgate(&[service]));
        assert_eq!(ended.status.code(), Some(2));
        assert!(lacks.iter().all(|lack| told(&ended).contains(lack)), "{service}: {}", told(&ended));
    }
    let ended = output(&mut tollgate(&["api", "--kafka-brokers", "127.0.0.1:9"]));
    for lack in ["--database-url", "--clickhouse-url", "TOLLGATE_ADMIN_SECRET"] {
        assert!(told(&ended).contains(lack), "{}", told(&ended));
    }
    let ended = output(&mut tollgate(&["gateway", "--ingest", "direct"]));
    assert!(told(&ended).contains("'streaming' is needed"), "{}", told(&ended));
}
