//! One round: an organization of its own, load, a fault amid it, recovery, the audit, the bill, the proofs.
//!
//! Events lie in the last quarter that has ended: three months, so that an insert spans several partitions of the store,
//! which is where a crash can leave a part of it behind; and ended, so that it can be billed.

use super::billing::{self, Billed};
use super::conflicts::Conflicts;
use super::fault::{Moment, Plan};
use crate::audit::report::AuditReport;
use crate::audit::state::State;
use crate::audit::{self, Thoroughness};
use crate::client::target::Target;
use crate::drive::{Drive, Pacing, Running};
use crate::profiles::{Demand, Profile, Shape};
use crate::run::{fresh_tag, record};
use crate::setup::{Access, Ground, Wanted, prepare};
use crate::system::System;
use crate::workload::facts::{Kind, Spread, mix};
use crate::workload::schedule::Schedule;
use crate::workload::stream::{Stamps, Stream};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use indicatif::ProgressBar;
use serde::Serialize;
use std::time::Duration;

/// Tries per request: with doubling pauses of up to 5 s about 40 s, several times what a recovery takes.
const ATTEMPTS: u32 = 14;
/// A request that is not answered for this long, as by a process that stands still, is sent again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);
/// An answer of the API, which may wait for a process that is paused.
const API_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for the store to catch up with what was acknowledged.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// Events compared field by field.
const SAMPLES: u64 = 200;
const SENDERS: usize = 16;
const LOOK: Duration = Duration::from_millis(10);

/// Size of every round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Load {
    /// Events a second.
    pub rate: u64,
    /// How long.
    pub duration: Duration,
    /// Events of a request.
    pub batch: u64,
    /// Customers.
    pub customers: u32,
}

/// What came of a round.
#[derive(Clone, Debug, Serialize)]
pub struct RoundReport {
    /// What was done.
    pub plan: Plan,
    /// Events acknowledged; of those with unknown outcome how many were found stored.
    pub acknowledged: u64,
    /// Requests sent more than once.
    pub retries: u64,
    /// Connections that a proxy cut or answered 503.
    pub harmed: u64,
    /// From the end of the fault until everything was ready, amid the load.
    pub recovery: Duration,
    /// What was billed and proved.
    pub billed: Billed,
    /// Everything that is off; empty when the round holds.
    pub problems: Vec<String>,
    /// The audit.
    pub audit: AuditReport,
}

/// A round that is over, with what is needed to audit it once more at the end.
pub(super) struct Finished {
    pub(super) report: RoundReport,
    pub(super) state: State,
    pub(super) ground: Ground,
}

impl RoundReport {
    /// Whether nothing is off.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Plays one round.
pub(super) async fn play(system: &mut System, plan: Plan, load: Load) -> anyhow::Result<Finished> {
    let quarter = last_quarter(Timestamp::now());
    let tag = fresh_tag(Timestamp::now());
    let (mut ground, wanted) = enter(system, &tag, quarter.0, load).await?;
    ground.period = quarter;
    let mut state = State::begin(&system.url(), &ground, &wanted).await?;
    (state.period, state.since) = (quarter, quarter.0);
    let gateway = ground.api.at(Target::parse(&system.direct_ingest_url())?);
    let conflicts = Conflicts::new(gateway, ground.api.clone(), &tag, &wanted.population, load.customers, quarter.0);
    conflicts.send_originals(&mut state).await?;
    let harmed_before = system.harmed();
    let running = drive(system, &ground, &wanted, &tag, plan.seed, load)?.start()?;
    let stream = stream(&wanted, &tag, plan.seed, load, quarter);
    let fault = async {
        tokio::time::sleep(plan.after).await;
        if plan.moment == Moment::Load {
            system.inflict(plan.fault, plan.length, plan.seed).await?;
        }
        system.recover().await
    };
    let copies = async {
        tokio::time::sleep(plan.after).await;
        conflicts.send_copies().await
    };
    let (inflicted, sent, ()) = tokio::join!(fault, copies, finished(&running));
    let (mut recovery, mut problems) = inflicted?;
    let (mut journal, timeline) = running.finish()?;
    let retries = timeline.total().retries;
    state.runs.push(record(stream, &mut journal, retries, SAMPLES));
    problems.extend(system.recover().await?.1);
    problems.extend(sent.err().map(|error| format!("conflicting copies were never taken: {error}")));
    state.conflicts = conflicts_expected(&problems);
    let audited = audit(&ground, &mut state, &mut problems).await?;
    problems
        .extend(conflicts.unlisted().await?.into_iter().map(|name| format!("the conflict of {name} is not listed")));
    if plan.moment == Moment::Billing {
        recovery = bill_amid(system, plan, &ground, &mut problems).await?;
    }
    let billed = bill(&ground, &state, &mut problems).await?;
    let report = RoundReport {
        plan,
        acknowledged: audited.acknowledged + audited.unknown_stored,
        retries,
        harmed: system.harmed() - harmed_before,
        recovery,
        billed,
        problems,
        audit: audited,
    };
    Ok(Finished { report, state, ground })
}

/// Every conflicting copy that was acknowledged must be listed; where they were not taken, that is the problem.
fn conflicts_expected(problems: &[String]) -> u64 {
    if problems.iter().any(|problem| problem.starts_with("conflicting copies")) { 0 } else { super::conflicts::COUNT }
}

async fn enter(system: &System, tag: &str, started_at: Timestamp, load: Load) -> anyhow::Result<(Ground, Wanted)> {
    let wanted = Wanted {
        target: Target::parse(&system.url())?,
        access: Access::AdminSecret(system.secret().to_owned()),
        name: format!("Chaos {tag}"),
        population: tag.to_owned(),
        customers: load.customers,
        interval: "quarterly",
        charged: &Kind::ALL,
        started_at,
        limit: API_LIMIT,
    };
    Ok((prepare(&wanted, &ProgressBar::hidden()).await?, wanted))
}

fn shape(load: Load) -> Shape {
    let demand = Demand { rate: load.rate, duration: load.duration, batch: load.batch };
    Shape { encodings: Profile::Mixed.shape(&demand).encodings, ..Profile::RetryStorm.shape(&demand) }
}

/// Events spread evenly over the quarter; neighbours in the stream are neighbours in time.
fn stream(wanted: &Wanted, tag: &str, seed: u64, load: Load, quarter: (Timestamp, Timestamp)) -> Stream {
    let shape = shape(load);
    let places = load.rate * load.duration.as_secs().max(1) + load.batch;
    let events = shape.slots.events_within(places).max(1);
    let span = (quarter.1.0 - quarter.0.0).unsigned_abs();
    Stream {
        seed: mix(seed),
        tag: tag.to_owned(),
        population: wanted.population.clone(),
        spread: Spread { customers: load.customers, hot_permille: shape.hot_permille },
        slots: shape.slots,
        batch: shape.batch,
        encodings: shape.encodings,
        // Events a quarter apart by more than the last minute's worth, so that a later timestamp falls into it as well.
        stamps: Stamps { base: quarter.0, tick_nanos: (span - 60_000_000) / events * 1_000, end: quarter.1 },
    }
}

fn drive(system: &System, ground: &Ground, wanted: &Wanted, tag: &str, seed: u64, load: Load) -> anyhow::Result<Drive> {
    Ok(Drive {
        stream: stream(wanted, tag, seed, load, ground.period),
        pacing: Pacing::Open(Schedule::new(load.batch, &shape(load).segments)),
        targets: system.ingest_urls().iter().map(|url| Target::parse(url)).collect::<Result<_, _>>()?,
        key: ground.key.clone(),
        echo: false,
        senders: SENDERS,
        threads: 1,
        limit: ANSWERED_WITHIN,
        attempts: ATTEMPTS,
        stops_at_saturation: false,
    })
}

async fn finished(running: &Running) {
    while running.is_running() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Audits and appends what differs.
pub(super) async fn audit(
    ground: &Ground,
    state: &mut State,
    problems: &mut Vec<String>,
) -> anyhow::Result<AuditReport> {
    let thoroughness = Thoroughness { customers: u32::MAX, settle: SETTLED_WITHIN };
    let report = audit::audit(&ground.api, state, &thoroughness).await?;
    for check in report.checks.iter().filter(|check| !check.holds) {
        problems.push(format!("{}: expected {}, found {}", check.what, check.expected, check.found));
    }
    for one in &report.discrepancies {
        let event = one.transaction_id.as_deref().unwrap_or_default();
        problems.push(format!("{:?}: {event} {}", one.fault, one.detail));
    }
    Ok(report)
}

async fn bill_amid(
    system: &mut System,
    plan: Plan,
    ground: &Ground,
    problems: &mut Vec<String>,
) -> anyhow::Result<Duration> {
    let as_of = Timestamp::now();
    let fault = async {
        tokio::time::sleep(plan.after).await;
        system.inflict(plan.fault, plan.length, plan.seed).await?;
        system.recover().await
    };
    let (recovered, billed) = tokio::join!(fault, billing::bill(&ground.api, as_of));
    problems.extend(billed.err().map(|error| error.to_string()));
    let (recovery, more) = recovered?;
    problems.extend(more);
    Ok(recovery)
}

/// Bills twice, as people do, and compares.
async fn bill(ground: &Ground, state: &State, problems: &mut Vec<String>) -> anyhow::Result<Billed> {
    for _ in 0..2 {
        if let Err(error) = billing::bill(&ground.api, Timestamp::now()).await {
            problems.push(error.to_string());
        }
    }
    Ok(billing::check(&ground.api, state, &audit::expected_usages(state), problems).await?)
}

/// The last calendar quarter that has ended, in UTC.
fn last_quarter(now: Timestamp) -> (Timestamp, Timestamp) {
    const DAY_MICROS: i64 = 86_400 * MICROS_PER_SECOND;
    let begin = quarter_of(now);
    // A day before a quarter's first lies in the quarter before.
    (quarter_of(Timestamp(begin.0 - DAY_MICROS)), begin)
}

/// First instant of the quarter of an instant.
fn quarter_of(at: Timestamp) -> Timestamp {
    let text = at.to_string();
    let month: u32 = text.get(5..7).and_then(|month| month.parse().ok()).unwrap_or(1);
    let first = (month - 1) / 3 * 3 + 1;
    let begin = format!("{}-{first:02}-01T00:00:00Z", &text[..4]);
    // Made of a year that was printed and a month of this list.
    Timestamp::parse(&begin).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_quarter_has_ended_also_at_the_turn_of_the_year() {
        for (now, from, to) in [
            ("2026-11-23T06:00:00Z", "2026-07-01T00:00:00Z", "2026-10-01T00:00:00Z"),
            ("2026-02-01T00:00:00Z", "2025-10-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("2026-04-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ] {
            let quarter = last_quarter(Timestamp::parse(now).unwrap());
            assert_eq!(quarter, (Timestamp::parse(from).unwrap(), Timestamp::parse(to).unwrap()));
        }
    }

    #[test]
    fn a_round_uses_the_whole_quarter_and_nothing_beyond() {
        let load = Load { rate: 4_000, duration: Duration::from_secs(4), batch: 100, customers: 20 };
        let quarter = last_quarter(Timestamp::parse("2026-11-23T06:00:00Z").unwrap());
        let wanted = Wanted {
            target: Target::parse("http://127.0.0.1:1").unwrap(),
            access: Access::ApiKey(String::new()),
            name: String::new(),
            population: "p".into(),
            customers: 20,
            interval: "quarterly",
            charged: &Kind::ALL,
            started_at: quarter.0,
            limit: API_LIMIT,
        };
        let stream = stream(&wanted, "t", 5, load, quarter);
        let stamps: Vec<Timestamp> = (0..16_000).map(|place| stream.timestamp(stream.copy_at(place))).collect();
        assert!(stamps.iter().all(|at| quarter.0 <= *at && *at < quarter.1));
        let months: std::collections::BTreeSet<String> =
            stamps.iter().map(|at| at.to_string()[..7].to_owned()).collect();
        assert_eq!(months.len(), 3);
    }
}
