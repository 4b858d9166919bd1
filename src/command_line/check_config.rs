//! `tollgate check-config`

use crate::configuration::{self, Configuration, SettingFlags};
use crate::data_directory::{self, Running};
use crate::failure::Failure;
use clap::Args;
use std::path::Path;
use std::time::Duration;

/// Longest wait for a server that the configuration names.
const PATIENCE: Duration = Duration::from_secs(5);

/// Check the configuration and what it points to; print what is in force, without secrets
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  tollgate check-config --config tollgate.toml

Prints the configuration in force as a file, each line with where its value came from, then
what was found of data directory, address, engine or server. Starts and changes nothing.
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
        let loaded = configuration::load(&self.settings)?;
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
        Some(server) => findings
            .push(("ClickHouse server", ask_clickhouse(&server.url, &server.user, server.password.reveal()).await)),
    }
    findings
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
