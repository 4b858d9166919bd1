//! The crash matrix: a system of its own under load, something done to it at random, and then everything must be accounted for.
//!
//! Each round: an organization with customers; events over HTTP with repeats, new timestamps and every encoding; amid them one
//! [`fault::Fault`] and copies that conflict; recovery; the audit (acknowledged = stored = rated, conflicts listed); a billing run,
//! twice; every fee proved. At the end of all rounds the system is stopped in order, started again, and every round audited once
//! more: what later crashes did to earlier data would show there.
//!
//! Everything random follows from the seed, but for the instants at which two processes happen to be: a failure may need its
//! round played several times.
//!
//! Where to look: [`topology`] (what is set up), [`fault`] (what is done, and when), [`round`], [`billing`], [`report`]; [`crate::system`]
//! is what it is done to, `inflict` does it.
//!
//! Invariants asserted: I1 durable, I2 once, I3 proved, I4 billed once, I9 conflicts listed.

mod billing;
mod conflicts;
pub mod fault;
mod inflict;
pub mod report;
pub mod round;
pub mod topology;

use crate::cli::duration;
use crate::system::{Parts, System};
use anyhow::Context;
use clap::Args;
use domain::time::Timestamp;
use fault::Plan;
use report::ChaosReport;
use round::{Finished, Load};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use topology::Topology;

/// Options of `chaos`.
#[derive(Clone, Debug, Args)]
pub struct ChaosArgs {
    /// The binary under test.
    #[arg(long)]
    pub tollgate: PathBuf,
    /// The script that starts brokers, for systems that stream.
    #[arg(long, default_value = "deploy/dev-kafka/kafka")]
    pub kafka: PathBuf,
    /// Rounds in all, shared out evenly among the shapes of system.
    #[arg(long, default_value_t = 10)]
    pub rounds: u32,
    /// Decides what is done when (default: by the clock; it is printed).
    #[arg(long)]
    pub seed: Option<u64>,
    /// Shapes of system; may be repeated (default: all).
    #[arg(long = "system", value_enum)]
    pub systems: Vec<Topology>,
    /// Only faults whose name contains this.
    #[arg(long, default_value = "")]
    pub only: String,
    /// Events a second.
    #[arg(long, default_value_t = 6_000)]
    pub rate: u64,
    /// Length of each round's load.
    #[arg(long, value_parser = duration, default_value = "4s")]
    pub duration: Duration,
    /// Events of a request.
    #[arg(long, default_value_t = 50)]
    pub batch: u64,
    /// Customers of a round, each with four metrics.
    #[arg(long, default_value_t = 20)]
    pub customers: u32,
    /// Folder for data and logs (default: a temporary one, kept when something is off).
    #[arg(long)]
    pub work_dir: Option<PathBuf>,
    /// Folder for chaos.json.
    #[arg(long)]
    pub report: Option<PathBuf>,
}

/// Plays the rounds and prints them.
///
/// # Errors
/// When one could not be played.
pub async fn execute(args: ChaosArgs) -> anyhow::Result<ExitCode> {
    let report = run(&args).await?;
    println!("{}", report.table());
    if let Some(folder) = &args.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("chaos.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// Plays the rounds.
///
/// # Errors
/// When one could not be played; the folder with its data and logs is named and stays.
pub async fn run(args: &ChaosArgs) -> anyhow::Result<ChaosReport> {
    anyhow::ensure!(
        args.rounds > 0 && args.rate > 0 && args.batch > 0 && args.customers > 0 && !args.duration.is_zero(),
        "--rounds, --rate, --duration, --batch and --customers must be above 0"
    );
    let seed = args.seed.unwrap_or_else(|| crate::workload::facts::mix(Timestamp::now().0.unsigned_abs()));
    let folder = args.work_dir.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("tollgate-chaos-{seed:x}")));
    println!("chaos --seed {seed} --rounds {}; data and logs: {}", args.rounds, folder.display());
    let systems: Vec<Topology> = if args.systems.is_empty() { all_systems() } else { args.systems.clone() };
    let mut report = ChaosReport { seed, rounds: Vec::new(), at_the_end: Vec::new() };
    let mut temporary = Temporary(args.work_dir.is_none().then(|| folder.clone()));
    for (topology, rounds) in shares(&systems, args.rounds) {
        let folder = folder.join(topology.folder());
        let played = play_all(args, topology, rounds, seed, &folder, &mut report).await;
        if played.is_err() {
            temporary.keep();
        }
        played.with_context(|| format!("data and logs are in {}", folder.display()))?;
    }
    if !report.holds() {
        temporary.keep();
    }
    Ok(report)
}

/// A folder that is removed when this is dropped, also amid a round; whoever finds something in it keeps it.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn keep(&mut self) {
        self.0 = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let Some(folder) = &self.0 else { return };
        if let Err(error) = std::fs::remove_dir_all(folder) {
            eprintln!("cannot remove {}: {error}", folder.display());
        }
    }
}

fn all_systems() -> Vec<Topology> {
    <Topology as clap::ValueEnum>::value_variants().to_vec()
}

/// Rounds by system: contiguous, as even as can be.
fn shares(systems: &[Topology], rounds: u32) -> Vec<(Topology, RangeInclusive<u32>)> {
    let count = u32::try_from(systems.len()).unwrap_or(1).max(1);
    let end = |nth: u32| rounds * nth / count;
    let share = |(nth, topology): (u32, &Topology)| (*topology, end(nth) + 1..=end(nth + 1));
    (0..).zip(systems).map(share).filter(|(_, rounds)| !rounds.is_empty()).collect()
}

async fn play_all(
    args: &ChaosArgs,
    topology: Topology,
    rounds: RangeInclusive<u32>,
    seed: u64,
    folder: &Path,
    report: &mut ChaosReport,
) -> anyhow::Result<()> {
    let load = Load { rate: args.rate, duration: args.duration, batch: args.batch, customers: args.customers };
    let plans = fault::plans(seed, topology, rounds, args.duration, &args.only);
    anyhow::ensure!(!plans.is_empty(), "no fault of a system {topology} has {:?} in its name", args.only);
    let (tollgate, kafka) = (args.tollgate.clone(), args.kafka.clone());
    let parts = Parts { tollgate, kafka, folder: folder.to_owned(), seed };
    let mut system = System::start(&topology.shape(), &parts).await?;
    let mut played = Vec::with_capacity(plans.len());
    for plan in plans {
        announce(topology, &plan, args.rounds);
        let finished = round::play(&mut system, plan, load).await?;
        println!("    {}", told(&finished));
        report.rounds.push((topology, finished.report.clone()));
        played.push(finished);
    }
    system.stop_in_order().await?;
    system.recover().await?;
    for mut finished in played {
        let mut problems = Vec::new();
        round::audit(&finished.ground, &mut finished.state, &mut problems).await?;
        let round = finished.report.plan.round;
        report.at_the_end.extend(problems.into_iter().map(|problem| format!("round {round}: {problem}")));
    }
    system.stop_in_order().await
}

fn announce(topology: Topology, plan: &Plan, rounds: u32) {
    let Plan { round, fault, moment, after, length, .. } = plan;
    println!(
        "round {round}/{rounds} · {topology} · {fault}, {} ms into the {moment} (lasting {} ms)",
        after.as_millis(),
        length.as_millis()
    );
}

fn told(finished: &Finished) -> String {
    let report = &finished.report;
    let verdict = match report.problems.as_slice() {
        [] => "ok".to_owned(),
        [first, ..] => format!("{} PROBLEMS: {first}", report.problems.len()),
    };
    format!(
        "{} events, {} retries, ready after {}, {} of {} fees proved: {verdict}",
        crate::report::text::grouped(report.acknowledged),
        report.retries,
        crate::report::text::span(report.recovery),
        report.billed.proved,
        report.billed.fees,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_shared_out_evenly_and_all() {
        let shares = |rounds| shares(&[Topology::Embedded, Topology::Apart], rounds);
        assert_eq!(shares(5), [(Topology::Embedded, 1..=2), (Topology::Apart, 3..=5)]);
        assert_eq!(shares(1), [(Topology::Apart, 1..=1)]);
    }
}
