//! The store's read side.

use super::types::{EventOfFee, SeriesSummary, UsageQuery, UsageRow, Verification};
use crate::connection::StoreConfig;
use crate::error::StoreError;
use crate::reads::{
    EventFilter, EventPage, HourCount, OrderBy, PageRequest, Rejection, RejectionFilter, RejectionReason,
};
use domain::event::StoredEvent;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;

/// Reads of the event store; cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    _config: StoreConfig,
}

const PENDING: &str = "the read side is not connected yet";

#[allow(clippy::unused_async)]
impl EventStore {
    /// Connects and brings the schema up to date.
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        Ok(Self { _config: config })
    }

    /// Exact usage of every window at the query's cut; rows in no order, each (slot, dimensions) once.
    pub async fn usage(&self, _query: UsageQuery, _on_row: impl FnMut(UsageRow) + Send) -> Result<(), StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Up to where every accepted event is in.
    pub async fn committed_cut(&self) -> Result<Cut, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Exactly the events a usage query over the same windows and cut counts, ordered by (timestamp, id); `skip`/`limit`.
    pub async fn events_in(&self, _query: &UsageQuery, _page: PageRequest) -> Result<Vec<EventOfFee>, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// The same as a stream in no order, with bounded memory; `on_event` is called for each.
    pub async fn stream_events_in(
        &self,
        _query: &UsageQuery,
        _on_event: impl FnMut(EventOfFee) + Send,
    ) -> Result<(), StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Every series of an organization that has events at the cut, in no order; voided events are left out. One query.
    pub async fn series(
        &self,
        _organization: OrganizationId,
        _cut: &Cut,
        _on_series: impl FnMut(SeriesSummary) + Send,
    ) -> Result<(), StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// One stored (first) version of an event.
    pub async fn event(&self, _organization: OrganizationId, _id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// The stored (first) versions of these ids, in any order; unknown ids are left out.
    pub async fn events(
        &self,
        _organization: OrganizationId,
        _ids: &[EventId],
    ) -> Result<Vec<StoredEvent>, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// A page of events and the number of all that match.
    pub async fn list_events(
        &self,
        _organization: OrganizationId,
        _filter: EventFilter,
        _order: OrderBy,
        _page: PageRequest,
    ) -> Result<EventPage, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Events per UTC hour in `[from, to]`; empty hours are absent.
    pub async fn volume(
        &self,
        _organization: OrganizationId,
        _filter: EventFilter,
    ) -> Result<Vec<HourCount>, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// A page of what the store itself rejects (restamped, conflict, voided, invalid_value), newest first, and their number.
    pub async fn rejections(
        &self,
        _organization: OrganizationId,
        _filter: RejectionFilter,
        _page: PageRequest,
    ) -> Result<(Vec<Rejection>, u64), StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Counts per reason of the same.
    pub async fn rejection_counts(
        &self,
        _organization: OrganizationId,
        _from: Option<Timestamp>,
        _to: Option<Timestamp>,
    ) -> Result<Vec<(RejectionReason, u64)>, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Scans the id table in key order for ids with more than one row and marks their series for the exact path.
    pub async fn verify_unique_ids(&self) -> Result<Verification, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }
}
