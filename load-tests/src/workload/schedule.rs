//! When each request is due: fixed before the first is sent, so that a slow system cannot slow its own test down.
//!
//! A schedule is a row of segments of constant rate. All arithmetic is on integers: request `i` is due at the first
//! nanosecond by which `i × batch` events are due, exactly, however long the run.

use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// A stretch of constant rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// How long.
    pub length: Duration,
    /// Events a second.
    pub rate: u64,
}

/// Arrival times of requests of `batch` events each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    batch: u64,
    segments: Vec<Placed>,
}

/// A segment with what came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    /// Among the segments as given.
    index: usize,
    start_nanos: u128,
    length_nanos: u128,
    rate: u128,
    /// Events due before it, times 10⁹.
    before: u128,
}

impl Schedule {
    /// Requests of `batch` events along these segments; empty segments are left out.
    #[must_use]
    pub fn new(batch: u64, segments: &[Segment]) -> Self {
        let mut placed = Vec::with_capacity(segments.len());
        let (mut start_nanos, mut before) = (0, 0);
        for (index, segment) in segments.iter().enumerate() {
            let (length_nanos, rate) = (segment.length.as_nanos(), u128::from(segment.rate));
            if rate > 0 && length_nanos > 0 {
                placed.push(Placed { index, start_nanos, length_nanos, rate, before });
            }
            start_nanos += length_nanos;
            before += length_nanos * rate;
        }
        Self { batch: batch.max(1), segments: placed }
    }

    /// Events of each request.
    #[must_use]
    pub fn batch(&self) -> u64 {
        self.batch
    }

    /// Number of requests due before the end.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let events = self.segments.last().map_or(0, |last| last.before + last.length_nanos * last.rate);
        // Request i is due once i × batch events are: the last i with i × batch × 10⁹ < events × 10⁹.
        narrow(events.div_ceil(u128::from(self.batch) * NANOS_PER_SECOND))
    }

    /// When request `request` is due, from the start, and the number of its segment; `None` past the end.
    #[must_use]
    pub fn due(&self, request: u64) -> Option<(Duration, usize)> {
        if request >= self.requests() {
            return None;
        }
        let wanted = u128::from(request) * u128::from(self.batch) * NANOS_PER_SECOND;
        let index = self.segments.partition_point(|segment| segment.before <= wanted).checked_sub(1)?;
        let segment = self.segments[index];
        let due = segment.start_nanos + (wanted - segment.before).div_ceil(segment.rate);
        Some((nanos(due), segment.index))
    }

    /// Events a second that are due at this instant.
    #[must_use]
    pub fn rate_at(&self, at: Duration) -> u64 {
        let at = at.as_nanos();
        let here = |segment: &&Placed| (segment.start_nanos..segment.start_nanos + segment.length_nanos).contains(&at);
        self.segments.iter().find(here).map_or(0, |segment| narrow(segment.rate))
    }

    /// When the last segment ends.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.segments.last().map_or(Duration::ZERO, |last| nanos(last.start_nanos + last.length_nanos))
    }
}

fn nanos(count: u128) -> Duration {
    Duration::from_nanos(narrow(count))
}

/// 2⁶⁴ nanoseconds are 584 years; a schedule that long is cut there.
fn narrow(number: u128) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segment(millis: u64, rate: u64) -> Segment {
        Segment { length: Duration::from_millis(millis), rate }
    }

    #[test]
    fn a_steady_rate_is_evenly_spaced() {
        let schedule = Schedule::new(10, &[segment(1_000, 1_000)]);
        assert_eq!(schedule.requests(), 100);
        assert_eq!(schedule.due(0), Some((Duration::ZERO, 0)));
        assert_eq!(schedule.due(1), Some((Duration::from_millis(10), 0)));
        assert_eq!(schedule.due(99), Some((Duration::from_millis(990), 0)));
        assert_eq!(schedule.due(100), None);
        assert_eq!(schedule.end(), Duration::from_secs(1));
    }

    #[test]
    fn nothing_is_due_in_a_pause() {
        let schedule = Schedule::new(1, &[segment(1_000, 2), segment(5_000, 0), segment(1_000, 4)]);
        let due: Vec<(u128, usize)> =
            (0..7).filter_map(|i| schedule.due(i)).map(|(due, segment)| (due.as_millis(), segment)).collect();
        assert_eq!(due, [(0, 0), (500, 0), (6_000, 2), (6_250, 2), (6_500, 2), (6_750, 2)]);
        assert_eq!(schedule.rate_at(Duration::from_secs(3)), 0);
        assert_eq!(schedule.rate_at(Duration::from_secs(6)), 4);
    }

    /// Events due by `at`, times 10⁹, segment by segment.
    fn due_by(segments: &[Segment], at: Duration) -> u128 {
        let (mut left, mut events) = (at.as_nanos(), 0);
        for segment in segments {
            let here = left.min(segment.length.as_nanos());
            events += here * u128::from(segment.rate);
            left -= here;
        }
        events
    }

    proptest! {
        #[test]
        fn each_request_is_due_at_the_first_nanosecond_by_which_its_events_are(
            batch in 1_u64..1_500,
            shape in proptest::collection::vec((0_u64..3_000, 0_u64..40_000), 1..6),
        ) {
            let segments: Vec<Segment> = shape.iter().map(|(millis, rate)| segment(*millis, *rate)).collect();
            let schedule = Schedule::new(batch, &segments);
            let requests = schedule.requests();
            prop_assert_eq!(schedule.due(requests), None);
            let mut previous = Duration::ZERO;
            for request in (0..requests).step_by(1 + usize::try_from(requests / 500).unwrap()) {
                let (due, _) = schedule.due(request).unwrap();
                let wanted = u128::from(request * batch) * NANOS_PER_SECOND;
                prop_assert!(due >= previous && due <= schedule.end());
                prop_assert!(due_by(&segments, due) >= wanted);
                // A nanosecond earlier they are not yet due, unless a pause lies between.
                if let Some(earlier) = due.checked_sub(Duration::from_nanos(1)) {
                    let before = due_by(&segments, earlier);
                    prop_assert!(before < wanted || schedule.rate_at(earlier) == 0);
                }
                previous = due;
            }
        }

        #[test]
        fn as_many_requests_are_due_as_the_events_fill(
            batch in 1_u64..1_500, millis in 1_u64..10_000, rate in 1_u64..40_000,
        ) {
            let requests = Schedule::new(batch, &[segment(millis, rate)]).requests();
            prop_assert!(requests * batch * 1_000 >= millis * rate);
            prop_assert!((requests - 1) * batch * 1_000 < millis * rate);
        }
    }
}
