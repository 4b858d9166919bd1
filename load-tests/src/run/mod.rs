//! One run from beginning to end: prepare, send and watch, audit, report.

pub mod watch;

use crate::audit::state::{Run, State, StateError};
use crate::audit::{self, Thoroughness};
use crate::client::api::ApiError;
use crate::client::target::{Target, TargetError};
use crate::drive::journal::Journal;
use crate::drive::{Drive, DriveError, Pacing};
use crate::measure::freshness;
use crate::measure::process::{Meter, Root};
use crate::oracle::samples;
use crate::profiles::{Demand, Profile, Shape};
use crate::report::result::{Asked, RunResult};
use crate::setup::{Access, Ground, Wanted, prepare};
use crate::workload::facts::{Kind, Spread, mix};
use crate::workload::schedule::Schedule;
use crate::workload::stream::{Stamps, Stream};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use indicatif::ProgressBar;
use std::time::Duration;

/// Subscriptions begin this long before the first event: also a customer whose clock is a little behind is charged.
const SUBSCRIBED_BEFORE_MICROS: i64 = 3_600 * MICROS_PER_SECOND;
/// Nanoseconds between the timestamps of two events of a closed loop, whose rate is not known beforehand.
const CLOSED_TICK_NANOS: u64 = 1_000;

/// All options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URL of catalog and usage.
    pub url: String,
    /// Base URLs that take events: connections are shared out among them. At least one.
    pub ingest_urls: Vec<String>,
    /// Base URLs whose `/metrics` tell of lag and CPU.
    pub metrics_urls: Vec<String>,
    /// How to get in.
    pub access: Access,
    /// Shape of the load.
    pub profile: Profile,
    /// Highest rate, length, events of a request.
    pub demand: Demand,
    /// Whether each sender waits for its answer instead of keeping to a schedule.
    pub closed: bool,
    /// Whether answers carry the events.
    pub echo: bool,
    /// Connections.
    pub senders: usize,
    /// Threads that serve them.
    pub threads: usize,
    /// Tries per request.
    pub attempts: u32,
    /// Longest time until an answer.
    pub limit: Duration,
    /// Customers.
    pub customers: u32,
    /// Customers of an earlier run; absent: new ones.
    pub population: Option<String>,
    /// Decides everything random; absent: by the clock.
    pub seed: Option<u64>,
    /// Processes whose CPU is measured.
    pub watched: Vec<Root>,
    /// Whether to probe freshness.
    pub probe: bool,
    /// Events drawn for comparison field by field.
    pub samples: u64,
    /// The audit; absent: none.
    pub audit: Option<Thoroughness>,
}

/// Why a run could not be made or judged.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Bad URL.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The API refused.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The senders could not work.
    #[error(transparent)]
    Drive(#[from] DriveError),
    /// The state could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// Names or numbers that do not fit.
    #[error("{0}")]
    Options(String),
}

/// A name that no other run has: `lt` and the microseconds since 1970 in base 16.
#[must_use]
pub fn fresh_tag(now: Timestamp) -> String {
    format!("lt{:x}", now.0)
}

/// Makes a run; the state is for later audits.
///
/// # Errors
/// Any [`RunError`].
pub async fn run(options: &Options) -> Result<(RunResult, State), RunError> {
    let now = Timestamp::now();
    let tag = fresh_tag(now);
    let target = Target::parse(&options.url)?;
    let population = options.population.clone().unwrap_or_else(|| tag.clone());
    let wanted = Wanted {
        target: target.clone(),
        access: options.access.clone(),
        name: format!("Load test {tag}"),
        population,
        customers: options.customers,
        interval: "monthly",
        charged: &Kind::ALL,
        started_at: Timestamp(now.0 - SUBSCRIBED_BEFORE_MICROS),
        limit: options.limit,
    };
    let bar = watch::setup_bar();
    let ground = prepare(&wanted, &bar).await?;
    bar.finish_and_clear();
    let mut state = State::begin(&options.url, &ground, &wanted).await?;
    let shape = options.profile.shape(&options.demand);
    let (drive, asked) = plan(options, &shape, &ground, &wanted, &tag)?;
    let stream = drive.stream.clone();
    let gateway = drive.targets.first().map_or_else(|| ground.api.clone(), |target| ground.api.at(target.clone()));
    let probe = options.probe.then(|| freshness::Setting {
        gateway,
        api: ground.api.clone(),
        prefix: format!("{tag}-p"),
        population: wanted.population.clone(),
        customer: options.customers,
        end: ground.period.1,
    });
    let pages = targets(&options.metrics_urls)?.into_iter().map(|target| ground.api.at(target)).collect();
    let watched = watch::Watch { pages, meter: Meter::new(options.watched.clone()), probe };
    let (mut journal, mut measured, probed) = watch::drive(drive, watched).await?;
    measured.freshness = probed.as_ref().map(watch::freshness_result);
    state.probe = probed.map(|seen| seen.probe).unwrap_or_default();
    state.runs.push(record(stream, &mut journal, measured.summary.total.retries, options.samples));
    let audit = match &options.audit {
        None => None,
        Some(thoroughness) => Some(audit::audit(&ground.api, &mut state, thoroughness).await?),
    };
    Ok((RunResult { asked, measured, audit }, state))
}

/// What a finished drive leaves for the audit.
#[must_use]
pub fn record(stream: Stream, journal: &mut Journal, retries: u64, samples: u64) -> Run {
    let outcomes = journal.outcomes();
    let samples = samples::draw(&stream, &outcomes, journal, samples);
    Run { stream, outcomes, retries, samples, resolved: std::collections::BTreeSet::new() }
}

fn plan(
    options: &Options,
    shape: &Shape,
    ground: &Ground,
    wanted: &Wanted,
    tag: &str,
) -> Result<(Drive, Asked), RunError> {
    let base = Timestamp::now();
    let seed = options.seed.unwrap_or_else(|| mix(base.0.unsigned_abs()));
    let schedule = Schedule::new(shape.batch, &shape.segments);
    let tick_nanos = if options.closed { CLOSED_TICK_NANOS } else { tick_nanos(&schedule) };
    let stream = Stream {
        seed,
        tag: tag.to_owned(),
        population: wanted.population.clone(),
        spread: Spread { customers: options.customers, hot_permille: shape.hot_permille },
        slots: shape.slots,
        batch: shape.batch,
        encodings: shape.encodings.clone(),
        stamps: Stamps { base, tick_nanos, end: ground.period.1 },
    };
    if !stream.names_fit() {
        return Err(RunError::Options(format!("the population's name {:?} is too long", wanted.population)));
    }
    let asked = Asked {
        at: base.to_string(),
        url: options.url.clone(),
        profile: options.profile,
        closed: options.closed,
        rate: options.demand.rate,
        duration: options.demand.duration,
        batch: shape.batch,
        senders: options.senders,
        echo: options.echo,
        customers: options.customers,
        seed,
        segments: shape.segments.iter().map(|segment| (segment.length, segment.rate)).collect(),
    };
    let pacing = if options.closed { Pacing::Closed(options.demand.duration) } else { Pacing::Open(schedule) };
    let drive = Drive {
        stream,
        pacing,
        targets: targets(&options.ingest_urls)?,
        key: ground.key.clone(),
        echo: options.echo,
        senders: options.senders,
        threads: options.threads,
        limit: options.limit,
        attempts: options.attempts,
        stops_at_saturation: shape.stops_at_saturation,
    };
    Ok((drive, asked))
}

fn targets(urls: &[String]) -> Result<Vec<Target>, TargetError> {
    urls.iter().map(|url| Target::parse(url)).collect()
}

/// Timestamps spread over the whole schedule: the average distance of two events.
fn tick_nanos(schedule: &Schedule) -> u64 {
    let events = u128::from(schedule.requests()) * u128::from(schedule.batch());
    u64::try_from(schedule.end().as_nanos() / events.max(1)).unwrap_or(u64::MAX)
}

/// Clears a bar, whatever it shows.
pub(crate) fn clear(bar: &ProgressBar) {
    bar.finish_and_clear();
}
