//! When a step fails: everybody who waits is told, and nothing is taken until store and journal are in order again.

use super::group::Group;
use super::handle::Request;
use super::journal::Journal;
use super::lanes::Ended;
use super::recovery::recover;
use super::replay::replay;
use super::task::WriterTask;
use super::types::{AcceptError, WriterState};
use crate::error::StoreError;
use crate::writing::commit::{CommitError, Committer};
use crate::writing::known::Filter;
use crate::writing::lane::Lane;
use crate::writing::plans::Plans;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between two attempts to reach a store that failed: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a client is told then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Recovers the tables, then replays the journal; answers the next insert's number. `filter` holds every id that the id table
/// held before.
///
/// # Errors
/// Engine errors, and [`StoreError::Corrupt`] for what cannot be what a writer left.
pub(super) async fn put_in_order(
    lane: &Lane,
    mut journal: Option<&mut Journal>,
    filter: &mut Filter,
    plans: &mut Plans,
) -> Result<u64, StoreError> {
    let oldest = match &mut journal {
        Some(journal) => journal.first().await?,
        None => None,
    };
    let recovered = recover(lane, oldest).await?;
    recovered.ids.into_iter().for_each(|id| filter.insert(id));
    let last = match journal {
        Some(journal) => replay(journal, lane, filter, plans).await?,
        None => None,
    };
    Ok(recovered.next_offset.max(last.map_or(0, |last| last + 1)))
}

impl WriterTask {
    /// Refuses what waits, and takes nothing until the store answers and is in order again.
    pub(super) async fn fail(&mut self, error: StoreError) {
        tracing::error!(%error, "event store failed; recovering");
        metrics::counter!("tollgate_store_failures_total").increment(1);
        self.shared.set_state(WriterState::NotReady(format!("the event store failed: {error}")));
        while self.lanes.are_moving() {
            let ended = self.lanes.ended().await;
            // A further failure is the same outage; its requests are told.
            let _ = self.finish(ended).await;
        }
        let group = std::mem::replace(&mut self.group, Group::new(0, self.lanes.is_journaling()));
        group.into_parts().1.refuse(&unavailable(&error));
        self.departure.clear();
        self.recent.clear();
        self.lanes.reset(Committer::new(Lane::direct(self.connection.clone())));
        self.recover_until_ready().await;
    }

    /// What those are told whose step failed.
    pub(super) fn refuse_failed(&mut self, ended: Ended) -> StoreError {
        let answers = self.lanes.failed(&ended);
        let error = match ended {
            Ended::Journaled(Err(error)) | Ended::Inserted(Err(CommitError::Failed(error))) => error,
            Ended::Inserted(Err(CommitError::NotTried)) => {
                let error = StoreError::Engine("an earlier insert failed".into());
                answers.refuse(&unavailable(&error));
                return error;
            }
            Ended::Journaled(Ok(())) | Ended::Inserted(Ok(())) => return StoreError::Engine("nothing failed".into()),
        };
        answers.refuse(&AcceptError::MaybeKept { reason: error.to_string(), retry_after: RETRY_AFTER });
        error
    }

    async fn recover_until_ready(&mut self) {
        let mut pause = FIRST_PAUSE;
        while !self.closing {
            match self.try_to_recover().await {
                Ok(next_offset) => return self.resume(next_offset),
                Err(error) => {
                    tracing::error!(%error, "event store is still not usable");
                    self.refuse_for(pause, &error).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn try_to_recover(&mut self) -> Result<u64, StoreError> {
        let journal = self.lanes.journal();
        let mut open = match &journal {
            Some(journal) => Some(journal.lock().await),
            None => None,
        };
        let lane = Lane::direct(self.connection.clone());
        put_in_order(&lane, open.as_deref_mut(), &mut self.filter, &mut self.plans).await
    }

    fn resume(&mut self, next_offset: u64) {
        self.shared.progress.set_stored(next_offset - 1);
        self.group = Group::new(next_offset, self.lanes.is_journaling());
        self.shared.set_state(WriterState::Ready);
        tracing::info!(next_insert = next_offset, "event store is usable again");
    }

    /// Answers requests with "not available" for the length of a pause.
    async fn refuse_for(&mut self, pause: Duration, error: &StoreError) {
        let until = Instant::now() + pause;
        while let Ok(request) = tokio::time::timeout_at(until, self.inbox.recv()).await {
            match request {
                Some(Request::Close(done)) => {
                    self.closing = true;
                    self.closed.push(done);
                }
                Some(request) => request.refuse(&unavailable(error)),
                None => self.closing = true,
            }
            if self.closing {
                return;
            }
        }
    }
}

pub(super) fn unavailable(error: &StoreError) -> AcceptError {
    AcceptError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER }
}
