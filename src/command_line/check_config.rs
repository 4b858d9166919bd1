//! `tollgate check-config`

use crate::configuration::{self, ClickHouseServer, Configuration, SettingFlags};
use crate::data_directory::{self, Running};
use crate::failure::Failure;
use aggregator::{EventStore, StoreConfig};
use catalog::Database;
use clap::Args;
use event_log::settings::KafkaSettings;
use event_log::topic;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest wait for a server that the configuration names.
const PATIENCE: Duration = Duration::from_secs(5);

/// Check the configuration and what it points to; print what is in force, without secrets
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate check-config --config tollgate.toml

Prints the configuration in force as a file, each line with where its value came from, then
what was found of data directory, address, engine or server, store schema, ledger, brokers and
topics. Starts and changes nothing.
Exit code: 0 all is well, 1 something is wrong (each with what to do), 2 the configuration
cannot be read.")]
pub struct CheckConfigCommand {
    #[command(flatten)]
    settings: SettingFlags,
}

impl CheckConfigCommand {
    /// Runs it.
    ///
    /// # Errors
    /// See the exit codes in its help.
    pub async fn run(self) -> Result<(), Failure> {
        let loaded = self.load()?;
        for warning in &loaded.warnings {
            eprintln!("warning: {warning}");
        }
        println!("{}", configuration::effective_toml(&loaded.layers));
        let findings = findings(&loaded.configuration).await;
        let mut wrong = 0;
        for (subject, finding) in findings {
            match finding {
                Ok(good) => println!("ok     {subject}: {good}"),
                Err(problem) => {
                    wrong += 1;
                    println!("WRONG  {subject}: {problem}");
                }
            }
        }
        match wrong {
            0 => Ok(()),
            1 => Err(Failure::AnswerIsNo("1 thing is wrong; see above".to_string())),
            _ => Err(Failure::AnswerIsNo(format!("{wrong} things are wrong; see above"))),
        }
    }

    /// The configuration, as services by themselves have it where brokers are named and nothing says how events reach the store: what they
    /// would meet must not stay unlooked at.
    fn load(&self) -> Result<configuration::Loaded, Failure> {
        let loaded = configuration::load(&self.settings)?;
        let names_brokers = !loaded.layers.get("kafka.brokers").text.is_empty();
        let leaves_open = loaded.layers.get("ingest.mode").source == configuration::Source::Default;
        if names_brokers && leaves_open {
            let mut streaming = configuration::load_over(&self.settings, &[("ingest.mode", "streaming")])?;
            streaming.warnings.push(
                "brokers are named and --ingest is not: checked as services started one by one take it, 'streaming'; \
                 `tollgate up` writes directly until it is told"
                    .to_string(),
            );
            return Ok(streaming);
        }
        Ok(loaded)
    }
}

type Finding = (&'static str, Result<String, String>);

async fn findings(configuration: &Configuration) -> Vec<Finding> {
    let running = match data_directory::is_held(&configuration.data_dir) {
        Ok(true) => Running::read(&configuration.data_dir).ok(),
        Ok(false) | Err(_) => None,
    };
    let mut findings = vec![
        ("data directory", check_directory(&configuration.data_dir, running.as_ref())),
        ("address", check_address(configuration, running.as_ref()).await),
    ];
    match &configuration.clickhouse {
        None => findings.push(("engine", check_engine(configuration.engine_library.as_deref()))),
        Some(server) => {
            let answer = ask_clickhouse(&server.url, &server.user, server.password.reveal()).await;
            let answers = answer.is_ok();
            findings.push(("ClickHouse server", answer));
            if answers {
                findings.push(("event store", check_store(configuration, server).await));
            }
        }
    }
    if let Some(url) = &configuration.database_url {
        findings.push(("ledger", check_ledger(url.reveal()).await));
    }
    if let Some(kafka) = &configuration.kafka {
        findings.push(("log", check_log(kafka).await));
    }
    findings
}

async fn check_store(configuration: &Configuration, server: &ClickHouseServer) -> Result<String, String> {
    let database = configuration.clickhouse_database.clone();
    let (url, user, password) = (server.url.clone(), server.user.clone(), server.password.reveal().to_string());
    let store = EventStore::unopened(StoreConfig { url, user, password, database: database.clone() });
    match store.schema_version().await {
        Ok(0) => Ok(format!("database {database} has no tables yet; the first start makes them")),
        Ok(version) => Ok(format!("database {database} has schema version {version}")),
        Err(fault) => Err(fault.to_string()),
    }
}

async fn check_ledger(url: &str) -> Result<String, String> {
    // Opening would make the file.
    let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    let file = file.map(|path| PathBuf::from(path.split('?').next().unwrap_or_default()));
    if let Some(file) = file.filter(|file| !file.exists()) {
        let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
        return match directory.is_none_or(Path::is_dir) {
            true => Ok(format!("{} will be made", file.display())),
            false => Err(format!("{}: its directory does not exist: make it", file.display())),
        };
    }
    let told = |fault: catalog::DatabaseError| fault.to_string();
    let database = Database::open(url).await.map_err(told)?;
    let catalog = catalog::schema::version(&database).await.map_err(told)?;
    let invoicer = invoicer::ledger::schema::version(&database).await.map_err(told)?;
    database.close().await;
    match (catalog, invoicer) {
        (0, 0) => Ok("can be opened and has no tables yet; the first start makes them".to_string()),
        _ => Ok(format!("can be opened; its tables have versions {catalog} (catalog) and {invoicer} (invoicer)")),
    }
}

/// What a gateway would meet at its start.
async fn check_log(kafka: &KafkaSettings) -> Result<String, String> {
    let newest = topic::newest(kafka, PATIENCE).await.map_err(|fault| fault.to_string())?;
    let topic = &newest.topic;
    match topic::examine(&newest, PATIENCE).await {
        Ok(None) => {
            Ok(format!("{} answer; topic {topic} will be made with {} partitions", kafka.brokers, newest.partitions))
        }
        Ok(Some(shape)) if !shape.is_told => Ok(format!(
            "{} answer; topic {topic} has {} partitions, {} replicas; they do not tell how long it keeps events, see to it \
             that it does",
            kafka.brokers, shape.partitions, shape.replication
        )),
        Ok(Some(shape)) => Ok(format!(
            "{} answer; topic {topic} has {} partitions, {} replicas, min.insync.replicas {}",
            kafka.brokers, shape.partitions, shape.replication, shape.min_insync_replicas
        )),
        Err(fault) => Err(fault.to_string()),
    }
}

fn check_directory(path: &Path, running: Option<&Running>) -> Result<String, String> {
    if let Some(running) = running {
        return Ok(format!("{} is in use by process {} at {}", path.display(), running.pid, running.url));
    }
    data_directory::check(path).map_err(|fault| fault.to_string())?;
    let state = if path.exists() { "can be used" } else { "will be made" };
    Ok(format!("{} {state}", path.display()))
}

async fn check_address(configuration: &Configuration, running: Option<&Running>) -> Result<String, String> {
    match crate::services::check_address(configuration.listen).await {
        Ok(()) => Ok(format!("{} is free", configuration.listen)),
        Err(_) if running.is_some() => Ok(format!("{} is in use by the process above", configuration.listen)),
        Err(problem) => Err(problem),
    }
}

fn check_engine(configured: Option<&Path>) -> Result<String, String> {
    let found = match configured {
        Some(path) => Ok(path.to_path_buf()),
        None => engine::find_library(),
    };
    let path = found.map_err(|fault| fault.to_string())?;
    engine::check_library(&path).map_err(|fault| fault.to_string())?;
    Ok(format!("{} is whole", path.display()))
}

async fn ask_clickhouse(url: &str, user: &str, password: &str) -> Result<String, String> {
    let unreachable = |fault: reqwest::Error| format!("{url} cannot be reached ({fault}): check --clickhouse-url");
    let http = reqwest::Client::builder().timeout(PATIENCE).build().map_err(unreachable)?;
    let request = http.post(url).basic_auth(user, Some(password)).body("SELECT version()");
    let answer = request.send().await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    let first_line = text.lines().next().unwrap_or_default();
    if status.is_success() {
        return Ok(format!("{url} answers, version {first_line}"));
    }
    Err(format!("{url} answers {status}: {first_line}: check --clickhouse-user and TOLLGATE_CLICKHOUSE_PASSWORD"))
}
