//! Capacity: a ladder of rates against a running system, what each stage costs per event, where the knee is, and what other rates would need.
//!
//! ```text
//! ladder    one run a step, from --rate/--steps up to --rate, each audited like any run         -> point
//! fit       per stage: cores = idle + cost × rate; for the whole: the universal scalability law -> fit
//! sizing    nodes, partitions, disk and money for 1 k to 10 M events/s, by the prices file      -> sizing
//! report    table, capacity.json, capacity.html with the measured points beside the fitted lines
//! ```
//!
//! A model is a straight line through few points: it says how wrong it is at the points it knows, gives ranges, and lists what it assumes.
//! It refuses to fit fewer than three steps that the system held.

pub mod fit;
mod page;
mod point;
mod prices;
mod scalability;
mod sizing;
mod tables;

use crate::cli::RunArgs;
use crate::run;
use anyhow::{Context, bail};
use clap::Args;
use fit::{Line, Unfit};
use point::Point;
use prices::Prices;
use scalability::Scalability;
use serde::Serialize;
use sizing::Sizing;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fewer points than this do not tell a line from an accident.
const LEAST_POINTS: usize = 3;
/// Rates that are planned for, in events a second.
const PLANNED: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];

/// Options of `capacity`; those of a run apply to each step.
#[derive(Debug, Args)]
pub struct CapacityArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Steps of the ladder, evenly up to --rate; --duration is the length of each.
    #[arg(long, default_value_t = 6)]
    steps: u64,
    /// Directory whose growth is measured: `log=DIR` (the brokers' data), `store=DIR` (the event store's); may be repeated.
    #[arg(long = "disk")]
    disks: Vec<Disk>,
    /// What nodes, disks and transfer cost, and how full they may be (TOML); the default is shown by --print-prices.
    #[arg(long)]
    prices: Option<PathBuf>,
    /// Print the default prices file, to be edited, and end.
    #[arg(long)]
    print_prices: bool,
}

/// A directory that events fill.
#[derive(Clone, Debug)]
struct Disk {
    label: String,
    directory: PathBuf,
}

impl std::str::FromStr for Disk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((label @ ("log" | "store"), directory)) if !directory.is_empty() => {
                Ok(Self { label: label.to_owned(), directory: directory.into() })
            }
            _ => Err(format!("{text:?} is not log=DIR or store=DIR")),
        }
    }
}

/// Everything found.
#[derive(Debug, Serialize)]
struct Capacity {
    /// Events of a request.
    batch: u64,
    /// Cores of the machine on which all of it ran.
    machine_cores: usize,
    points: Vec<Point>,
    /// Cores by rate, of each stage that was watched.
    stages: BTreeMap<String, Line>,
    /// Bytes of disk an event, by directory.
    disk_bytes: BTreeMap<String, f64>,
    /// Bytes of a request's body an event.
    network_bytes: f64,
    scalability: Option<Scalability>,
    /// Where all stages together, with the generator, take this share of the machine: `prices.headroom`.
    knee_events_per_second: Option<f64>,
    sizings: Vec<Sizing>,
    prices: Prices,
    assumptions: Vec<String>,
}

/// Climbs the ladder, fits, sizes, reports.
///
/// # Errors
/// When a step cannot be carried out, or too few are held to fit anything.
pub async fn execute(args: CapacityArgs) -> anyhow::Result<ExitCode> {
    if args.print_prices {
        print!("{}", prices::DEFAULT);
        return Ok(ExitCode::SUCCESS);
    }
    let prices = Prices::read(args.prices.as_deref())?;
    let base = args.run.options()?;
    if args.steps < LEAST_POINTS as u64 {
        bail!("--steps must be at least {LEAST_POINTS}: fewer points do not tell a line from an accident");
    }
    if base.watched.is_empty() {
        bail!(
            "--pid LABEL=PID is needed for each stage (gateway, broker, aggregator, engine): without it there is no cost to fit"
        );
    }
    let mut points = Vec::new();
    let mut holds = true;
    for step in 1..=args.steps {
        let mut options = base.clone();
        options.demand.rate = base.demand.rate * step / args.steps;
        eprintln!("step {step} of {}: {} events/s", args.steps, options.demand.rate);
        let before = sizes(&args.disks)?;
        let (result, _) = run::run(&options).await?;
        let grown = grown(&before, &sizes(&args.disks)?);
        holds &= result.audit.as_ref().is_none_or(|audit| audit.holds());
        let point = Point::of(&result, grown);
        let ends = !point.held;
        points.push(point);
        if ends {
            eprintln!("not held: the ladder ends here");
            break;
        }
    }
    let capacity = judge(points, base.demand.batch, prices)?;
    println!("{}", tables::render(&capacity));
    write(args.run.report_folder(), &capacity)?;
    if !holds {
        println!(
            "Not everything that was acknowledged is accounted for: run the step alone, its report lists what is missing."
        );
    }
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn judge(points: Vec<Point>, batch: u64, prices: Prices) -> Result<Capacity, Unfit> {
    let held: Vec<&Point> = points.iter().filter(|point| point.held).collect();
    if held.len() < LEAST_POINTS {
        return Err(Unfit::TooFew { held: held.len(), needed: LEAST_POINTS });
    }
    let labels: std::collections::BTreeSet<&String> = held.iter().flat_map(|point| point.cores.keys()).collect();
    let mut stages = BTreeMap::new();
    for label in labels {
        let of = |point: &&Point| point.cores.get(label).map(|cores| (point.acknowledged_per_second, *cores));
        let measured: Vec<(f64, f64)> = held.iter().filter_map(of).collect();
        stages.insert(label.clone(), Line::through(&measured)?);
    }
    let machine_cores = std::thread::available_parallelism().map_or(1, usize::from);
    let knee = fit::reached_at(stages.values(), &prices.headroom(), machine_cores);
    let scalability = Scalability::of(&held);
    let (disk_bytes, network_bytes) = (point::disk_bytes(&held), point::network_bytes(&held));
    let basis = sizing::Basis { stages: &stages, disk_bytes: &disk_bytes, network_bytes, prices: &prices };
    let sizings = PLANNED.iter().map(|rate| basis.size(*rate)).collect();
    let assumptions = sizing::assumptions(&prices, machine_cores);
    Ok(Capacity {
        batch,
        machine_cores,
        points,
        stages,
        disk_bytes,
        network_bytes,
        scalability,
        knee_events_per_second: knee,
        sizings,
        prices,
        assumptions,
    })
}

fn sizes(disks: &[Disk]) -> anyhow::Result<BTreeMap<String, u64>> {
    let size = |disk: &Disk| Ok((disk.label.clone(), size_of(&disk.directory)?));
    disks.iter().map(size).collect()
}

/// Bytes of all files below a directory; what vanishes while we look (a merged part) is not counted.
fn size_of(directory: &Path) -> anyhow::Result<u64> {
    let entries = std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut bytes = 0;
    for entry in entries.flatten() {
        let Ok(about) = entry.metadata() else { continue };
        bytes += if about.is_dir() { size_of(&entry.path()).unwrap_or(0) } else { about.len() };
    }
    Ok(bytes)
}

fn grown(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let by = |(label, bytes): (&String, &u64)| {
        (label.clone(), bytes.saturating_sub(before.get(label).copied().unwrap_or(0)))
    };
    after.iter().map(by).collect()
}

fn write(folder: &Path, capacity: &Capacity) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    write("capacity.json", serde_json::to_vec_pretty(capacity)?)?;
    write("capacity.html", page::render(capacity).into_bytes())?;
    println!("Report: {}", folder.join("capacity.html").display());
    Ok(())
}
