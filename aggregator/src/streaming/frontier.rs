//! The cut of a billing run: up to where every event accepted before the run began is in the store (I3).
//!
//! `event_log::frontier` tells how far the group is; this makes a [`Cut`] of it. The id table would not do: after a crash it may
//! hold a late offset while an earlier one is still to be read again, and a cut must never gain events afterwards.

use crate::error::StoreError;
use crate::usage::EventStore;
use domain::position::Cut;
use event_log::frontier::{Frontier, FrontierError};
use event_log::settings::KafkaSettings;
use event_log::topic::{self, TopicError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For the brokers to say which topics there are.
const TOPIC_PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no cut.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// A partition stands still (it is named), or the brokers do not answer.
    #[error(transparent)]
    Log(#[from] FrontierError),
    /// The log's topics cannot be looked at.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells cuts of a store that is written from a log; any process may ask.
#[derive(Clone)]
pub struct LogCuts {
    kafka: KafkaSettings,
    store: EventStore,
    /// One a topic, made when it is first asked.
    frontiers: Arc<Mutex<BTreeMap<String, Frontier>>>,
}

impl LogCuts {
    /// Of the store that the group of `kafka` writes. Nothing is asked yet.
    #[must_use]
    pub fn new(kafka: &KafkaSettings, store: EventStore) -> Self {
        Self { kafka: kafka.clone(), store, frontiers: Arc::default() }
    }

    /// Waits until every event that is in the log now is in the store, and answers up to where that is. What other logs (or
    /// none) brought before is in as far as the store has it.
    ///
    /// # Errors
    /// [`CutError::Log`] names the partition that is farthest behind after `patience`.
    pub async fn wait(&self, patience: Duration) -> Result<Cut, CutError> {
        let began = Instant::now();
        let mut written = BTreeMap::new();
        // An epoch's events are stored only after all of the epochs before it.
        for epoch in topic::epochs(&self.kafka, TOPIC_PATIENCE.min(patience)).await? {
            let frontier = self.frontier(&epoch)?;
            let written_below = frontier.wait(patience.saturating_sub(began.elapsed())).await?;
            written.insert(epoch.epoch, written_below);
        }
        Ok(merged(&self.store.committed_cut().await?, &written))
    }

    fn frontier(&self, epoch: &KafkaSettings) -> Result<Frontier, CutError> {
        // A frontier is inserted whole or not at all.
        let mut frontiers = self.frontiers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = frontiers.get(&epoch.topic) {
            return Ok(known.clone());
        }
        let frontier = Frontier::new(epoch, &epoch.group).map_err(FrontierError::from)?;
        frontiers.insert(epoch.topic.clone(), frontier.clone());
        Ok(frontier)
    }
}

/// The store's own cut, but for the epochs of the log, which are in as far as they are written.
fn merged(stored: &Cut, written: &BTreeMap<u16, BTreeMap<u16, u64>>) -> Cut {
    let mut cut = Cut::default();
    for (epoch, partition, offset) in stored.iter().filter(|(epoch, ..)| !written.contains_key(epoch)) {
        cut.set(epoch, partition, offset);
    }
    for (epoch, written_below) in written {
        for (partition, below) in written_below {
            // Nothing below 0: a partition without records is not named.
            if let Some(last) = below.checked_sub(1) {
                cut.set(*epoch, *partition, last);
            }
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_takes_the_log_as_far_as_it_is_written_and_everything_else_as_it_is_stored() {
        let mut stored = Cut::default();
        for (epoch, partition, offset) in [(0, 0, 7), (1, 0, 99), (1, 1, 50), (2, 0, 3)] {
            stored.set(epoch, partition, offset);
        }
        let written = BTreeMap::from([(1, BTreeMap::from([(0, 100), (1, 0)])), (2, BTreeMap::from([(0, 2)]))]);
        let entries: Vec<_> = merged(&stored, &written).iter().collect();
        assert_eq!(entries, [(0, 0, 7), (1, 0, 99), (2, 0, 1)]);
    }
}
