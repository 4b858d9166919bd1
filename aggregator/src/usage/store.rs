//! The store's read side.

use super::aggregate::aggregate;
use super::touched::Touched;
use super::types::{EventOfFee, SeriesSummary, UsageQuery, UsageRow, Verification};
use super::{fold, members};
use crate::connection::{Connection, StoreConfig};
use crate::error::StoreError;
use crate::reads::{
    self, EventFilter, EventPage, HourCount, OrderBy, PageRequest, Rejection, RejectionFilter, RejectionReason,
};
use crate::schema;
use crate::usage::UsageWindow;
use domain::event::StoredEvent;
use domain::identity::EventId;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use std::collections::HashSet;

/// Reads of the event store; cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    connection: Connection,
}

const PENDING: &str = "the read side is not connected yet";

#[allow(clippy::unused_async)]
impl EventStore {
    /// Connects and brings the schema up to date.
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let connection = Connection::new(config);
        schema::migrate(&connection).await?;
        Ok(Self { connection })
    }

    /// Exact usage of every window at the query's cut; rows in no order, each (slot, dimensions) once.
    pub async fn usage(&self, query: UsageQuery, mut on_row: impl FnMut(UsageRow) + Send) -> Result<(), StoreError> {
        let touched = Touched::find(&self.connection, &query).await?;
        let (mut plain, mut voided, mut again): (Vec<_>, Vec<_>, Vec<UsageWindow>) = Default::default();
        let doubtful_slots: HashSet<u32> = query
            .windows
            .iter()
            .filter(|window| touched.doubtful.contains(&window.series.0))
            .map(|window| window.slot)
            .collect();
        let voided_slots: HashSet<u32> = query
            .windows
            .iter()
            .filter(|window| touched.voided.contains(&window.series.0))
            .map(|window| window.slot)
            .collect();
        for window in &query.windows {
            if doubtful_slots.contains(&window.slot) {
                again.push(*window);
            } else if voided_slots.contains(&window.slot) {
                voided.push(*window);
            } else {
                plain.push(*window);
            }
        }
        let mut unready = aggregate(&self.connection, &query, &plain, false, &mut on_row).await?;
        unready.extend(aggregate(&self.connection, &query, &voided, true, &mut on_row).await?);
        again.extend(plain.iter().chain(&voided).filter(|window| unready.contains(&window.slot)));
        fold::fold(&self.connection, &query, &again, &mut on_row).await
    }

    /// Up to where every accepted event is in.
    pub async fn committed_cut(&self) -> Result<Cut, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }

    /// Exactly the events a usage query over the same windows and cut counts, ordered by (timestamp, id); `skip`/`limit`.
    pub async fn events_in(&self, query: &UsageQuery, page: PageRequest) -> Result<Vec<EventOfFee>, StoreError> {
        members::page(&self.connection, query, page).await
    }

    /// The same as a stream in no order, with bounded memory; `on_event` is called for each.
    pub async fn stream_events_in(
        &self,
        query: &UsageQuery,
        on_event: impl FnMut(EventOfFee) + Send,
    ) -> Result<(), StoreError> {
        members::each(&self.connection, query, &query.windows, on_event).await
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
    pub async fn event(&self, organization: OrganizationId, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        Ok(self.events(organization, &[id]).await?.pop())
    }

    /// The stored (first) versions of these ids, in any order; unknown ids are left out.
    pub async fn events(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, StoreError> {
        reads::events::by_ids(&self.connection, organization, ids).await
    }

    /// A page of events and the number of all that match.
    pub async fn list_events(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
        order: OrderBy,
        page: PageRequest,
    ) -> Result<EventPage, StoreError> {
        reads::events::list(&self.connection, organization, &filter, order, page).await
    }

    /// Events per UTC hour in `[from, to]`; empty hours are absent.
    pub async fn volume(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
    ) -> Result<Vec<HourCount>, StoreError> {
        reads::events::volume(&self.connection, organization, &filter).await
    }

    /// A page of what the store itself rejects (restamped, conflict, voided, invalid_value), newest first, and their number.
    pub async fn rejections(
        &self,
        organization: OrganizationId,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> Result<(Vec<Rejection>, u64), StoreError> {
        reads::rejections::list(&self.connection, organization, &filter, page).await
    }

    /// Counts per reason of the same.
    pub async fn rejection_counts(
        &self,
        organization: OrganizationId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Vec<(RejectionReason, u64)>, StoreError> {
        reads::rejections::counts(&self.connection, organization, from, to).await
    }

    /// Scans the id table in key order for ids with more than one row and marks their series for the exact path.
    pub async fn verify_unique_ids(&self) -> Result<Verification, StoreError> {
        Err(StoreError::Engine(PENDING.into()))
    }
}
