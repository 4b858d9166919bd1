//! The fixed set of measurements: each several times, in turn with baselines of the same run, median and spread.
//!
//! What is measured (closed loops, after a warm-up):
//! - the ceiling of HTTP itself: `GET /healthz` of the system, and a server that reads the same bodies and looks at nothing
//! - ingestion in batches with `return=minimal`, with echoed events, and one event a request over 200 connections
//! - one `current_usage` at a time
//! - of a system that streams (`--streaming`): batches and single events until the brokers hold them, the aggregator draining the
//!   log, and batches until the last event is stored
//!
//! Absolute figures drift with the machine and its other work (shown as "others"); the ratios to the baselines travel.
//! At the end everything that was sent is audited: a fast wrong answer is worth nothing.

mod cases;
mod get_loop;
pub mod null_server;
mod outcome;
pub(crate) mod server;
mod streaming;

use crate::audit::state::State;
use crate::audit::{self, Thoroughness};
use crate::cli::{AccessArgs, duration};
use crate::client::target::Target;
use crate::measure::process::Root;
use crate::report::table as tables;
use crate::run::fresh_tag;
use crate::setup::{Access, Ground, Wanted, prepare};
use crate::workload::facts::Kind;
use anyhow::Context;
use cases::Bench;
use clap::Args;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use indicatif::{ProgressBar, ProgressStyle};
use outcome::Outcomes;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use streaming::Streaming;

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Base URL of a running system (default: start one with --tollgate).
    #[arg(long, conflicts_with = "tollgate")]
    url: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    /// The binary; `up` is started on an empty data directory and stopped at the end.
    #[arg(long, required_unless_present = "url")]
    tollgate: Option<PathBuf>,
    /// Data directory for --tollgate (default: a temporary one, removed at the end).
    #[arg(long, requires = "tollgate")]
    data_dir: Option<PathBuf>,
    /// Further arguments of `up`, as one text.
    #[arg(long, requires = "tollgate", default_value = "", allow_hyphen_values = true)]
    up_args: String,
    /// Measure streaming: gateway, aggregator and API as processes of their own, brokers, engine.
    #[arg(long, requires = "tollgate", conflicts_with = "up_args")]
    streaming: bool,
    /// Brokers for --streaming: 1 or 3.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    brokers: u8,
    /// The script that starts brokers.
    #[arg(long, default_value = "deploy/dev-kafka/kafka")]
    kafka: PathBuf,
    /// Process of a running system: PID or LABEL=PID; may be repeated.
    #[arg(long = "pid", conflicts_with = "tollgate")]
    watched: Vec<Root>,
    /// How often each case is measured.
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Length of each measurement.
    #[arg(long, value_parser = duration, default_value = "5s")]
    duration: Duration,
    /// Before each measurement, not counted.
    #[arg(long, value_parser = duration, default_value = "1s")]
    warm_up: Duration,
    /// Events of a batch.
    #[arg(long, default_value_t = 1_000)]
    batch: u64,
    /// Connections that send batches.
    #[arg(long, default_value_t = 16)]
    senders: usize,
    /// Connections that send single events.
    #[arg(long, default_value_t = 200)]
    single_senders: usize,
    /// Customers, each with four metrics.
    #[arg(long, default_value_t = 1_000)]
    customers: u32,
    /// Customers compared by the audit.
    #[arg(long, default_value_t = 1_000)]
    audit_customers: u32,
    /// Only cases whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Folder for bench.json.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Carries out the measurements and prints them.
///
/// # Errors
/// When one could not be made.
pub async fn execute(args: BenchArgs) -> anyhow::Result<ExitCode> {
    let (started, mut streams) = match &args.tollgate {
        Some(binary) if args.streaming => {
            let folder = args.data_dir.as_deref();
            (None, Some(Streaming::start(binary, &args.kafka, args.brokers, folder).await?))
        }
        Some(binary) => (Some(server::Server::start(binary, args.data_dir.as_deref(), &args.up_args).await?), None),
        None => (None, None),
    };
    let (url, access, watched) = match (&started, &streams, &args.url) {
        (Some(server), ..) => (server.url.clone(), Access::AdminSecret(server.secret.clone()), vec![server.root()]),
        (_, Some(streaming), _) => {
            (streaming.system.url(), Access::AdminSecret(streaming.system.secret().to_owned()), Vec::new())
        }
        (.., Some(url)) => (url.clone(), args.access.access()?, args.watched.clone()),
        (None, None, None) => anyhow::bail!("--url or --tollgate is needed"),
    };
    let null = null_server::Child::start(args.batch).await?;
    let (ground, wanted) = ground(&args, &url, access).await?;
    let state = State::begin(&url, &ground, &wanted).await?;
    if let Some(streaming) = &mut streams {
        streaming.ask_as(ground.api.clone());
    }
    let mut bench = Bench::new(&args, &ground, &wanted, (watched, streams), null.target.clone(), null.root())?;
    let (outcomes, mut state) = measure(&args, &mut bench, state).await?;
    println!("{}", outcomes.table());
    let thoroughness = Thoroughness { customers: args.audit_customers, settle: Duration::from_secs(60) };
    let report = audit::audit(&ground.api, &mut state, &thoroughness).await?;
    println!("{}", tables::audit(&report));
    if let Some(folder) = &args.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("bench.json");
        let document = serde_json::json!({"cases": outcomes, "audit": report});
        std::fs::write(&path, serde_json::to_vec_pretty(&document)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        state.write(&folder.join("state.json"))?;
    }
    if let Some(server) = started {
        server.stop().await?;
    }
    if let Some(streaming) = bench.streaming {
        streaming.stop().await?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

async fn ground(args: &BenchArgs, url: &str, access: Access) -> anyhow::Result<(Ground, Wanted)> {
    let now = Timestamp::now();
    let tag = fresh_tag(now);
    let wanted = Wanted {
        target: Target::parse(url)?,
        access,
        name: format!("Bench {tag}"),
        population: tag,
        customers: args.customers.max(1),
        interval: "monthly",
        charged: &Kind::ALL,
        started_at: Timestamp(now.0 - 3_600 * MICROS_PER_SECOND),
        limit: Duration::from_secs(60),
    };
    let bar = crate::run::watch::setup_bar();
    let ground = prepare(&wanted, &bar).await?;
    bar.finish_and_clear();
    Ok((ground, wanted))
}

async fn measure(args: &BenchArgs, bench: &mut Bench, mut state: State) -> anyhow::Result<(Outcomes, State)> {
    let offered: &[cases::Case] = if args.streaming { &cases::STREAMING } else { &cases::ALL };
    let cases: Vec<cases::Case> = offered.iter().copied().filter(|case| case.name().contains(&args.only)).collect();
    let bar = ProgressBar::new(u64::from(args.runs) * cases.len() as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {msg}")?);
    let mut outcomes = Outcomes::default();
    for _ in 0..args.runs {
        for case in &cases {
            bar.set_message(case.name());
            bench.warm_up(*case, &mut state).await?;
            let measured = bench.measure(*case, &mut state).await?;
            outcomes.add(*case, measured);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok((outcomes, state))
}
