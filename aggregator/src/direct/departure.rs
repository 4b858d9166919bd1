//! When a group that is not large is sent: at once, or a moment later because company is due.
//!
//! Clients that were just answered usually send again within a moment. Sent without them, the next group holds those who came
//! during the commit only, and the two halves take turns: twice the commits, each at the price of a full one. So a group
//! waits until all that were just answered are back, or until a fraction of a commit's time is over. A single client never
//! waits: its next request is all that is expected.
//!
//! Under merge pressure ([`crate::writing::pressure`]) a small group waits longer, so that there are fewer parts to merge.

use std::time::Duration;
use tokio::time::Instant;

/// Waiting costs at most this share of what the commit before took.
const SHARE_OF_A_COMMIT: u32 = 4;
/// Never longer: a commit under load takes tens of milliseconds.
const LONGEST_WAIT: Duration = Duration::from_millis(5);

/// What the group under construction waits for.
#[derive(Debug, Default)]
pub(super) struct Departure {
    pressed_until: Option<Instant>,
    company: Option<Company>,
}

#[derive(Debug)]
struct Company {
    requests: usize,
    until: Instant,
}

impl Departure {
    /// A commit ended that took `took`; with those just answered the group would have so many requests.
    pub(super) fn expect(&mut self, requests: usize, took: Duration, now: Instant) {
        let until = now + (took / SHARE_OF_A_COMMIT).min(LONGEST_WAIT);
        self.company = Some(Company { requests, until });
    }

    /// Merges are behind: not before `linger` from now.
    pub(super) fn press(&mut self, linger: Duration, now: Instant) {
        self.pressed_until = (!linger.is_zero()).then(|| now + linger);
    }

    /// Whether a group of so many requests goes now.
    pub(super) fn is_due(&self, requests: usize, now: Instant) -> bool {
        let is_pressed = self.pressed_until.is_some_and(|until| now < until);
        let is_expecting =
            self.company.as_ref().is_some_and(|company| requests < company.requests && now < company.until);
        !is_pressed && !is_expecting
    }

    /// The next instant at which the answer may change without a further request.
    pub(super) fn next_look(&self, now: Instant) -> Option<Instant> {
        let company = self.company.as_ref().map(|company| company.until);
        [self.pressed_until, company].into_iter().flatten().filter(|until| *until > now).min()
    }

    /// The group has gone, or is too large to wait for anything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: Duration = Duration::from_millis(12);

    #[test]
    fn one_client_alone_never_waits() {
        let (mut departure, now) = (Departure::default(), Instant::now());
        assert!(departure.is_due(1, now));
        departure.expect(1, COMMIT, now);
        assert!(departure.is_due(1, now));
    }

    #[test]
    fn a_group_waits_for_those_just_answered_and_not_longer_than_a_quarter_of_a_commit() {
        let (mut departure, now) = (Departure::default(), Instant::now());
        departure.expect(200, COMMIT, now);
        assert!(!departure.is_due(199, now));
        assert!(departure.is_due(200, now));
        let later = now + COMMIT / 4;
        assert_eq!(departure.next_look(now), Some(later));
        assert!(departure.is_due(1, later));
        assert_eq!(departure.next_look(later), None);
        departure.expect(200, Duration::from_secs(1), now);
        assert!(departure.is_due(1, now + LONGEST_WAIT));
    }

    #[test]
    fn merge_pressure_holds_back_also_a_group_that_is_complete() {
        let (mut departure, now) = (Departure::default(), Instant::now());
        departure.press(Duration::from_millis(100), now);
        assert!(!departure.is_due(1_000, now));
        departure.clear();
        assert!(departure.is_due(1_000, now));
        departure.press(Duration::ZERO, now);
        assert!(departure.is_due(1, now));
    }
}
