//! Settings, progress and errors of the writer that reads the log.

use crate::error::StoreError;
use domain::position::Position;
use domain::time::Timestamp;
use event_log::consumer::SESSION;
use event_log::topic::TopicError;
use std::collections::BTreeMap;
use std::time::Duration;

/// Limits of the writer.
#[derive(Clone, Debug)]
pub struct StreamingConfig {
    /// Most rows in one insert.
    pub max_group_rows: usize,
    /// Most bytes of events in one insert. About six times as much is held at most: three inserts on their way, each decoded
    /// and encoded.
    pub max_group_bytes: usize,
    /// How long the first event waits for company when the log has nothing more to give.
    pub linger: Duration,
    /// Ids of each partition whose content and timestamp are kept in memory; twice as many at most, about 40 bytes each.
    pub recent_ids: usize,
    /// For the brokers to answer at the start.
    pub broker_patience: Duration,
    /// For a group to be empty: a member that left is gone at once, one that was killed after [`event_log::consumer::SESSION`].
    pub empty_group_patience: Duration,
}

impl Default for StreamingConfig {
    fn default() -> Self {
        Self {
            max_group_rows: 400_000,
            max_group_bytes: 128 << 20,
            linger: Duration::from_millis(50),
            recent_ids: 100_000,
            broker_patience: Duration::from_secs(30),
            empty_group_patience: SESSION + Duration::from_secs(2),
        }
    }
}

/// Why the writer cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StreamingError {
    /// The store does not answer or is not ours.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The topic is not as the settings say.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The brokers or librdkafka refuse.
    #[error("the log cannot be read: {0}")]
    Log(String),
}

/// How far the writer is with the partitions it owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// By partition.
    pub partitions: BTreeMap<u16, PartitionProgress>,
}

/// How far one partition is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// Every record below this offset is in the store.
    pub stored_below: u64,
    /// The offset that the next record of the log will get, as of about a second ago.
    pub log_end: Option<u64>,
    /// When the newest stored record was written to the log.
    pub stored_stamp: Option<Timestamp>,
}

impl Progress {
    /// Records of the log that are not in the store yet.
    #[must_use]
    pub fn lag_records(&self) -> u64 {
        let lag = |partition: &PartitionProgress| partition.log_end.unwrap_or(0).saturating_sub(partition.stored_below);
        self.partitions.values().map(lag).sum()
    }
}

/// The position of a line.
pub(super) fn position(epoch: u16, partition: u16, offset: u64, line: u32) -> Position {
    Position { epoch, partition, offset, index: line }
}
