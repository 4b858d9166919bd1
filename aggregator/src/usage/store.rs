//! The store's read side: one handle, each question in a file of its own. All of them are scoped by organization (I8).

use super::aggregate::aggregate;
use super::changes::{self, Among};
use super::source::{is_small, remove_leftovers};
use super::touched::Touched;
use super::types::{EventOfFee, SeriesSummary, UsageQuery, UsageRow, Verification};
use super::{ChangedSeries, cut, fold, members, series, verify};
use crate::connection::{Connection, StoreConfig};
use crate::direct::Progress;
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
use futures::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks whether the store is there.
const KNOCK_EVERY: Duration = Duration::from_millis(100);
/// Measures of one customer's plan: count, sum, max and unique count are usual, and the engine has the machine's cores.
const SMALL_QUERIES_AT_ONCE: usize = 4;

/// Reads of the event store; cheap to clone.
#[derive(Clone)]
pub struct EventStore {
    connection: Connection,
    /// How far the direct writer of this process is.
    writer: Option<Arc<Progress>>,
}

impl EventStore {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// When the store cannot be reached or is newer than this program.
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let connection = Connection::new(config);
        schema::migrate(&connection).await?;
        remove_leftovers(&connection).await?;
        Ok(Self { connection, writer: None })
    }

    /// The version of the store's schema, 0 when it has none yet; changes nothing.
    ///
    /// # Errors
    /// When the store cannot be reached or is newer than this program.
    pub async fn schema_version(&self) -> Result<u32, StoreError> {
        schema::version(&self.connection).await
    }

    /// The same store for readers in the process of its direct writer: every read sees all that was answered before it began,
    /// also what the writer still keeps in its journal.
    #[must_use]
    pub fn behind(self, writer: Arc<Progress>) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// Waits for what was answered before.
    async fn catch_up(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.caught_up().await.map(|_| ()),
            None => Ok(()),
        }
    }

    /// Whether the engine answers at all.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.connection.fetch_one::<u8>("SELECT 1").await.map(|_| ())
    }

    /// Waits until somebody answers at the store's address: a service that is started together with its store is not to die of having
    /// been the faster one. Tells once that it waits.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when nobody does within `patience`.
    pub async fn await_server(config: &StoreConfig, patience: Duration) -> Result<(), StoreError> {
        let connection = Connection::new(config.clone());
        let deadline = Instant::now() + patience;
        let mut told = false;
        while let Err(fault) = connection.knock().await {
            if Instant::now() >= deadline {
                return Err(fault);
            }
            if !told {
                tracing::warn!(%fault, url = config.url, seconds = patience.as_secs(), "waiting for the event store");
                told = true;
            }
            tokio::time::sleep(KNOCK_EVERY).await;
        }
        Ok(())
    }

    /// Over a store that may be away now: nothing is asked of it and its schema is taken as it is.
    #[must_use]
    pub fn unopened(config: StoreConfig) -> Self {
        Self { connection: Connection::new(config), writer: None }
    }

    /// Exact usage of every window at the query's cut; rows in no order, each (slot, dimensions) once.
    ///
    /// # Errors
    /// After an error some rows may have been handed out: throw them away.
    pub async fn usage(&self, query: UsageQuery, on_row: impl FnMut(UsageRow) + Send) -> Result<(), StoreError> {
        let touched = Touched::find(&self.connection, &[&query], &query.cut).await?;
        self.usage_given(&query, &touched, on_row).await
    }

    /// [`EventStore::usage`] of several queries at one cut. Small ones run side by side: one customer's usage is answered in
    /// little more than the time of its slowest metric.
    ///
    /// # Errors
    /// As [`EventStore::usage`]; also when the queries differ in their cut.
    pub async fn usage_of_all(
        &self,
        queries: &[&UsageQuery],
        on_row: impl FnMut(UsageRow) + Send,
    ) -> Result<(), StoreError> {
        let Some(first) = queries.first() else { return Ok(()) };
        if queries.iter().any(|query| query.cut != first.cut) {
            return Err(StoreError::BadQuery("queries asked together differ in their cut".into()));
        }
        let touched = Touched::find(&self.connection, queries, &first.cut).await?;
        let at_once = if queries.iter().all(|query| is_small(&query.windows)) { SMALL_QUERIES_AT_ONCE } else { 1 };
        let on_row = Mutex::new(on_row);
        // Held for one row at a time, and nothing between lock and unlock can panic but the caller's own closure.
        let hand_out = |row| (on_row.lock().unwrap_or_else(PoisonError::into_inner))(row);
        let (store, touched, hand_out) = (self, &touched, &hand_out);
        futures::stream::iter(queries)
            .map(Ok)
            .try_for_each_concurrent(at_once, |query| async move { store.usage_given(query, touched, hand_out).await })
            .await
    }

    async fn usage_given(
        &self,
        query: &UsageQuery,
        touched: &Touched,
        mut on_row: impl FnMut(UsageRow) + Send,
    ) -> Result<(), StoreError> {
        let parts = Parts::of(&query.windows, touched);
        let connection =
            if is_small(&query.windows) { self.connection.on_one_thread() } else { self.connection.clone() };
        let mut unready = aggregate(&connection, query, &parts.plain, false, &mut on_row).await?;
        unready.extend(aggregate(&connection, query, &parts.voided, true, &mut on_row).await?);
        let mut row_by_row = parts.row_by_row;
        let others = parts.plain.iter().chain(&parts.voided);
        row_by_row.extend(others.filter(|window| unready.contains(&window.slot)));
        fold::fold(&self.connection, query, &row_by_row, &touched.doubtful, &mut on_row).await
    }

    /// Up to where every accepted event is in.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn committed_cut(&self) -> Result<Cut, StoreError> {
        match &self.writer {
            Some(writer) => writer.caught_up().await,
            None => cut::committed(&self.connection).await,
        }
    }

    /// Exactly the events a usage query over the same windows and cut counts, ordered by (timestamp, id); `skip`/`limit`.
    pub async fn events_in(&self, query: &UsageQuery, page: PageRequest) -> Result<Vec<EventOfFee>, StoreError> {
        let touched = Touched::find(&self.connection, &[query], &query.cut).await?;
        members::page(&self.connection, query, &touched.doubtful, page).await
    }

    /// The same as a stream in no order, with bounded memory; `on_event` is called for each.
    pub async fn stream_events_in(
        &self,
        query: &UsageQuery,
        on_event: impl FnMut(EventOfFee) + Send,
    ) -> Result<(), StoreError> {
        let touched = Touched::find(&self.connection, &[query], &query.cut).await?;
        members::each(&self.connection, query, &query.windows, &touched.doubtful, on_event).await
    }

    /// Every series of an organization that has events at the cut, in no order; voided events are left out. One query.
    pub async fn series(
        &self,
        organization: OrganizationId,
        cut: &Cut,
        on_series: impl FnMut(SeriesSummary) + Send,
    ) -> Result<(), StoreError> {
        series::each(&self.connection, organization, cut, on_series).await
    }

    /// Every series, of any organization, with events from before `before` that came in, or were voided, after `after` and up to `until`, in no order; a series with both
    /// comes twice. Two queries.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn changed_series(
        &self,
        before: Timestamp,
        after: &Cut,
        until: &Cut,
        on_series: impl FnMut(ChangedSeries) + Send,
    ) -> Result<(), StoreError> {
        changes::each(&self.connection, Among::Before(before), after, until, on_series).await
    }

    /// The same of these metrics alone: cheap where they are few, because the rating table is sorted by them.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn changed_series_of(
        &self,
        codes: &[(OrganizationId, String)],
        after: &Cut,
        until: &Cut,
        on_series: impl FnMut(ChangedSeries) + Send,
    ) -> Result<(), StoreError> {
        changes::each(&self.connection, Among::Codes(codes), after, until, on_series).await
    }

    /// The ids voided inside a cut, of all organizations, whether their events are known or not.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn voided_events(&self, until: &Cut) -> Result<Vec<EventId>, StoreError> {
        changes::voided(&self.connection, until).await
    }

    /// One stored (first) version of an event.
    pub async fn event(&self, organization: OrganizationId, id: EventId) -> Result<Option<StoredEvent>, StoreError> {
        Ok(self.events(organization, &[id]).await?.pop())
    }

    /// The stored (first) versions of these ids, in any order; unknown ids are left out.
    pub async fn events(&self, organization: OrganizationId, ids: &[EventId]) -> Result<Vec<StoredEvent>, StoreError> {
        self.catch_up().await?;
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
        self.catch_up().await?;
        reads::events::list(&self.connection, organization, &filter, order, page).await
    }

    /// Events per UTC hour in `[from, to]`; empty hours are absent.
    pub async fn volume(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
    ) -> Result<Vec<HourCount>, StoreError> {
        self.catch_up().await?;
        reads::events::volume(&self.connection, organization, &filter).await
    }

    /// The `limit` codes with most events, most first, and how many each has.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn busiest_codes(
        &self,
        organization: OrganizationId,
        filter: EventFilter,
        limit: u64,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        self.catch_up().await?;
        reads::events::busiest_codes(&self.connection, organization, &filter, limit).await
    }

    /// A page of what the store itself rejects (restamped, conflict, voided, invalid_value), newest first, and their number.
    pub async fn rejections(
        &self,
        organization: OrganizationId,
        filter: RejectionFilter,
        page: PageRequest,
    ) -> Result<(Vec<Rejection>, u64), StoreError> {
        self.catch_up().await?;
        reads::rejections::list(&self.connection, organization, &filter, page).await
    }

    /// Counts per reason of the same.
    pub async fn rejection_counts(
        &self,
        organization: OrganizationId,
        from: Option<Timestamp>,
        to: Option<Timestamp>,
    ) -> Result<Vec<(RejectionReason, u64)>, StoreError> {
        self.catch_up().await?;
        reads::rejections::counts(&self.connection, organization, from, to).await
    }

    /// Scans the id table in key order for ids with more than one row and marks their series for the exact path.
    pub async fn verify_unique_ids(&self) -> Result<Verification, StoreError> {
        self.catch_up().await?;
        verify::unique_ids(&self.connection).await
    }
}

/// The windows of a query by the way they take. A slot takes one way as a whole: a distinct count cannot be put together.
#[derive(Default)]
struct Parts {
    plain: Vec<UsageWindow>,
    voided: Vec<UsageWindow>,
    row_by_row: Vec<UsageWindow>,
}

impl Parts {
    fn of(windows: &[UsageWindow], touched: &Touched) -> Self {
        let slots_with = |series: &HashSet<u128>| -> HashSet<u32> {
            windows.iter().filter(|window| series.contains(&window.series.0)).map(|window| window.slot).collect()
        };
        let (doubtful, voided) = (slots_with(&touched.doubtful.series), slots_with(&touched.voided));
        let mut parts = Self::default();
        for window in windows {
            let part = if doubtful.contains(&window.slot) {
                &mut parts.row_by_row
            } else if voided.contains(&window.slot) {
                &mut parts.voided
            } else {
                &mut parts.plain
            };
            part.push(*window);
        }
        parts
    }
}
