//! What the writer's handle and its task share.

use super::progress::Progress;
use super::types::WriterState;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A group of 50,000 events is inserted in a fifth of a second, journaled in a tenth.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// State and progress of one writer.
pub(super) struct Shared {
    pub(super) progress: Arc<Progress>,
    state: ArcSwap<WriterState>,
    /// Since when the step under way is under way.
    inserting_since: ArcSwapOption<Instant>,
    journaling_since: ArcSwapOption<Instant>,
    watcher: AbortHandle,
}

/// A step that must end.
#[derive(Clone, Copy)]
pub(super) enum Step {
    Insert,
    Journal,
}

impl Shared {
    pub(super) fn new(progress: Progress, watcher: AbortHandle) -> Self {
        Self {
            progress: Arc::new(progress),
            state: ArcSwap::from_pointee(WriterState::Ready),
            inserting_since: ArcSwapOption::empty(),
            journaling_since: ArcSwapOption::empty(),
            watcher,
        }
    }

    /// Ready means progress: a step that does not end is as bad as one that fails.
    pub(super) fn state(&self) -> WriterState {
        for (since, step) in [(&self.inserting_since, "an insert"), (&self.journaling_since, "a write to the journal")]
        {
            if let Some(since) = since.load().as_deref().filter(|since| since.elapsed() > STUCK_AFTER) {
                return WriterState::NotReady(format!("{step} is under way for {} s", since.elapsed().as_secs()));
            }
        }
        WriterState::clone(&self.state.load())
    }

    pub(super) fn set_state(&self, state: WriterState) {
        self.state.store(Arc::new(state));
    }

    /// A step began after a pause, or ended; `more`: another of its kind is under way.
    pub(super) fn note(&self, step: Step, more: bool) {
        let since = more.then(|| Arc::new(Instant::now()));
        match step {
            Step::Insert => self.inserting_since.store(since),
            Step::Journal => self.journaling_since.store(since),
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}
