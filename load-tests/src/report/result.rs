//! Everything a run found, as written to `report.json`.

use crate::audit::report::AuditReport;
use crate::measure::latency::Percentiles;
use crate::measure::ratio;
use crate::measure::sampler::{Sample, Spent};
use crate::measure::timeline::Summary;
use crate::profiles::Profile;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A run, from what was asked to what was found.
#[derive(Clone, Debug, Serialize)]
pub struct RunResult {
    /// What was asked.
    pub asked: Asked,
    /// What was measured.
    pub measured: Measured,
    /// Whether everything is accounted for; absent when no audit was asked for.
    pub audit: Option<AuditReport>,
}

/// What was asked of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Asked {
    /// When it began, RFC 3339.
    pub at: String,
    /// Base URL.
    pub url: String,
    /// Shape of the load.
    pub profile: Profile,
    /// Whether each sender waited for its answer instead of keeping to a schedule.
    pub closed: bool,
    /// Events a second at the highest; not used by a closed loop.
    pub rate: u64,
    /// Length.
    pub duration: Duration,
    /// Events of a request.
    pub batch: u64,
    /// Connections.
    pub senders: usize,
    /// Whether answers carried the events.
    pub echo: bool,
    /// Customers.
    pub customers: u32,
    /// Seed.
    pub seed: u64,
    /// Segments of the schedule: seconds and events a second.
    pub segments: Vec<(Duration, u64)>,
}

/// What was measured in a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Requests and latencies.
    pub summary: Summary,
    /// Events that were due, where a schedule says so.
    pub due: Option<u64>,
    /// Whether it ended because the system could not follow.
    pub saturated: bool,
    /// CPU of the generator while it sent.
    pub generator_cpu: Duration,
    /// What the system spent.
    pub spent: Spent,
    /// Samples by second.
    pub samples: Vec<Sample>,
    /// From acknowledged to visible in a usage query.
    pub freshness: Option<Freshness>,
}

/// How soon acknowledged events show.
#[derive(Clone, Debug, Serialize)]
pub struct Freshness {
    /// From the 2xx to the start of the first usage query that shows it.
    pub latency: Percentiles,
    /// What these queries took.
    pub answers: Percentiles,
    /// When, and how long.
    pub over_time: Vec<(Duration, Duration)>,
    /// Why probing ended early.
    pub error: Option<String>,
}

/// A phase, beside what it was offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Served {
    /// When it began.
    pub start: Duration,
    /// Events a second due in it.
    pub offered: u64,
    /// Events a second acknowledged, until its last answer: one whose answers came late was not served at its rate.
    pub acknowledged: f64,
    /// Latencies.
    pub latency: Percentiles,
}

/// A level is held when this share of what was offered is acknowledged in its time …
const HELD_SHARE: f64 = 0.98;
/// … and 99 of 100 answers come within this many microseconds.
const HELD_P99_MICROS: u64 = 1_000_000;

impl RunResult {
    /// The phases of the schedule.
    #[must_use]
    pub fn phases(&self) -> Vec<Served> {
        let mut start = Duration::ZERO;
        let mut phases = Vec::with_capacity(self.measured.summary.phases.len());
        for (index, phase) in self.measured.summary.phases.iter().enumerate() {
            let (length, offered) = self.asked.segments.get(index).copied().unwrap_or((self.asked.duration, 0));
            let served = length.max(phase.last_answer.saturating_sub(start));
            let acknowledged = ratio::per_second(phase.tally.acknowledged, served);
            phases.push(Served { start, offered, acknowledged, latency: phase.latency });
            start += length;
        }
        phases
    }

    /// The highest level of the schedule that the system held; of an open loop only.
    #[must_use]
    pub fn held(&self) -> Option<Served> {
        if self.asked.closed {
            return None;
        }
        let held = |phase: &Served| {
            let share = ratio::share(phase.acknowledged, ratio::per_second(phase.offered, Duration::from_secs(1)));
            share.is_some_and(|share| share >= HELD_SHARE) && phase.latency.p99 <= HELD_P99_MICROS
        };
        self.phases().into_iter().filter(held).max_by_key(|phase| phase.offered)
    }
}

impl Measured {
    /// Acknowledged events a second, up to the last answer.
    #[must_use]
    pub fn acknowledged_per_second(&self) -> f64 {
        ratio::per_second(self.summary.total.acknowledged, self.summary.last_answer)
    }

    /// CPU seconds per million acknowledged events by process; the generator under its own name.
    #[must_use]
    pub fn cpu_per_million(&self) -> BTreeMap<String, (Duration, Option<f64>)> {
        let events = self.summary.total.acknowledged;
        let cost = |(name, cpu): (&String, &Duration)| (name.clone(), (*cpu, ratio::cpu_per_million(*cpu, events)));
        let mut costs: BTreeMap<String, (Duration, Option<f64>)> = self.spent.cpu.iter().map(cost).collect();
        let all: Duration = self.spent.cpu.values().sum();
        if costs.len() > 1 {
            costs.insert("system, all processes".into(), (all, ratio::cpu_per_million(all, events)));
        }
        let own = ratio::cpu_per_million(self.generator_cpu, events);
        costs.insert("load generator".into(), (self.generator_cpu, own));
        costs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::timeline::{PhaseSummary, Tally};

    /// A ramp of levels of 10 s: offered and acknowledged events a second, p99 in milliseconds, end of the last answer.
    fn ramp(levels: &[(u64, u64, u64, u64)]) -> RunResult {
        let phase = |(_, acknowledged, p99, last): &(u64, u64, u64, u64)| PhaseSummary {
            tally: Tally { acknowledged: acknowledged * 10, ..Tally::default() },
            latency: Percentiles { p99: p99 * 1_000, ..Percentiles::default() },
            last_answer: Duration::from_secs(*last),
        };
        let summary = Summary { phases: levels.iter().map(phase).collect(), ..Summary::default() };
        RunResult {
            asked: Asked {
                at: String::new(),
                url: String::new(),
                profile: Profile::Ramp,
                closed: false,
                rate: 400,
                duration: Duration::from_secs(40),
                batch: 1,
                senders: 1,
                echo: false,
                customers: 1,
                seed: 1,
                segments: levels.iter().map(|level| (Duration::from_secs(10), level.0)).collect(),
            },
            measured: Measured { summary, ..Measured::default() },
            audit: None,
        }
    }

    #[test]
    fn the_level_held_is_the_highest_served_in_time_and_fast() {
        let held = |levels: &[(u64, u64, u64, u64)]| ramp(levels).held().map(|phase| phase.offered);
        assert_eq!(held(&[(100, 100, 5, 10), (200, 200, 9, 20), (300, 250, 9, 30)]), Some(200));
        // Served in full, but slowly, or long after its end.
        assert_eq!(held(&[(100, 100, 5, 10), (200, 200, 1_500, 20)]), Some(100));
        assert_eq!(held(&[(100, 100, 5, 10), (200, 200, 900, 25)]), Some(100));
        assert_eq!(held(&[(100, 90, 5, 10)]), None);
        let mut closed = ramp(&[(100, 100, 5, 10)]);
        closed.asked.closed = true;
        assert_eq!(closed.held(), None);
    }
}
