//! The log as a gateway uses it: admission, acknowledgement, what it knows of duplicates, and whether it is fit to be asked.
//!
//! I1: `accept` and `void` answer `Ok` once all in-sync replicas hold every line. A full queue and brokers that do not answer
//! refuse in [`LogIntake::admit`], before anything is taken.
//!
//! It refuses to leave copies out: an id it knows is written again all the same, because only the store sees all gateways and
//! all of the past, and lists copies that differ (I2, I9). What it knows is for the answer's `duplicates` alone.

use crate::producer::{LogError, LogProducer, Room};
use crate::recent_ids::RecentIds;
use domain::event_batch::EventBatch;
use domain::id_map::IdSet;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Takes validated events into the log; shared by all requests of a gateway.
pub struct LogIntake {
    log: Arc<LogProducer>,
    recent: Mutex<RecentIds>,
}

impl LogIntake {
    /// Over a producer that is running.
    #[must_use]
    pub fn new(log: Arc<LogProducer>) -> Self {
        Self { log, recent: Mutex::default() }
    }

    /// Reserves room for a request of about `bytes`; never waits.
    ///
    /// # Errors
    /// [`LogError::NoRoom`], or [`LogError::Stalled`] when what is taken now could not be acknowledged in time.
    pub fn admit(&self, bytes: usize) -> Result<Room, LogError> {
        match self.log.problem() {
            Some(problem) => Err(LogError::Stalled(problem)),
            None => self.log.admit(bytes),
        }
    }

    /// Writes every row of `batch`. Answers the rows whose id this process had in the log already, or that stand further up in
    /// the batch: ascending, each once.
    ///
    /// # Errors
    /// [`LogError`]; only [`LogError::MaybeKept`] may have kept rows.
    pub async fn accept(&self, batch: &EventBatch) -> Result<Vec<u32>, LogError> {
        let duplicates = self.duplicates(&batch.ids);
        self.log.append(batch).await?;
        self.recent().remember(&batch.ids);
        Ok(duplicates)
    }

    /// Writes a void, in order with its event's copies.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub async fn void(
        &self,
        organization: OrganizationId,
        transaction_id: &str,
        accepted_at: Timestamp,
    ) -> Result<(), LogError> {
        self.log.append_void(organization, transaction_id, accepted_at).await
    }

    /// Why it is not ready, if so; cheap.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        self.log.not_ready()
    }

    fn duplicates(&self, ids: &[EventId]) -> Vec<u32> {
        let mut seen = IdSet::with_capacity_and_hasher(ids.len(), Default::default());
        let recent = self.recent();
        let known = (0..).zip(ids).filter(|(_, id)| recent.holds(**id) || !seen.insert(id.0));
        known.map(|(row, _)| row).collect()
    }

    /// A panic amid an insert leaves a set of fewer ids, which may be forgotten at any time.
    fn recent(&self) -> MutexGuard<'_, RecentIds> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
