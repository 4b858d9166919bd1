//! One step of the ladder: what was asked, what came of it, what it cost.
#![expect(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "measured rates and sizes; no money, no quantities"
)]

use crate::measure::ratio::{millis, per_second, share};
use crate::report::result::RunResult;
use serde::Serialize;
use std::collections::BTreeMap;

/// What one step told.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Point {
    pub(super) offered_per_second: u64,
    pub(super) acknowledged_per_second: f64,
    /// As a run tells it: 98 % of the offered, p99 within a second.
    pub(super) held: bool,
    pub(super) p50_millis: f64,
    pub(super) p99_millis: f64,
    /// Acknowledged to shown by a usage query, where it was probed.
    pub(super) shown_p99_millis: Option<f64>,
    /// Requests being answered at a time: their rate times how long half of them take at most (Little's law).
    pub(super) in_flight: f64,
    pub(super) requests_per_second: f64,
    /// Cores kept busy, by stage.
    pub(super) cores: BTreeMap<String, f64>,
    pub(super) generator_cores: f64,
    pub(super) peak_resident_bytes: BTreeMap<String, u64>,
    pub(super) events: u64,
    pub(super) sent_bytes: u64,
    pub(super) disk_bytes: BTreeMap<String, u64>,
}

impl Point {
    pub(super) fn of(result: &RunResult, disk_bytes: BTreeMap<String, u64>) -> Self {
        let measured = &result.measured;
        let total = &measured.summary.total;
        let last_answer = measured.summary.last_answer;
        let sampled = measured.samples.last().map_or(last_answer, |sample| sample.at).as_secs_f64();
        let mut cores: BTreeMap<String, f64> = BTreeMap::new();
        for (name, cpu) in &measured.spent.cpu {
            *cores.entry(stage(name)).or_default() += share(cpu.as_secs_f64(), sampled).unwrap_or(0.0);
        }
        let mut peak_resident_bytes: BTreeMap<String, u64> = BTreeMap::new();
        for (name, bytes) in &measured.spent.peak_resident_bytes {
            *peak_resident_bytes.entry(stage(name)).or_default() += bytes;
        }
        let requests_per_second = per_second(total.requests, last_answer);
        Self {
            offered_per_second: result.asked.rate,
            acknowledged_per_second: measured.acknowledged_per_second(),
            held: result.held().is_some(),
            p50_millis: millis(measured.summary.latency.p50),
            p99_millis: millis(measured.summary.latency.p99),
            shown_p99_millis: measured.freshness.as_ref().map(|freshness| millis(freshness.latency.p99)),
            in_flight: requests_per_second * millis(measured.summary.latency.p50) / 1_000.0,
            requests_per_second,
            cores,
            generator_cores: share(measured.generator_cpu.as_secs_f64(), sampled).unwrap_or(0.0),
            peak_resident_bytes,
            events: total.acknowledged,
            sent_bytes: total.bytes,
            disk_bytes,
        }
    }
}

/// `gateway: tollgate gateway` is the gateway, whatever its processes are called.
fn stage(name: &str) -> String {
    name.split(':').next().unwrap_or(name).to_owned()
}

/// Bytes of disk an event: all growth over all events, as merges and segments come in steps larger than one point.
pub(super) fn disk_bytes(points: &[&Point]) -> BTreeMap<String, f64> {
    let events: u64 = points.iter().map(|point| point.events).sum();
    let mut bytes: BTreeMap<String, u64> = BTreeMap::new();
    for (label, grown) in points.iter().flat_map(|point| &point.disk_bytes) {
        *bytes.entry(label.clone()).or_default() += grown;
    }
    bytes.into_iter().filter_map(|(label, bytes)| Some((label, share(bytes as f64, events as f64)?))).collect()
}

/// Bytes of bodies an event.
pub(super) fn network_bytes(points: &[&Point]) -> f64 {
    let sum = |of: fn(&Point) -> u64| points.iter().map(|point| of(point)).sum::<u64>() as f64;
    share(sum(|point| point.sent_bytes), sum(|point| point.events)).unwrap_or(0.0)
}
