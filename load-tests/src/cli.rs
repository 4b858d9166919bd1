//! The commands: `run`, `audit`, `bench`, `billing`, `rating`, `capacity`, `chaos`, and the baseline server of `bench`.
//!
//! Exit status: 0 when everything is accounted for, 1 when something is not, 2 when a command could not be carried out.

use crate::audit::Thoroughness;
use crate::audit::state::State;
use crate::bench;
use crate::billing;
use crate::capacity;
use crate::chaos;
use crate::client::target::Target;
use crate::measure::process::Root;
use crate::profiles::{Demand, Profile};
use crate::rating;
use crate::report::result::RunResult;
use crate::report::{html, table};
use crate::run::{self, Options};
use crate::setup::{self, Access};
use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Where a run leaves its report when nothing is said: an architect who did not ask for one wants it all the same.
const REPORT_FOLDER: &str = "load-tests-report";

/// Load generator, exactness audit and benchmarks of Tollgate.
#[derive(Debug, Parser)]
#[command(name = "load-tests", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send events on schedule, audit that each is stored and rated once, report.
    #[command(
        after_help = "Example:\n  load-tests run --profile steady --rate 50000 --duration 60s \\\n    --url http://127.0.0.1:8080 --admin-secret \"$TOLLGATE_ADMIN_SECRET\" --report out"
    )]
    Run(RunArgs),
    /// Repeat the audit of an earlier run.
    #[command(after_help = "Example:\n  load-tests audit --state out/state.json")]
    Audit(AuditArgs),
    /// The fixed set of measurements, with baselines taken in the same run.
    #[command(after_help = "Example:\n  load-tests bench --tollgate target/release/tollgate --report out")]
    Bench(bench::BenchArgs),
    /// Billing runs over many subscriptions, from nothing to issued invoices, compared to the cent; then pages of their list.
    #[command(
        after_help = "Example:\n  load-tests billing --tollgate target/release/tollgate --subscriptions 10000,100000 --periods 1,9 --report out"
    )]
    Billing(billing::BillingArgs),
    /// Every fee of a month from many events, what-if, one subscription among all, beside the same by hand.
    #[command(
        after_help = "Example:\n  load-tests rating --tollgate target/release/tollgate --events 3000000,10000000,30000000 --report out"
    )]
    Rating(rating::RatingArgs),
    /// What each stage costs per event on this system, where its knee is, and what other rates would need.
    #[command(
        after_help = "Example:\n  load-tests capacity --rate 120000 --steps 6 --duration 30s --admin-secret \"$TOLLGATE_ADMIN_SECRET\" \\\n    --pid gateway=101 --pid broker=102 --pid aggregator=103 --pid engine=104 --disk log=/data/kafka --disk store=/data/engine --report out"
    )]
    Capacity(capacity::CapacityArgs),
    /// Load, kill, stop, slow down and cut off a system of its own at random, and audit, bill and prove after each round.
    #[command(
        after_help = "Example:\n  load-tests chaos --tollgate target/release/tollgate --rounds 20 --seed 7 --report out"
    )]
    Chaos(chaos::ChaosArgs),
    /// The baseline of `bench`: reads every request, looks at nothing, answers as if it had been stored.
    #[command(hide = true)]
    NullServer {
        /// Events that a batch is said to hold.
        #[arg(long)]
        batch: u64,
    },
}

/// How to get into the system under test.
#[derive(Clone, Debug, Args)]
pub struct AccessArgs {
    /// Make an organization of its own with this secret.
    #[arg(long, env = "TOLLGATE_ADMIN_SECRET", hide_env_values = true)]
    admin_secret: Option<String>,
    /// Use the organization of this key; goes before the secret.
    #[arg(long)]
    api_key: Option<String>,
}

/// Options of a run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Shape of the load.
    #[arg(long, value_enum, default_value = "steady")]
    profile: Profile,
    /// Events a second (at the highest).
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Length: 500ms, 30s, 5m, 1h.
    #[arg(long, value_parser = duration, default_value = "30s")]
    duration: Duration,
    /// Base URL of the system under test, or of a gateway; connections are shared out among several.
    #[arg(long = "url", default_value = "http://127.0.0.1:8080")]
    urls: Vec<String>,
    /// Base URL of catalog and usage, where the API is a service apart (default: the first --url).
    #[arg(long)]
    api_url: Option<String>,
    /// Base URL whose /metrics tell of lag and CPU; may be repeated (default: every --url and --api-url).
    #[arg(long = "metrics-url")]
    metrics_urls: Vec<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// Each connection sends its next request when the last is answered; no schedule.
    #[arg(long)]
    closed: bool,
    /// Connections (default: 32; 200 for single).
    #[arg(long)]
    senders: Option<usize>,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Events of a request; single sends one.
    #[arg(long, default_value_t = 1_000)]
    batch: u64,
    /// Ask for answers without the events (the default).
    #[arg(long, conflicts_with = "echo")]
    minimal: bool,
    /// Ask for answers with the events.
    #[arg(long)]
    echo: bool,
    /// Decides everything random (default: by the clock).
    #[arg(long)]
    seed: Option<u64>,
    /// Customers, each with one subscription and four metrics.
    #[arg(long, default_value_t = 1_000)]
    customers: u32,
    /// Use the customers of an earlier run (its report names them).
    #[arg(long)]
    population: Option<String>,
    /// Tries per request while the answer is 429, 5xx or missing.
    #[arg(long, default_value_t = 5)]
    attempts: u32,
    /// Longest time until an answer.
    #[arg(long, value_parser = duration, default_value = "30s")]
    timeout: Duration,
    /// Process of the system, for CPU and memory, with its descendants: PID or LABEL=PID; may be repeated.
    #[arg(long = "pid")]
    watched: Vec<Root>,
    /// Do not measure how soon events show.
    #[arg(long)]
    no_probe: bool,
    /// Do not audit.
    #[arg(long)]
    no_audit: bool,
    #[command(flatten)]
    thoroughness: ThoroughnessArgs,
    /// Events compared field by field.
    #[arg(long, default_value_t = 1_000)]
    samples: u64,
    /// Folder for report.json, report.html and state.json.
    #[arg(long, default_value = REPORT_FOLDER)]
    report: PathBuf,
}

#[derive(Debug, Args)]
struct ThoroughnessArgs {
    /// Customers compared, evenly chosen (default: all).
    #[arg(long, default_value_t = u32::MAX, hide_default_value = true)]
    audit_customers: u32,
    /// Longest wait for the store to catch up.
    #[arg(long, value_parser = duration, default_value = "60s")]
    settle: Duration,
}

#[derive(Debug, Args)]
struct AuditArgs {
    /// What the run left behind.
    #[arg(long, default_value = "load-tests-report/state.json")]
    state: PathBuf,
    /// Secret, for a run that used an organization of its own (default: the key it kept).
    #[arg(long, env = "TOLLGATE_ADMIN_SECRET", hide_env_values = true)]
    admin_secret: Option<String>,
    /// Key of the organization, for a run that was given one.
    #[arg(long)]
    api_key: Option<String>,
    /// Base URL, when it has changed.
    #[arg(long)]
    url: Option<String>,
    #[command(flatten)]
    thoroughness: ThoroughnessArgs,
}

impl Cli {
    /// Carries out the command and prints what it found.
    ///
    /// # Errors
    /// When it could not be carried out.
    pub async fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Run(args) => execute_run(args).await,
            Command::Audit(args) => execute_audit(args).await,
            Command::Bench(args) => bench::execute(args).await,
            Command::Billing(args) => billing::execute(args).await,
            Command::Rating(args) => rating::execute(args).await,
            Command::Capacity(args) => capacity::execute(args).await,
            Command::Chaos(args) => chaos::execute(args).await,
            Command::NullServer { batch } => {
                bench::null_server::serve(batch).await?;
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

impl AccessArgs {
    /// Key or secret.
    ///
    /// # Errors
    /// When neither is there.
    pub fn access(&self) -> anyhow::Result<Access> {
        match (&self.api_key, &self.admin_secret) {
            (Some(key), _) => Ok(Access::ApiKey(key.clone())),
            (None, Some(secret)) => Ok(Access::AdminSecret(secret.clone())),
            (None, None) => bail!("--admin-secret or --api-key is needed"),
        }
    }
}

impl RunArgs {
    /// Where reports go.
    pub(crate) fn report_folder(&self) -> &Path {
        &self.report
    }

    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let batch = if self.profile == Profile::Single { 1 } else { self.batch };
        if self.rate == 0 || batch == 0 || self.customers == 0 || self.duration.is_zero() {
            bail!("--rate, --batch, --customers and --duration must be above 0");
        }
        let senders = self.senders.unwrap_or(if self.profile == Profile::Single { 200 } else { 32 });
        let thoroughness = self.thoroughness.thoroughness();
        let url = self.api_url.clone().or_else(|| self.urls.first().cloned()).unwrap_or_default();
        Ok(Options {
            metrics_urls: self.metrics_urls(&url),
            url,
            ingest_urls: self.urls.clone(),
            access: self.access.access()?,
            profile: self.profile,
            demand: Demand { rate: self.rate, duration: self.duration, batch },
            closed: self.closed,
            echo: self.echo,
            senders: senders.max(1),
            threads: self.threads.max(1),
            attempts: self.attempts,
            limit: self.timeout,
            customers: self.customers,
            population: self.population.clone(),
            seed: self.seed,
            watched: self.watched.clone(),
            probe: !self.no_probe,
            samples: self.samples,
            audit: (!self.no_audit).then_some(thoroughness),
        })
    }
}

impl RunArgs {
    fn metrics_urls(&self, api: &str) -> Vec<String> {
        if !self.metrics_urls.is_empty() {
            return self.metrics_urls.clone();
        }
        let mut urls = self.urls.clone();
        if !urls.iter().any(|url| url == api) {
            urls.push(api.to_owned());
        }
        urls
    }
}

impl ThoroughnessArgs {
    fn thoroughness(&self) -> Thoroughness {
        Thoroughness { customers: self.audit_customers, settle: self.settle }
    }
}

async fn execute_run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let (result, state) = run::run(&args.options()?).await?;
    println!("{}", table::render(&result));
    println!("Customers: --population {}", state.population);
    write_report(&args.report, &result, &state)?;
    println!("Report: {}", args.report.join("report.html").display());
    Ok(verdict(result.audit.as_ref().is_none_or(|audit| audit.holds())))
}

fn write_report(folder: &Path, result: &RunResult, state: &State) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    write("report.json", serde_json::to_vec_pretty(result)?)?;
    write("report.html", html::render(result).into_bytes())?;
    Ok(state.write(&folder.join("state.json"))?)
}

async fn execute_audit(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let mut state = State::read(&args.state)?;
    let access = match (&args.api_key, &state.key, &args.admin_secret) {
        (Some(key), _, _) | (None, Some(key), _) => Access::ApiKey(key.clone()),
        (None, None, Some(secret)) => Access::AdminSecret(secret.clone()),
        (None, None, None) => bail!("this run was given a key and did not keep it: --api-key is needed"),
    };
    let target = Target::parse(args.url.as_deref().unwrap_or(&state.url))?;
    let api = setup::client(&target, &access, Some(state.organization), Duration::from_secs(60))?;
    let report = crate::audit::audit(&api, &mut state, &args.thoroughness.thoroughness()).await?;
    println!("{}", table::audit(&report));
    state.write(&args.state)?;
    Ok(verdict(report.holds()))
}

fn verdict(holds: bool) -> ExitCode {
    if holds { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// `500ms`, `30s`, `5m`, `1h`.
///
/// # Errors
/// When it is none of these.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time span such as 500ms, 30s, 5m or 1h");
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn time_spans_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for text in ["5", "", "s", "5 s", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_goes_before_a_secret_and_one_of_them_is_needed() {
        let access = |key: Option<&str>, secret: Option<&str>| {
            AccessArgs { api_key: key.map(Into::into), admin_secret: secret.map(Into::into) }.access()
        };
        assert!(matches!(access(Some("k"), Some("s")), Ok(Access::ApiKey(_))));
        assert!(matches!(access(None, Some("s")), Ok(Access::AdminSecret(_))));
        assert!(access(None, None).is_err());
    }
}
