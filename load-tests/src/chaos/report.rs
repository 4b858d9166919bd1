//! What came of all rounds, by fault: a table for people, JSON for machines.

use super::fault::Fault;
use super::round::RoundReport;
use super::topology::Topology;
use crate::report::table::table;
use crate::report::text::{grouped, span};
use serde::Serialize;
use std::time::Duration;

/// All rounds of a command.
#[derive(Clone, Debug, Serialize)]
pub struct ChaosReport {
    /// Repeats it.
    pub seed: u64,
    /// Rounds in order, with the shape of system they were played on.
    pub rounds: Vec<(Topology, RoundReport)>,
    /// What the last audit of all rounds found, after everything had been stopped in order and started again.
    pub at_the_end: Vec<String>,
}

impl ChaosReport {
    /// Whether nothing is off.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.at_the_end.is_empty() && self.rounds.iter().all(|(_, round)| round.holds())
    }

    /// The summary by fault, and everything that is off.
    #[must_use]
    pub fn table(&self) -> String {
        let header =
            ["system", "fault", "rounds", "failed", "events", "sent again", "cut", "fees proved", "recovery, longest"];
        let mut rows = table(&header);
        for (topology, fault) in self.kinds() {
            let of = |(on, round): &&(Topology, RoundReport)| *on == topology && round.plan.fault == fault;
            let rounds: Vec<&RoundReport> = self.rounds.iter().filter(of).map(|(_, round)| round).collect();
            rows.add_row(row(topology, fault, &rounds));
        }
        let all: Vec<&RoundReport> = self.rounds.iter().map(|(_, round)| round).collect();
        let mut last = row_of("all", "", &all);
        last[0] = "all".to_owned();
        rows.add_row(last);
        let mut parts = vec![rows.to_string()];
        for (topology, round) in self.rounds.iter().filter(|(_, round)| !round.holds()) {
            parts.push(format!("round {} ({topology}, {}):", round.plan.round, round.plan.fault));
            parts.extend(round.problems.iter().map(|problem| format!("  {problem}")));
        }
        parts.extend(self.at_the_end.iter().map(|problem| format!("at the end: {problem}")));
        parts.push(self.verdict());
        parts.join("\n")
    }

    fn verdict(&self) -> String {
        let failed = self.rounds.iter().filter(|(_, round)| !round.holds()).count();
        if self.holds() {
            return format!(
                "{} rounds, seed {}: 0 lost, 0 doubled, 0 conflicts unreported, every fee proved.",
                self.rounds.len(),
                self.seed
            );
        }
        format!("{failed} of {} rounds FAILED (--seed {} repeats them).", self.rounds.len(), self.seed)
    }

    fn kinds(&self) -> Vec<(Topology, Fault)> {
        let mut kinds: Vec<(Topology, Fault)> = Vec::new();
        for (topology, round) in &self.rounds {
            if !kinds.contains(&(*topology, round.plan.fault)) {
                kinds.push((*topology, round.plan.fault));
            }
        }
        kinds.sort_by_key(|(topology, fault)| (*topology as u8, fault.to_string()));
        kinds
    }
}

fn row(topology: Topology, fault: Fault, rounds: &[&RoundReport]) -> Vec<String> {
    row_of(&topology.to_string(), &fault.to_string(), rounds)
}

fn row_of(topology: &str, fault: &str, rounds: &[&RoundReport]) -> Vec<String> {
    let sum = |of: fn(&RoundReport) -> u64| grouped(rounds.iter().map(|round| of(round)).sum());
    let failed = rounds.iter().filter(|round| !round.holds()).count();
    let longest = rounds.iter().map(|round| round.recovery).max().unwrap_or(Duration::ZERO);
    vec![
        topology.to_owned(),
        fault.to_owned(),
        rounds.len().to_string(),
        failed.to_string(),
        sum(|round| round.acknowledged),
        sum(|round| round.retries),
        sum(|round| round.harmed),
        sum(|round| round.billed.proved),
        span(longest),
    ]
}
