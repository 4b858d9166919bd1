//! Proofs, and the events of a fee, on the wire.

use crate::ledger::LedgerError;
use crate::ledger::fees::StoredFee;
use domain::event::StoredEvent;
use domain::identity::EventId;
use domain::time::Timestamp;
use rater::{Figures, Proof};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// What is proved of a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FiguresRecord {
    /// Events in it.
    pub events_count: u64,
    /// Their fingerprint; null for a fee without usage.
    pub event_fingerprint: Option<String>,
    /// Quantity.
    pub units: String,
    /// What is owed.
    pub amount_cents: String,
}

/// What became of a fee's usage after its cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SinceRecord {
    /// Accepted later, for the fee's period.
    pub late_events: u64,
    /// Taken out later.
    pub voided_events: u64,
}

/// The verdict on a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FeeProofResponse)]
pub struct ProofRecord {
    /// What was billed.
    pub billed: FiguresRecord,
    /// What its events come to at the fee's cut.
    pub recomputed: FiguresRecord,
    /// Whether the two are equal.
    pub holds: bool,
    /// What became of its usage after the cut.
    pub since: SinceRecord,
}

impl ProofRecord {
    /// The verdict on `fee` as it is told.
    #[must_use]
    pub fn of(fee: &StoredFee, proof: &Proof) -> Self {
        let figures = |figures: &Figures| FiguresRecord {
            events_count: figures.events_count,
            event_fingerprint: fee.fingerprint.is_some().then(|| format!("{:032x}", figures.fingerprint)),
            units: figures.units.to_string(),
            amount_cents: figures.amount_cents.to_string(),
        };
        Self {
            billed: figures(&proof.billed),
            recomputed: figures(&proof.recomputed),
            holds: proof.holds,
            since: SinceRecord { late_events: proof.since.late_events, voided_events: proof.since.voided_events },
        }
    }
}

/// One event of a fee.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeeEventResponse)]
pub struct EventRecord {
    /// Derived from organization and transaction_id.
    #[schema(value_type = uuid::Uuid)]
    pub id: EventId,
    /// The client's own id.
    pub transaction_id: String,
    /// Empty when the event named only a subscription.
    pub external_customer_id: String,
    /// Absent when the event named only a customer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_subscription_id: String,
    /// Metric code.
    pub code: String,
    /// When the usage happened.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// As received.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl EventRecord {
    /// As the contract spells an event.
    ///
    /// # Errors
    /// When its properties are not JSON.
    pub fn read(event: &StoredEvent) -> Result<Self, LedgerError> {
        Ok(Self {
            id: event.id,
            transaction_id: event.transaction_id.clone(),
            external_customer_id: event.external_customer_id.clone(),
            external_subscription_id: event.external_subscription_id.clone(),
            code: event.code.clone(),
            timestamp: event.timestamp,
            properties: RawValue::from_string(event.properties.clone())?,
            created_at: event.ingested_at,
        })
    }
}
