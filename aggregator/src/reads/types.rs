//! Filters, orders and rows of the reads.

use domain::event::StoredEvent;
use domain::time::Timestamp;

/// Which events of an organization; all parts must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Events that name this customer.
    pub external_customer_id: Option<String>,
    /// Events that name this subscription.
    pub external_subscription_id: Option<String>,
    /// Events of this metric code.
    pub code: Option<String>,
    /// Not before (inclusive).
    pub from: Option<Timestamp>,
    /// Not after (inclusive, as the contract's lists are).
    pub to: Option<Timestamp>,
}

/// What a list is ordered by; ties are broken by id, so the order is total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderField {
    /// When the usage happened.
    Timestamp,
    /// When it was accepted (the contract's `created_at`).
    IngestedAt,
    /// Metric code.
    Code,
    /// External customer id.
    Customer,
    /// The client's own id.
    TransactionId,
}

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Least first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// Order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderBy {
    /// By what.
    pub field: OrderField,
    /// Which end first.
    pub direction: Direction,
}

/// A page by offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows left out at the front.
    pub skip: u64,
    /// Most rows returned.
    pub limit: u64,
}

/// A page of events.
#[derive(Clone, Debug, Default)]
pub struct EventPage {
    /// The rows asked for.
    pub events: Vec<StoredEvent>,
    /// All that match the filter.
    pub total: u64,
}

/// Events in one UTC hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HourCount {
    /// Start of the hour.
    pub hour: Timestamp,
    /// Events in it.
    pub events: u64,
}

/// Why the store leaves an accepted event out, or counts its value as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectionReason {
    /// A copy of a stored event under another timestamp.
    Restamped,
    /// An event with a stored event's id and other content.
    Conflict,
    /// Taken out by the client.
    Voided,
    /// The aggregated property is there but no number.
    InvalidValue,
    /// A line of the log that could not be read.
    DeadLetter,
}

impl RejectionReason {
    /// Its name in the API and in the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RejectionReason::Restamped => "restamped",
            RejectionReason::Conflict => "conflict",
            RejectionReason::Voided => "voided",
            RejectionReason::InvalidValue => "invalid_value",
            RejectionReason::DeadLetter => "dead_letter",
        }
    }
}

/// Which rejections; `from` and `to` are compared with when it was rejected, inclusive.
#[derive(Clone, Debug, Default)]
pub struct RejectionFilter {
    /// Only this reason.
    pub reason: Option<RejectionReason>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub to: Option<Timestamp>,
}

/// One rejected copy or event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: RejectionReason,
    /// When it was accepted (and so rejected): ingestion time, or the time of the void.
    pub rejected_at: Timestamp,
    /// The copy as it was sent. A void that came before its event has only organization, id and transaction_id; a dead letter
    /// has properties `{"reason": …, "line": …}` and a position.
    pub event: StoredEvent,
}
