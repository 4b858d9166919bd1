//! Every panel of every dashboard, asked of a real Prometheus that scrapes the running services; and the rules of Grafana's own form.

use crate::harness::free_port;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana/dashboards")
}

fn dashboards() -> Vec<Value> {
    let entries = std::fs::read_dir(folder()).unwrap();
    let read = |path: PathBuf| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    entries.map(|entry| read(entry.unwrap().path())).collect()
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().unwrap()
}

/// Prometheus with the rules of `deploy/`, scraping services each second.
pub struct Watching {
    url: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Watching {
    /// `None` where there is no Prometheus, which is told; with `CI` set there must be one.
    pub fn start(services: &[(&str, &str)]) -> Option<Self> {
        let scratch = tempfile::tempdir().unwrap();
        let port = free_port();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules/*.yml");
        let target = |(service, url): &(&str, &str)| {
            let address = url.trim_start_matches("http://");
            format!("      - {{ targets: ['{address}'], labels: {{ service: {service} }} }}\n")
        };
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
             scrape_configs:\n  - job_name: tollgate\n    static_configs:\n{}",
            rules.display(),
            services.iter().map(target).collect::<String>()
        );
        std::fs::write(scratch.path().join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(scratch.path().join("log")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", scratch.path().join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", scratch.path().join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        match command.stdout(log.try_clone().unwrap()).stderr(log).spawn() {
            Ok(process) => Some(Self { url: format!("http://127.0.0.1:{port}"), process, _folder: scratch }),
            Err(fault) => {
                assert!(std::env::var_os("CI").is_none(), "prometheus: {fault} (apt-get install prometheus)");
                eprintln!("NO prometheus (apt-get install prometheus): THE DASHBOARDS ARE NOT TESTED");
                None
            }
        }
    }

    async fn ask(&self, query: &str) -> Option<Vec<Value>> {
        let url = format!("{}/api/v1/query", self.url);
        let answer = reqwest::Client::new().get(url).query(&[("query", query)]).send().await.ok()?;
        let body: Value = answer.json().await.ok()?;
        assert_ne!(body["status"], "error", "{query}: {body}");
        body["data"]["result"].as_array().cloned()
    }

    /// Returns once every query of every panel answers with numbers.
    pub async fn every_panel_has_data(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut asked = 0;
        for dashboard in dashboards() {
            for panel in list(&dashboard, "panels") {
                for target in list(panel, "targets") {
                    let query = target["expr"].as_str().unwrap();
                    let query = query.replace("$service", ".*").replace("$__rate_interval", "1m");
                    let is_number = |found: &Value| found["value"][1].as_str().is_some_and(|text| text != "NaN");
                    while !self.ask(&query).await.is_some_and(|found| found.iter().any(is_number)) {
                        let (title, panel) = (&dashboard["title"], &panel["title"]);
                        assert!(Instant::now() < deadline, "{title}, {panel} shows nothing: {query}");
                        tokio::time::sleep(Duration::from_millis(250)).await;
                    }
                    asked += 1;
                }
            }
        }
        assert!(asked > 30, "{asked} queries");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn dashboards_keep_to_grafanas_form() {
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for dashboard in dashboards() {
        let title = dashboard["title"].to_string();
        assert!(uids.insert(dashboard["uid"].to_string()) && titles.insert(title.clone()), "{title} twice");
        assert!(dashboard["schemaVersion"].as_i64().unwrap() >= 36 && dashboard["uid"].as_str().unwrap().len() <= 40);
        let variables: BTreeSet<&str> =
            list(&dashboard["templating"], "list").iter().map(|one| one["name"].as_str().unwrap()).collect();
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "panels") {
            assert!(ids.insert(panel["id"].as_i64().unwrap()), "{title}: an id twice");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}: no unit");
            let at = |member: &str| panel["gridPos"][member].as_i64().unwrap();
            assert!(at("x") + at("w") <= 24, "{title}: beyond the grid");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(cells.insert((x, y)), "{title}: panels overlap");
                }
            }
            for target in list(panel, "targets") {
                let query = target["expr"].as_str().unwrap().replace("$__rate_interval", "");
                for used in query.split('$').skip(1) {
                    let name: String =
                        used.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
                    assert!(variables.contains(name.as_str()), "{title}: ${name} is no variable");
                }
            }
        }
    }
    assert_eq!(uids.len(), 5);
}

#[test]
fn the_dashboards_are_what_their_table_makes() {
    let made = tempfile::tempdir().unwrap();
    let script = folder().parent().unwrap().join("dashboards.py");
    let ended = Command::new("python3").arg(script).arg(made.path()).status().unwrap();
    assert!(ended.success());
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let again = std::fs::read_to_string(made.path().join(path.file_name().unwrap())).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), again, "{}: run dashboards.py", path.display());
    }
}
