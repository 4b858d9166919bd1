//! Events drawn at random, with the timestamps the stored copy may carry.
//!
//! The copy that was acknowledged first is the one stored (I2). When two copies were under way at once, either may have come
//! first; when one was answered before the other was sent, the other cannot be it.

use crate::client::answer::Outcome;
use crate::drive::journal::{Journal, Outcomes, Timing};
use crate::workload::facts::mix;
use crate::workload::slots::{Copy, Slots};
use crate::workload::stream::Stream;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One drawn event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Its number.
    pub seq: u64,
    /// Timestamps it may be stored with; none when no copy of it can be stored.
    pub timestamps: Vec<Timestamp>,
}

/// A copy of a drawn event on its way.
#[derive(Clone, Copy, Debug)]
struct Travel {
    request: u64,
    copy: Copy,
    outcome: Outcome,
    timing: Option<Timing>,
}

/// Draws about `count` of the events sent.
#[must_use]
pub fn draw(stream: &Stream, outcomes: &Outcomes, journal: &mut Journal, count: u64) -> Vec<Sample> {
    journal.sort_timings();
    let events = stream.slots.events_within(outcomes.len() * stream.batch);
    if events == 0 {
        return Vec::new();
    }
    let drawn = (0..count.min(events)).map(|nth| (mix(stream.seed ^ mix(nth)) % events, Vec::new()));
    let mut travels: BTreeMap<u64, Vec<Travel>> = drawn.collect();
    for (request, outcome) in outcomes.iter() {
        let carried = carried(stream, request, &travels);
        for copy in carried {
            let travel = Travel { request, copy, outcome, timing: journal.timing(request) };
            travels.entry(copy.seq).or_default().push(travel);
        }
    }
    let sample = |(seq, copies): (u64, Vec<Travel>)| Sample { seq, timestamps: possible(stream, &copies) };
    travels.into_iter().map(sample).collect()
}

/// The copies of drawn events in a request; without repeats, places are events and need no search.
fn carried(stream: &Stream, request: u64, drawn: &BTreeMap<u64, Vec<Travel>>) -> Vec<Copy> {
    let places = stream.places_of(request);
    if stream.slots == Slots::Fresh {
        return drawn.range(places).map(|(seq, _)| stream.copy_at(*seq)).collect();
    }
    places.map(|place| stream.copy_at(place)).filter(|copy| drawn.contains_key(&copy.seq)).collect()
}

/// Timestamps of the copies that may have come first.
fn possible(stream: &Stream, copies: &[Travel]) -> Vec<Timestamp> {
    let stored = |travel: &&Travel| matches!(travel.outcome, Outcome::Acknowledged | Outcome::Unknown);
    let candidates: Vec<&Travel> = copies.iter().filter(stored).collect();
    let first = |travel: &&&Travel| !candidates.iter().any(|other| came_before(other, travel));
    let mut timestamps: Vec<Timestamp> =
        candidates.iter().filter(first).map(|travel| stream.timestamp(travel.copy)).collect();
    timestamps.sort_unstable();
    timestamps.dedup();
    timestamps
}

/// Whether `one` certainly was stored before `other` came.
fn came_before(one: &Travel, other: &Travel) -> bool {
    if one.outcome != Outcome::Acknowledged {
        return false;
    }
    if one.request == other.request {
        // In one request the order of its places decides; copies are listed in that order.
        return std::ptr::from_ref(one) < std::ptr::from_ref(other);
    }
    match (one.timing, other.timing) {
        (Some(one), Some(other)) => one.answered < other.sent,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::slots::Form;
    use crate::workload::stream::tests::sample;
    use std::time::Duration;

    fn travel(request: u64, form: Form, outcome: Outcome, sent: u64, answered: u64) -> Travel {
        let timing = Timing { sent: Duration::from_millis(sent), answered: Duration::from_millis(answered) };
        Travel { request, copy: Copy { seq: 5, form }, outcome, timing: Some(timing) }
    }

    fn timestamps(copies: &[Travel]) -> Vec<bool> {
        let stream = sample(Slots::Fresh, 1);
        let original = stream.timestamp(Copy { seq: 5, form: Form::Original });
        possible(&stream, copies).into_iter().map(|timestamp| timestamp == original).collect()
    }

    #[test]
    fn the_copy_answered_before_the_other_was_sent_is_the_one() {
        use Form::{Original, Restamped};
        use Outcome::{Acknowledged, Refused, Unknown};
        let first = travel(1, Restamped, Acknowledged, 0, 10);
        assert_eq!(timestamps(&[first, travel(2, Original, Acknowledged, 11, 20)]), [false]);
        assert_eq!(timestamps(&[first, travel(2, Original, Acknowledged, 9, 20)]), [true, false]);
        assert_eq!(timestamps(&[first, travel(2, Original, Unknown, 9, 20)]), [true, false]);
        assert_eq!(
            timestamps(&[travel(1, Restamped, Unknown, 0, 10), travel(2, Original, Acknowledged, 11, 20)]),
            [true, false]
        );
        assert_eq!(
            timestamps(&[travel(1, Restamped, Refused, 0, 10), travel(2, Original, Acknowledged, 11, 20)]),
            [true]
        );
        assert_eq!(timestamps(&[travel(1, Restamped, Refused, 0, 10)]), [] as [bool; 0]);
    }

    #[test]
    fn within_one_request_the_first_place_decides() {
        let copies = [
            travel(1, Form::Restamped, Outcome::Acknowledged, 0, 10),
            travel(1, Form::Original, Outcome::Acknowledged, 0, 10),
        ];
        assert_eq!(timestamps(&copies), [false]);
    }

    #[test]
    fn drawn_events_are_distinct_and_of_the_run() {
        for slots in [Slots::Fresh, Slots::repeating(10)] {
            let stream = sample(slots, 10);
            let mut outcomes = Outcomes::default();
            outcomes.push(Outcome::Acknowledged, 880);
            let drawn = draw(&stream, &outcomes, &mut Journal::default(), 200);
            assert!((150..=200).contains(&drawn.len()), "{}", drawn.len());
            assert!(drawn.iter().all(|sample| !sample.timestamps.is_empty()));
            assert!(drawn.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        }
    }
}
