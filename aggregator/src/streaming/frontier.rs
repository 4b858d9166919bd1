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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Tells cuts of a store that is written from a log; any process may ask, also every second.
#[derive(Clone)]
pub struct LogCuts {
    kafka: KafkaSettings,
    store: EventStore,
    /// Oldest first; empty until first asked.
    epochs: Arc<Mutex<Vec<Epoch>>>,
}

#[derive(Clone)]
struct Epoch {
    settings: KafkaSettings,
    frontier: Frontier,
}

impl Epoch {
    fn of(settings: KafkaSettings) -> Result<Self, CutError> {
        let frontier = Frontier::new(&settings, &settings.group).map_err(FrontierError::from)?;
        Ok(Self { settings, frontier })
    }

    /// The epoch that has followed this one, if the log has grown.
    async fn next(&self) -> Result<Option<Self>, CutError> {
        let Some(number) = self.settings.epoch.checked_add(1) else { return Ok(None) };
        let topic = self.settings.at_epoch(number, self.settings.partitions).topic;
        let partitions = self.frontier.partitions_of(&topic).await.map_err(FrontierError::from)?;
        partitions.map(|partitions| Self::of(self.settings.at_epoch(number, partitions))).transpose()
    }
}

impl LogCuts {
    /// Of the store that the group of `kafka` writes. Nothing is asked yet.
    #[must_use]
    pub fn new(kafka: &KafkaSettings, store: EventStore) -> Self {
        Self { kafka: kafka.clone(), store, epochs: Arc::default() }
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
        for epoch in self.epochs(patience).await? {
            let written_below = epoch.frontier.wait(patience.saturating_sub(began.elapsed())).await?;
            written.insert(epoch.settings.epoch, written_below);
        }
        Ok(merged(&self.store.committed_cut().await?, &written))
    }

    /// Every epoch of the log. Those that are known stay; whether another one has followed is one small question.
    async fn epochs(&self, patience: Duration) -> Result<Vec<Epoch>, CutError> {
        let mut epochs = self.known().clone();
        if epochs.is_empty() {
            let found = topic::epochs(&self.kafka, TOPIC_PATIENCE.min(patience)).await?;
            epochs = found.into_iter().map(Epoch::of).collect::<Result<_, _>>()?;
        }
        while let Some(last) = epochs.last() {
            let Some(next) = last.next().await? else { break };
            epochs.push(next);
        }
        self.known().clone_from(&epochs);
        Ok(epochs)
    }

    /// The list is replaced whole, so it is good also after a panic elsewhere.
    fn known(&self) -> MutexGuard<'_, Vec<Epoch>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
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
