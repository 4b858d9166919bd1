//! Everything a run found, as written to `report.json`.

use crate::audit::report::AuditReport;
use crate::measure::latency::Percentiles;
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
    /// Percentiles.
    pub latency: Percentiles,
    /// When, and how long.
    pub over_time: Vec<(Duration, Duration)>,
    /// Why probing ended early.
    pub error: Option<String>,
}

impl Measured {
    /// Acknowledged events a second, up to the last answer.
    #[must_use]
    pub fn acknowledged_per_second(&self) -> f64 {
        crate::measure::ratio::per_second(self.summary.total.acknowledged, self.summary.last_answer)
    }

    /// CPU seconds per million acknowledged events by process; the generator under its own name.
    #[must_use]
    pub fn cpu_per_million(&self) -> BTreeMap<String, (Duration, Option<f64>)> {
        let events = self.summary.total.acknowledged;
        let cost = |(name, cpu): (&String, &Duration)| {
            (name.clone(), (*cpu, crate::measure::ratio::cpu_per_million(*cpu, events)))
        };
        let mut costs: BTreeMap<String, (Duration, Option<f64>)> = self.spent.cpu.iter().map(cost).collect();
        let all: Duration = self.spent.cpu.values().sum();
        if costs.len() > 1 {
            costs.insert("system, all processes".into(), (all, crate::measure::ratio::cpu_per_million(all, events)));
        }
        let own = crate::measure::ratio::cpu_per_million(self.generator_cpu, events);
        costs.insert("load generator".into(), (self.generator_cpu, own));
        costs
    }
}
