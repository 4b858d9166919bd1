//! What goes into the writer and what comes out.

use domain::position::Position;
use std::path::PathBuf;
use std::time::Duration;

/// Limits of the writer.
#[derive(Clone, Debug)]
pub struct DirectConfig {
    /// Bytes of admitted requests held at once.
    pub max_bytes: usize,
    /// Most events in one insert.
    pub max_group_rows: usize,
    /// Most bytes of events in one insert.
    pub max_group_bytes: usize,
    /// Ids whose content and timestamp are kept in memory, so that a quick retry costs no look-up; twice this many at most,
    /// about 40 bytes each.
    pub recent_ids: usize,
    /// Where groups are durable before the store has them; only beside an embedded store. `None`: every answer waits for
    /// the store.
    pub journal: Option<PathBuf>,
}

impl Default for DirectConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_group_rows: 200_000,
            max_group_bytes: 128 << 20,
            recent_ids: 500_000,
            journal: None,
        }
    }
}

/// Why a row was not stored again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DuplicateKind {
    /// Same content, same timestamp.
    Exact,
    /// Same content, other timestamp: listed as `restamped`.
    Restamped,
    /// Other content: listed as `conflict`.
    Conflict,
}

/// One row of an accepted batch whose id was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DuplicateRow {
    /// Row in the batch.
    pub row: u32,
    /// How it differs from the stored event.
    pub kind: DuplicateKind,
}

/// Every row of the batch is durable: stored, or known before.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Rows that were known before or repeated an earlier row, ascending.
    pub duplicates: Vec<DuplicateRow>,
}

/// A void is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voided {
    /// Where it stands in the log; that of the first void when repeated.
    pub position: Position,
    /// Whether it had been voided before.
    pub repeated: bool,
}

/// Whether the writer makes progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterState {
    /// It accepts events and what it accepted lately became durable.
    Ready,
    /// It does not; one line for an operator.
    NotReady(String),
}

/// Why a batch or void was not confirmed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AcceptError {
    /// No room now; nothing was kept.
    #[error("the event writer is at its capacity")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store cannot be reached or the writer is stopping; nothing was kept.
    #[error("the event store is not available: {reason}")]
    Unavailable {
        /// For the log.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It failed midway; any part may have been kept; sending the same ids again is safe.
    #[error("the event store failed midway: {reason}")]
    MaybeKept {
        /// For the log.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
}
