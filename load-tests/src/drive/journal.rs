//! What became of each request: the ground truth of the audit.

use crate::client::answer::Outcome;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When a request was first sent and finally answered, since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First attempt.
    pub sent: Duration,
    /// End of the final answer.
    pub answered: Duration,
}

/// Outcomes as they come, in any order.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    outcomes: Vec<(u64, Outcome)>,
    /// Only for streams with repeats, where it matters which copy came first.
    timings: Vec<(u64, Timing)>,
}

/// Outcomes of requests 0, 1, 2, …, as runs of equal ones: a few bytes for a run without failures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcomes(Vec<(Outcome, u64)>);

impl Journal {
    pub(crate) fn note(&mut self, request: u64, outcome: Outcome) {
        self.outcomes.push((request, outcome));
    }

    pub(crate) fn note_timing(&mut self, request: u64, timing: Timing) {
        self.timings.push((request, timing));
    }

    /// Takes over another journal of the same run.
    pub fn append(&mut self, mut other: Journal) {
        self.outcomes.append(&mut other.outcomes);
        self.timings.append(&mut other.timings);
    }

    /// In order of requests; those that nobody noted were never sent.
    #[must_use]
    pub fn outcomes(&mut self) -> Outcomes {
        self.outcomes.sort_unstable_by_key(|(request, _)| *request);
        let mut runs = Outcomes::default();
        let mut next = 0;
        for (request, outcome) in &self.outcomes {
            runs.push(Outcome::Unsent, request - next);
            runs.push(*outcome, 1);
            next = request + 1;
        }
        runs
    }

    /// The timing of a request, where it was noted. Call after [`Journal::sort_timings`].
    #[must_use]
    pub fn timing(&self, request: u64) -> Option<Timing> {
        let index = self.timings.binary_search_by_key(&request, |(noted, _)| *noted).ok()?;
        Some(self.timings[index].1)
    }

    /// Makes [`Journal::timing`] possible.
    pub fn sort_timings(&mut self) {
        self.timings.sort_unstable_by_key(|(request, _)| *request);
    }
}

impl Outcomes {
    /// Appends `count` requests of one outcome.
    pub fn push(&mut self, outcome: Outcome, count: u64) {
        if count == 0 {
            return;
        }
        match self.0.last_mut() {
            Some((last, length)) if *last == outcome => *length += count,
            _ => self.0.push((outcome, count)),
        }
    }

    /// Each request with its outcome, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Outcome)> + '_ {
        let each = self.0.iter().flat_map(|(outcome, count)| (0..*count).map(move |_| *outcome));
        each.enumerate().map(|(request, outcome)| (request as u64, outcome))
    }

    /// Requests up to the last one noted.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// Whether no request was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Requests with this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.iter().filter(|(is, _)| *is == outcome).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_that_nobody_noted_were_never_sent() {
        let mut journal = Journal::default();
        for (request, outcome) in [(4, Outcome::Unknown), (0, Outcome::Acknowledged), (1, Outcome::Acknowledged)] {
            journal.note(request, outcome);
        }
        let outcomes = journal.outcomes();
        assert_eq!(serde_json::to_string(&outcomes).unwrap(), r#"[["acknowledged",2],["unsent",2],["unknown",1]]"#);
        assert_eq!(outcomes.len(), 5);
        assert_eq!(outcomes.count(Outcome::Acknowledged), 2);
    }

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        prop::sample::select(vec![Outcome::Unsent, Outcome::Refused, Outcome::Acknowledged, Outcome::Unknown])
    }

    proptest! {
        #[test]
        fn the_order_of_noting_does_not_matter(
            outcomes in prop::collection::vec(any_outcome(), 1..200).prop_shuffle(), seed in any::<u64>(),
        ) {
            let mut noted: Vec<(u64, Outcome)> = (0..).zip(outcomes.iter().copied()).collect();
            noted.sort_by_key(|(request, _)| crate::workload::facts::mix(request ^ seed));
            let mut journal = Journal::default();
            for (request, outcome) in noted {
                journal.note(request, outcome);
            }
            let back: Vec<Outcome> = journal.outcomes().iter().map(|(_, outcome)| outcome).collect();
            prop_assert_eq!(back, outcomes);
        }
    }
}
