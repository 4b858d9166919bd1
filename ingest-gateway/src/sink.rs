//! Where validated events go: the one border between the gateway and what stores them (direct writer or Kafka).
//!
//! The gateway never learns which of the two it is. What the border promises:
//! - **I1** `accept` answers `Ok` only once every row of the batch is durable. An error says whether nothing was kept
//!   ([`SinkError::Overloaded`], [`SinkError::Unavailable`]) or something may have been ([`SinkError::MaybeKept`]).
//! - **I2** repeats are the sink's to find, also inside one batch: the gateway hands over every row, the first wins, and the
//!   answer names the rows that were known already.
//! - Capacity is decided by [`EventSink::admit`], before a request's body is read, let alone accepted.
//!
//! It refuses to retry: the client does, with the same ids, which is always safe.

use async_trait::async_trait;
use domain::event::StoredEvent;
use domain::event_batch::EventBatch;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// Room for one request in the sink's memory, given back when it is dropped.
#[must_use = "the room is given back as soon as the permit is dropped"]
pub struct Permit {
    // Held for its Drop alone: a semaphore permit, a counter's guard, or nothing.
    _held: Option<Box<dyn Any + Send + Sync>>,
}

impl Permit {
    /// A permit whose room is given back by dropping `held`.
    pub fn holding(held: impl Any + Send + Sync) -> Self {
        Self { _held: Some(Box::new(held)) }
    }

    /// A permit that reserves nothing, for sinks without a limit.
    pub fn unlimited() -> Self {
        Self { _held: None }
    }
}

/// What became of an accepted batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Rows whose id was known before, or stood further up in the same batch: ascending, each once. They count as
    /// duplicates whether they are exact copies, restamped or in conflict; the sink lists the latter two (I9).
    pub duplicates: Vec<u32>,
}

/// Whether the sink makes progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It accepts events, and what it accepted lately became durable.
    Ready,
    /// It does not; the reason is one line for an operator.
    NotReady {
        /// What stands still.
        reason: String,
    },
}

/// Takes validated events and makes them durable.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Reserves room for about `bytes` of request body; the gateway holds the permit until it has answered. Never waits.
    ///
    /// # Errors
    /// [`SinkError::Overloaded`] when there is no room, [`SinkError::Unavailable`] when nothing can be stored now.
    fn admit(&self, bytes: usize) -> Result<Permit, SinkError>;

    /// Stores a batch; returns once it is durable (I1). Shared, because an echoing gateway still reads it afterwards.
    ///
    /// # Errors
    /// Any [`SinkError`]; only [`SinkError::MaybeKept`] may have stored rows.
    async fn accept(&self, batch: Arc<EventBatch>) -> Result<Accepted, SinkError>;

    /// Takes one event out of every bill not yet issued; harmless when repeated, and allowed before its event arrives.
    /// Returns once the void is durable.
    ///
    /// # Errors
    /// As [`EventSink::accept`].
    async fn void(&self, organization: OrganizationId, transaction_id: &str, now: Timestamp) -> Result<(), SinkError>;

    /// The stored (first) versions of these events of one organization, in any order; ids it does not find are left out.
    ///
    /// # Errors
    /// [`SinkError::Unavailable`] when the store cannot be read.
    async fn stored(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, SinkError>;

    /// Whether it makes progress; cheap, asked by `/readyz`.
    fn readiness(&self) -> Readiness;
}

/// Why a sink did not take something.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SinkError {
    /// No room now; nothing was kept.
    #[error("ingestion is at its capacity; nothing of this request was kept")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// The store or broker cannot be reached, or cannot be read; nothing was kept.
    #[error("ingestion is not available ({reason}); nothing of this request was kept")]
    Unavailable {
        /// What failed, for the log and the answer; no addresses, no secrets.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// It failed midway: any part may have been kept.
    #[error(
        "ingestion failed midway ({reason}); part of this request may have been kept; sending the same \
         transaction_ids again is safe"
    )]
    MaybeKept {
        /// What failed, for the log and the answer; no addresses, no secrets.
        reason: String,
        /// When to try again.
        retry_after: Duration,
    },
}
