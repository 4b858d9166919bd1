//! Hands out requests in order, each to one sender, with the instant at which it is due.

use crate::workload::schedule::Schedule;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The system cannot follow when a request goes out this long after it was due.
pub const SATURATED_AFTER: Duration = Duration::from_secs(2);
/// Requests that were due before the end are still sent for this long after it; the rest count as not sent.
const OVERTIME: Duration = Duration::from_secs(30);
/// Time for the senders to reach their first wait.
const HEAD_START: Duration = Duration::from_millis(20);

/// When requests are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// At fixed instants.
    Open(Schedule),
    /// As soon as a sender is free, for this long.
    Closed(Duration),
}

/// The next request for a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) request: u64,
    /// `None` in a closed loop: at once.
    pub(crate) due: Option<Instant>,
    pub(crate) phase: usize,
}

/// Hands out requests.
#[derive(Debug)]
pub struct Dispenser {
    pacing: Pacing,
    start: Instant,
    next: AtomicU64,
    stopped: AtomicBool,
    saturated: AtomicBool,
    stops_at_saturation: bool,
}

impl Dispenser {
    pub(crate) fn new(pacing: Pacing, stops_at_saturation: bool) -> Self {
        Self {
            pacing,
            start: Instant::now() + HEAD_START,
            next: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            saturated: AtomicBool::new(false),
            stops_at_saturation,
        }
    }

    /// The instant that all times of the run count from.
    #[must_use]
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Requests in all, where that is known beforehand.
    #[must_use]
    pub fn requests(&self) -> Option<u64> {
        match &self.pacing {
            Pacing::Open(schedule) => Some(schedule.requests()),
            Pacing::Closed(_) => None,
        }
    }

    /// Time in all.
    #[must_use]
    pub fn length(&self) -> Duration {
        match &self.pacing {
            Pacing::Open(schedule) => schedule.end(),
            Pacing::Closed(length) => *length,
        }
    }

    /// Whether it ended because the system could not follow.
    #[must_use]
    pub fn saturated(&self) -> bool {
        self.saturated.load(Ordering::Relaxed)
    }

    /// Hands out no further request.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// The next request, or `None` at the end.
    pub(crate) fn next(&self, now: Instant) -> Option<Turn> {
        if self.stopped() || now > self.start + self.length() + self.overtime() {
            return None;
        }
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let Pacing::Open(schedule) = &self.pacing else { return Some(Turn { request, due: None, phase: 0 }) };
        let (offset, phase) = schedule.due(request)?;
        let due = self.start + offset;
        if now.saturating_duration_since(due) > SATURATED_AFTER && self.stops_at_saturation {
            self.saturated.store(true, Ordering::Relaxed);
            self.stop();
            return None;
        }
        Some(Turn { request, due: Some(due), phase })
    }

    fn overtime(&self) -> Duration {
        match self.pacing {
            Pacing::Open(_) => OVERTIME,
            Pacing::Closed(_) => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::schedule::Segment;

    fn open(stops_at_saturation: bool) -> Dispenser {
        let segment = Segment { length: Duration::from_secs(10), rate: 1 };
        Dispenser::new(Pacing::Open(Schedule::new(1, &[segment])), stops_at_saturation)
    }

    #[test]
    fn requests_are_handed_out_once_each_with_their_instant() {
        let dispenser = open(false);
        for request in 0..10 {
            let turn = dispenser.next(dispenser.start()).unwrap();
            assert_eq!(turn.request, request);
            assert_eq!(turn.due, Some(dispenser.start() + Duration::from_secs(request)));
        }
        assert_eq!(dispenser.next(dispenser.start()), None);
    }

    #[test]
    fn a_late_request_is_sent_late_unless_the_run_is_to_stop_at_saturation() {
        let late = |dispenser: &Dispenser| dispenser.next(dispenser.start() + Duration::from_secs(9));
        let patient = open(false);
        assert!(late(&patient).is_some() && !patient.saturated());
        let searching = open(true);
        assert!(late(&searching).is_none() && searching.saturated() && searching.stopped());
    }

    #[test]
    fn long_after_the_end_nothing_is_sent() {
        let dispenser = open(false);
        assert!(dispenser.next(dispenser.start() + Duration::from_secs(39)).is_some());
        assert!(dispenser.next(dispenser.start() + Duration::from_secs(41)).is_none());
    }

    #[test]
    fn a_closed_loop_ends_with_its_time() {
        let dispenser = Dispenser::new(Pacing::Closed(Duration::from_secs(1)), false);
        assert_eq!(dispenser.next(dispenser.start()).and_then(|turn| turn.due), None);
        assert!(dispenser.next(dispenser.start() + Duration::from_millis(1_001)).is_none());
    }
}
