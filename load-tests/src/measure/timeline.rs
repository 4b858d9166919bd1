//! What happened in each second of a run, in each phase of its schedule, and in all.

use super::latency::{Latencies, Percentiles};
use crate::client::answer::{Counts, Outcome};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Distinct reasons of failures kept; more are counted together.
const REASONS: usize = 40;

/// Events by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Requests with a final outcome.
    pub requests: u64,
    /// Events of requests answered 2xx.
    pub acknowledged: u64,
    /// Events of requests refused.
    pub refused: u64,
    /// Events of requests whose outcome is unknown.
    pub unknown: u64,
    /// Of the acknowledged, those the server called new.
    pub ingested: u64,
    /// Of the acknowledged, those the server called duplicates.
    pub duplicates: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Bytes of bodies sent, each request once.
    pub bytes: u64,
}

/// One second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the start.
    pub at: u64,
    /// What was answered in it.
    pub tally: Tally,
    /// Latencies of what was acknowledged in it.
    pub latency: Percentiles,
}

/// One phase of the schedule; requests belong to the phase in which they were due.
#[derive(Clone, Debug, Default)]
struct Phase {
    tally: Tally,
    latencies: Latencies,
    last_answer: Duration,
}

/// A finished request.
#[derive(Clone, Copy, Debug)]
pub struct Finished {
    /// Since the start of the run.
    pub at: Duration,
    /// Index of its phase.
    pub phase: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// Its events.
    pub events: u64,
    /// What the server counted.
    pub counts: Counts,
    /// From when it was due, to the end of its answer.
    pub latency: Duration,
    /// From when it was due, to when it was first sent.
    pub lateness: Duration,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Bytes of its body.
    pub bytes: u64,
}

/// Collects finished requests.
#[derive(Debug, Default)]
pub struct Timeline {
    total: Tally,
    latencies: Latencies,
    lateness: Latencies,
    phases: Vec<Phase>,
    seconds: Vec<Second>,
    current: Second,
    current_latencies: Latencies,
    reasons: BTreeMap<String, u64>,
    last_answer: Duration,
}

/// A phase, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseSummary {
    /// Sums.
    pub tally: Tally,
    /// Latencies of what was acknowledged.
    pub latency: Percentiles,
    /// When its last answer came, since the start.
    pub last_answer: Duration,
}

/// A run, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Sums.
    pub total: Tally,
    /// Latencies of what was acknowledged, from when it was due.
    pub latency: Percentiles,
    /// How late requests were sent.
    pub lateness: Percentiles,
    /// Phases of the schedule.
    pub phases: Vec<PhaseSummary>,
    /// Seconds with an answer.
    pub seconds: Vec<Second>,
    /// Failures by reason, those beyond the first 40 reasons under one.
    pub reasons: BTreeMap<String, u64>,
    /// When the last answer came, since the start.
    pub last_answer: Duration,
}

impl Tally {
    fn add(&mut self, finished: &Finished) {
        self.requests += 1;
        self.retries += finished.retries;
        self.bytes += finished.bytes;
        match finished.outcome {
            Outcome::Acknowledged => self.acknowledged += finished.events,
            Outcome::Refused | Outcome::Unsent => self.refused += finished.events,
            Outcome::Unknown => self.unknown += finished.events,
        }
        self.ingested += finished.counts.ingested;
        self.duplicates += finished.counts.duplicates;
    }
}

impl Timeline {
    /// Adds a finished request.
    pub fn record(&mut self, finished: &Finished) {
        let at = finished.at.as_secs();
        if at > self.current.at {
            self.close_second(at);
        }
        if self.phases.len() <= finished.phase {
            self.phases.resize_with(finished.phase + 1, Phase::default);
        }
        let phase = &mut self.phases[finished.phase];
        for tally in [&mut self.total, &mut self.current.tally, &mut phase.tally] {
            tally.add(finished);
        }
        self.lateness.record(finished.lateness);
        phase.last_answer = phase.last_answer.max(finished.at);
        self.last_answer = self.last_answer.max(finished.at);
        if finished.outcome == Outcome::Acknowledged {
            for latencies in [&mut self.latencies, &mut self.current_latencies, &mut phase.latencies] {
                latencies.record(finished.latency);
            }
        }
    }

    /// Counts why an attempt failed.
    pub fn failed(&mut self, reason: &str) {
        let known = self.reasons.contains_key(reason) || self.reasons.len() < REASONS;
        let reason = if known { reason } else { "(further reasons)" };
        *self.reasons.entry(reason.to_owned()).or_default() += 1;
    }

    /// Sums so far, for progress.
    #[must_use]
    pub fn total(&self) -> Tally {
        self.total
    }

    /// Latencies of the last full second, for progress.
    #[must_use]
    pub fn last_second(&self) -> Option<Second> {
        self.seconds.last().copied()
    }

    /// Sums it all up.
    #[must_use]
    pub fn summary(mut self) -> Summary {
        self.close_second(u64::MAX);
        let phase = |phase: &Phase| PhaseSummary {
            tally: phase.tally,
            latency: phase.latencies.percentiles(),
            last_answer: phase.last_answer,
        };
        Summary {
            total: self.total,
            latency: self.latencies.percentiles(),
            lateness: self.lateness.percentiles(),
            phases: self.phases.iter().map(phase).collect(),
            seconds: self.seconds,
            reasons: self.reasons,
            last_answer: self.last_answer,
        }
    }

    /// Answers of two threads may arrive a moment out of order: a second stays open until the first answer of a later one.
    fn close_second(&mut self, next: u64) {
        if self.current.tally.requests > 0 {
            self.current.latency = self.current_latencies.percentiles();
            self.seconds.push(self.current);
        }
        self.current = Second { at: next, ..Second::default() };
        self.current_latencies.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(at_millis: u64, phase: usize, outcome: Outcome, latency_millis: u64) -> Finished {
        Finished {
            at: Duration::from_millis(at_millis),
            phase,
            outcome,
            events: 10,
            counts: Counts::default(),
            latency: Duration::from_millis(latency_millis),
            lateness: Duration::ZERO,
            retries: 1,
            bytes: 100,
        }
    }

    #[test]
    fn a_run_is_summed_by_second_by_phase_and_in_all() {
        let mut timeline = Timeline::default();
        timeline.record(&finished(100, 0, Outcome::Acknowledged, 5));
        timeline.record(&finished(900, 0, Outcome::Refused, 70));
        timeline.record(&finished(3_100, 1, Outcome::Acknowledged, 50));
        timeline.record(&finished(2_990, 1, Outcome::Unknown, 1));
        let summary = timeline.summary();
        assert_eq!(summary.total.acknowledged, 20);
        assert_eq!((summary.total.refused, summary.total.unknown, summary.total.retries), (10, 10, 4));
        assert_eq!(summary.seconds.iter().map(|second| second.at).collect::<Vec<_>>(), [0, 3]);
        assert_eq!(summary.seconds[0].latency.count, 1);
        assert_eq!(summary.phases[1].tally.requests, 2);
        assert!((49_900..50_100).contains(&summary.phases[1].latency.max));
        assert_eq!(summary.last_answer, Duration::from_millis(3_100));
    }

    #[test]
    fn a_flood_of_different_reasons_stays_small() {
        let mut timeline = Timeline::default();
        for n in 0..1_000 {
            timeline.failed(&format!("reason {n}"));
        }
        let summary = timeline.summary();
        assert_eq!(summary.reasons.len(), REASONS + 1);
        assert_eq!(summary.reasons.values().sum::<u64>(), 1_000);
    }
}
