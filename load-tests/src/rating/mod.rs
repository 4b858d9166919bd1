//! Rating of everything: many events of many subscriptions through the real writer into an engine of its own, then every fee of a
//! month at once, the same under other prices, and one subscription among all.
//!
//! The one profile that does not ask over HTTP: what is measured is the rater itself and the engine behind it, without what a
//! billing run writes (that is `billing`). So the rater runs in this process, as it does in `up`; the engine is a child.
//!
//! What counts are ratios to the baselines of the same run (the statement that a careful engineer would write by hand) and the cost
//! of an event from one size to the next; absolute figures drift with the machine. Every size is checked: events and units of all
//! fees must be those that were sent, without repeats and losers.
//!
//! Where to look: [`workload`] (what is sent), [`ground`] (a store filled with it), [`questions`], [`by_hand`] (the baselines),
//! [`report`].

mod by_hand;
mod ground;
mod questions;
mod report;
mod workload;

use crate::system::store::Store;
use anyhow::{Context, ensure};
use clap::Args;
use ground::Ground;
use report::Report;
use std::path::PathBuf;
use std::process::ExitCode;
use workload::Workload;

/// Options of `rating`.
#[derive(Debug, Args)]
pub struct RatingArgs {
    /// The binary; its `engine` is started on an empty data directory and stopped at the end.
    #[arg(long)]
    tollgate: PathBuf,
    /// Where the data lies (default: a temporary directory, removed at the end).
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Numbers of events, a store each.
    #[arg(long, value_delimiter = ',', default_value = "3000000,10000000")]
    events: Vec<u64>,
    /// Subscriptions, a fee each.
    #[arg(long, default_value_t = 300_000)]
    subscriptions: u64,
    /// Folder for rating.json.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Carries out the measurements and prints them; the exit status is 1 when an event or a unit is missing or counted twice.
///
/// # Errors
/// When one could not be made.
pub async fn execute(args: RatingArgs) -> anyhow::Result<ExitCode> {
    ensure!(args.subscriptions > 0, "--subscriptions must be above 0");
    ensure!(
        args.events.iter().all(|events| *events >= workload::BATCH && events.is_multiple_of(workload::BATCH)),
        "--events must be multiples of {}",
        workload::BATCH
    );
    let temporary = std::env::temp_dir().join(format!("tollgate-rating-{}", std::process::id()));
    let folder = args.data_dir.clone().unwrap_or_else(|| temporary.clone());
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let store = Store::start(&args.tollgate, &folder, 0).await?;
    let mut report = Report::default();
    for events in &args.events {
        let ground = Ground::fill(&store, Workload::new(args.subscriptions), *events).await?;
        report.sizes.push(questions::ask(&ground).await?);
        ground.drop_database().await?;
    }
    println!("{}", report.table());
    if let Some(folder) = &args.report {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("rating.json");
        std::fs::write(&path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    drop(store);
    if args.data_dir.is_none() {
        std::fs::remove_dir_all(&temporary).with_context(|| format!("cannot remove {}", temporary.display()))?;
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
