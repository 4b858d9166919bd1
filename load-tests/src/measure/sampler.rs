//! Once a second while a run goes on: CPU of the watched processes, and what `/metrics` says about lag.

use super::exposition::{self, Series};
use super::process::{Meter, Usage, between};
use crate::client::api::Api;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One sample.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sample {
    /// Since the start of the run.
    pub at: Duration,
    /// CPU time by process since the start of the run.
    pub cpu: BTreeMap<String, Duration>,
    /// Series of `/metrics` that tell of lag.
    pub lag: Series,
}

/// What the system under test spent between the start and the last sample.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Spent {
    /// CPU time by process; empty when no process was named and `/metrics` does not tell.
    pub cpu: BTreeMap<String, Duration>,
    /// Greatest resident bytes by process.
    pub peak_resident_bytes: BTreeMap<String, u64>,
}

/// Takes samples.
#[derive(Debug)]
pub struct Sampler {
    pages: Vec<Api>,
    meter: Meter,
    start: Instant,
    before: Vec<Usage>,
    cpu_before: Option<f64>,
    samples: Vec<Sample>,
}

impl Sampler {
    /// Reads the state before the run.
    pub async fn begin(pages: Vec<Api>, mut meter: Meter) -> Self {
        let before = meter.read();
        let cpu_before = exposition::cpu_seconds(&exposed(&pages).await);
        Self { pages, meter, start: Instant::now(), before, cpu_before, samples: Vec::new() }
    }

    /// Takes one sample.
    pub async fn sample(&mut self) {
        let series = exposed(&self.pages).await;
        let mut cpu = between(&self.before, &self.meter.read());
        if cpu.is_empty() {
            cpu.extend(self.exposed_since(&series).map(|spent| ("/metrics".to_owned(), spent)));
        }
        self.samples.push(Sample { at: self.start.elapsed(), cpu, lag: exposition::telling(&series) });
    }

    /// The samples taken.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// What was spent up to the last sample.
    pub fn spent(&mut self) -> Spent {
        let mut peak_resident_bytes = BTreeMap::new();
        for usage in self.meter.read() {
            let peak = peak_resident_bytes.entry(usage.name).or_insert(0);
            *peak = usage.peak_resident_bytes.max(*peak);
        }
        let cpu = self.samples.last().map(|sample| sample.cpu.clone()).unwrap_or_default();
        Spent { cpu, peak_resident_bytes }
    }

    #[expect(clippy::float_arithmetic, reason = "a difference of two CPU readings")]
    fn exposed_since(&self, series: &Series) -> Option<Duration> {
        let spent = exposition::cpu_seconds(series)? - self.cpu_before?;
        // A server that was started anew counts from 0: negative, and no duration.
        Duration::try_from_secs_f64(spent).ok()
    }
}

/// The series of all pages as one; a page that does not answer is a process that is down.
async fn exposed(pages: &[Api]) -> Series {
    let texts = futures::future::join_all(pages.iter().map(Api::metrics)).await;
    exposition::combined(texts.into_iter().flatten().map(|page| exposition::parse(&page)))
}
