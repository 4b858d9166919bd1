//! One usage event as a person reads it: for listing, echoing and proving. The hot path uses [`crate::event_batch`].

use crate::identity::EventId;
use crate::ids::OrganizationId;
use crate::position::Position;
use crate::time::Timestamp;

/// Longest transaction_id, customer id, subscription id and code, in characters (contract: 1–255).
pub const MAX_NAME_CHARS: usize = 255;

/// An event as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Tenant.
    pub organization: OrganizationId,
    /// Derived from (organization, transaction_id).
    pub id: EventId,
    /// The client's own id.
    pub transaction_id: String,
    /// Empty when the event named only a subscription.
    pub external_customer_id: String,
    /// Empty when the event named only a customer.
    pub external_subscription_id: String,
    /// Metric code.
    pub code: String,
    /// When the usage happened.
    pub timestamp: Timestamp,
    /// One JSON object, as received.
    pub properties: String,
    /// Decimal text, empty when absent.
    pub precise_total_amount_cents: String,
    /// When a gateway accepted it.
    pub ingested_at: Timestamp,
    /// Where it stands in the log.
    pub position: Position,
}
