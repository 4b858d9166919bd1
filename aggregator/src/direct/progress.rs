//! How far the writer is: the last insert number it has answered for, and the last one that readers find in the store.
//!
//! The two differ by what is in the journal only: a tenth of a second, half of one where events come fast. Readers in the same
//! process do not see the gap: they wait until the store has caught up with what had been answered when they asked, and their wait
//! sends the rows on at once.

use crate::error::StoreError;
use domain::position::Cut;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// An insert takes tens of milliseconds, an engine that died is back within seconds.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(15);

/// Shared by the writer and the readers of its process.
pub struct Progress {
    answered: AtomicU64,
    stored: watch::Sender<u64>,
    wanted: Notify,
    /// What other writers, of a log, left in this store; nobody adds to it while the direct writer has the lease.
    others: Cut,
}

impl Progress {
    pub(super) fn new(stored: u64, others: Cut) -> Self {
        Self { answered: AtomicU64::new(stored), stored: watch::Sender::new(stored), wanted: Notify::new(), others }
    }

    /// To be called before the first answer for `offset` is given.
    pub(super) fn set_answered(&self, offset: u64) {
        self.answered.fetch_max(offset, Ordering::AcqRel);
    }

    /// The tables hold every insert up to and with `offset`.
    pub(super) fn set_stored(&self, offset: u64) {
        self.set_answered(offset);
        self.stored.send_if_modified(|known| std::mem::replace(known, offset.max(*known)) < offset);
    }

    /// The last insert number of which the tables hold everything.
    pub(super) fn stored(&self) -> u64 {
        *self.stored.borrow()
    }

    /// Returns when a reader waits.
    pub(super) async fn is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Waits until the store holds all that had been answered before the call; answers the cut up to which it does.
    ///
    /// # Errors
    /// When the writer does not get it there.
    pub(crate) async fn caught_up(&self) -> Result<Cut, StoreError> {
        let answered = self.answered.load(Ordering::Acquire);
        let mut stored = self.stored.subscribe();
        if *stored.borrow_and_update() < answered {
            self.wanted.notify_one();
            let wait = tokio::time::timeout(CATCH_UP_PATIENCE, stored.wait_for(|offset| *offset >= answered)).await;
            if !matches!(wait, Ok(Ok(_))) {
                let reason =
                    "accepted events are safe in the journal but not yet in the store; the writer's state says why";
                return Err(StoreError::Engine(reason.to_owned()));
            }
        }
        let mut cut = self.others.clone();
        let offset = *stored.borrow();
        if offset > 0 {
            cut.set(0, 0, offset);
        }
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_reader_waits_for_what_was_answered_before_it_asked_and_not_for_more() {
        let progress = Arc::new(Progress::new(0, Cut::default()));
        assert_eq!(progress.caught_up().await.unwrap(), Cut::default());
        progress.set_stored(4);
        assert_eq!(progress.caught_up().await.unwrap(), Cut::direct(4));
        progress.set_answered(6);
        let reader = tokio::spawn({
            let progress = Arc::clone(&progress);
            async move { progress.caught_up().await.unwrap() }
        });
        progress.is_wanted().await;
        progress.set_answered(7);
        progress.set_stored(5);
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        progress.set_stored(6);
        assert_eq!(reader.await.unwrap(), Cut::direct(6));
        assert!(matches!(progress.caught_up().await, Err(StoreError::Engine(_))), "7 never comes");
    }

    #[tokio::test]
    async fn what_a_log_left_in_the_store_stays_in_the_cut() {
        let mut others = Cut::default();
        others.set(2, 1, 99);
        let progress = Progress::new(3, others.clone());
        others.set(0, 0, 3);
        assert_eq!(progress.caught_up().await.unwrap(), others);
    }
}
