//! The cut of a billing run: up to where every event accepted before the run began is in the store (I3).
//!
//! `event_log::frontier` tells how far the group is; this makes a [`Cut`] of it. The id table would not do: after a crash it may
//! hold a late offset while an earlier one is still to be read again, and a cut must never gain events afterwards.

use crate::error::StoreError;
use crate::usage::EventStore;
use domain::position::Cut;
use event_log::KafkaError;
use event_log::frontier::{Frontier, FrontierError};
use event_log::settings::KafkaSettings;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why there is no cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// A partition stands still (it is named), or the brokers do not answer.
    #[error(transparent)]
    Log(#[from] FrontierError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells cuts of a store that is written from a log; any process may ask.
#[derive(Clone)]
pub struct LogCuts {
    frontier: Frontier,
    store: EventStore,
    epoch: u16,
}

impl LogCuts {
    /// Of the store that the group of `kafka` writes.
    ///
    /// # Errors
    /// When librdkafka refuses the settings.
    pub fn new(kafka: &KafkaSettings, store: EventStore) -> Result<Self, KafkaError> {
        Ok(Self { frontier: Frontier::new(kafka, &kafka.group)?, store, epoch: kafka.epoch })
    }

    /// Waits until every event that is in the log now is in the store, and answers up to where that is. What other logs (or
    /// none) brought before is in as far as the store has it.
    ///
    /// # Errors
    /// [`CutError::Log`] names the partition that is farthest behind after `patience`.
    pub async fn wait(&self, patience: Duration) -> Result<Cut, CutError> {
        let written_below = self.frontier.wait(patience).await?;
        let stored = self.store.committed_cut().await?;
        Ok(self.merged(&stored, &written_below))
    }

    fn merged(&self, stored: &Cut, written_below: &BTreeMap<u16, u64>) -> Cut {
        let mut cut = Cut::default();
        for (epoch, partition, offset) in stored.iter().filter(|(epoch, ..)| *epoch != self.epoch) {
            cut.set(epoch, partition, offset);
        }
        for (partition, below) in written_below {
            // Nothing below 0: a partition without records is not named.
            if let Some(last) = below.checked_sub(1) {
                cut.set(self.epoch, *partition, last);
            }
        }
        cut
    }
}
