//! Rows that are durable in the journal and answered, and not yet on their way into the store.
//!
//! The engine's price is per insert, not per row; so they collect for a moment. A reader does not wait for that moment
//! ([`super::progress`]).

use crate::writing::rows::Rows;
use std::time::Duration;
use tokio::time::Instant;

/// Between the starts of two inserts: ten a second keep the engine's merges idle; an event is visible far below a second
/// after its answer, also to other processes.
const COLLECT_FOR: Duration = Duration::from_millis(100);
/// So many rows within that time are a stream of 50,000 events a second or more. It collects for longer: an insert of 50,000
/// events costs the engine twice as much an event as one of 200,000 (6.0 and 2.7 µs, merges included).
const MANY_ROWS: usize = 5_000;
const COLLECT_MANY_FOR: Duration = Duration::from_millis(500);

/// Rows of one or more groups.
pub(super) struct Pending {
    rows: Rows,
    /// Insert number of the last group.
    last: Option<u64>,
    sent_at: Option<Instant>,
    is_wanted: bool,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { rows: Rows::new(), last: None, sent_at: None, is_wanted: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    pub(super) fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Adds the group of insert number `offset`, which is behind all that are here.
    pub(super) fn add(&mut self, rows: Rows, offset: u64) {
        self.rows.append(rows);
        self.last = Some(offset);
    }

    /// A reader waits for them.
    pub(super) fn want(&mut self) {
        self.is_wanted = true;
    }

    /// Whether they go now. `linger`: merge pressure, see [`crate::writing::pressure`].
    pub(super) fn is_due(&self, now: Instant, linger: Duration) -> bool {
        !self.is_empty() && (self.is_wanted || self.due_at(linger).is_none_or(|at| at <= now))
    }

    /// When they go without a further event.
    pub(super) fn due_at(&self, linger: Duration) -> Option<Instant> {
        let collect_for = if self.rows.len() < MANY_ROWS { COLLECT_FOR } else { COLLECT_MANY_FOR };
        self.sent_at.filter(|_| !self.is_empty()).map(|at| at + collect_for.max(linger))
    }

    /// Takes all rows, and the last insert number among them.
    pub(super) fn take(&mut self, now: Instant) -> (Rows, Option<u64>) {
        self.sent_at = Some(now);
        self.is_wanted = false;
        (std::mem::replace(&mut self.rows, Rows::new()), self.last.take())
    }

    /// Forgets them: the journal has them.
    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_go_at_once_the_next_wait_for_company_unless_a_reader_waits() {
        let (mut pending, now) = (Pending::new(), Instant::now());
        assert!(!pending.is_due(now, Duration::ZERO));
        pending.add(Rows::new(), 1);
        assert!(pending.is_due(now, Duration::ZERO));
        assert_eq!(pending.take(now).1, Some(1));
        pending.add(Rows::new(), 2);
        assert!(!pending.is_due(now + COLLECT_FOR / 2, Duration::ZERO));
        assert_eq!(pending.due_at(Duration::ZERO), Some(now + COLLECT_FOR));
        assert!(pending.is_due(now + COLLECT_FOR, Duration::ZERO));
        assert!(!pending.is_due(now + COLLECT_FOR, COLLECT_FOR * 3), "merges are behind");
        pending.want();
        assert!(pending.is_due(now, COLLECT_FOR * 3));
    }
}
