//! What the writer's task and its handle share: is it ready, and how far is it?
//!
//! Ready means progress (W: green health while nothing moves): the task says what it is doing, and a step that takes too long is
//! as bad as one that fails. A writer that owns no partition is a stand-by, and ready.

use super::partition::Owned;
use super::types::{PartitionProgress, Progress};
use crate::direct::WriterState;
use arc_swap::{ArcSwap, ArcSwapOption};
use event_log::consumer::{Heard, SESSION};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An insert of half a million events takes a second or two, beside merges and on a busy machine some more.
const STUCK_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Shared {
    state: ArcSwap<WriterState>,
    /// Since when something is read and not stored, or a partition is being taken over.
    busy_since: ArcSwapOption<Instant>,
    stored: ArcSwap<BTreeMap<u16, PartitionProgress>>,
    heard: Heard,
    /// Of the records stored last, at least 1.
    lines_per_record: AtomicU64,
}

impl Shared {
    pub(super) fn new(heard: Heard) -> Self {
        Self {
            state: ArcSwap::from_pointee(WriterState::NotReady("waiting for partitions of the log".into())),
            busy_since: ArcSwapOption::empty(),
            stored: ArcSwap::default(),
            heard,
            lines_per_record: AtomicU64::new(1),
        }
    }

    pub(super) fn note_lines(&self, records: u64, lines: u64) {
        self.lines_per_record.store(lines.checked_div(records).unwrap_or(1).max(1), Ordering::Relaxed);
    }

    pub(super) fn lines_per_record(&self) -> u64 {
        self.lines_per_record.load(Ordering::Relaxed)
    }

    pub(super) fn set_state(&self, state: WriterState) {
        self.state.store(Arc::new(state));
    }

    /// Something was stored, or begun after a pause; or there is nothing to do.
    pub(super) fn note_progress(&self, busy: bool) {
        self.busy_since.store(busy.then(|| Arc::new(Instant::now())));
    }

    /// Notes that there is something to do, if there was nothing.
    pub(super) fn note_work(&self) {
        if self.busy_since.load().is_none() {
            self.note_progress(true);
        }
    }

    pub(super) fn note_stored(&self, owned: &BTreeMap<u16, Owned>) {
        let progress = |(partition, known): (&u16, &Owned)| {
            let Owned { stored_below, stored_stamp, .. } = *known;
            (*partition, PartitionProgress { stored_below, stored_stamp, log_end: None })
        };
        self.stored.store(Arc::new(owned.iter().map(progress).collect()));
    }

    pub(super) fn state(&self) -> WriterState {
        let silent_for = self.heard.silent_for();
        if silent_for > SESSION {
            return WriterState::NotReady(format!("the log was not polled for {} s", silent_for.as_secs()));
        }
        let busy_for = self.busy_since.load().as_deref().map(Instant::elapsed);
        stuck(busy_for).unwrap_or_else(|| WriterState::clone(&self.state.load()))
    }

    pub(super) fn progress(&self) -> Progress {
        let ends = self.heard.high_watermarks();
        let mut partitions = BTreeMap::clone(&self.stored.load());
        for (partition, progress) in &mut partitions {
            progress.log_end = ends.get(partition).copied();
        }
        Progress { partitions }
    }
}

/// What is wrong with a writer that has been busy for so long without storing anything.
fn stuck(busy_for: Option<Duration>) -> Option<WriterState> {
    let silent_for = busy_for.filter(|busy_for| *busy_for > STUCK_AFTER)?;
    Some(WriterState::NotReady(format!("nothing was stored for {} s", silent_for.as_secs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_stores_nothing_is_stuck_and_one_that_has_nothing_to_store_is_not() {
        assert_eq!(stuck(None), None);
        assert_eq!(stuck(Some(Duration::from_secs(5))), None);
        let Some(WriterState::NotReady(reason)) = stuck(Some(Duration::from_secs(12))) else { panic!("it is stuck") };
        assert_eq!(reason, "nothing was stored for 12 s");
    }
}
