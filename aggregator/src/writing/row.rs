//! One accepted event on its way into the store, borrowed from wherever it came in.

use super::decode::LogRows;
use domain::event_batch::EventBatch;
use domain::identity::{EventId, SeriesId};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use std::sync::Arc;

/// What names an event and tells it from its copies: all that is asked of it before its row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKey {
    pub(crate) organization: OrganizationId,
    pub(crate) id: EventId,
    pub(crate) series: SeriesId,
    pub(crate) content: u64,
    pub(crate) timestamp: Timestamp,
}

impl EventKey {
    /// Of row `row` of a batch.
    pub(crate) fn of(batch: &EventBatch, row: usize) -> Self {
        Self {
            organization: batch.organization,
            id: batch.ids[row],
            series: batch.series[row],
            content: batch.contents[row],
            timestamp: batch.timestamps[row],
        }
    }
}

/// All that the tables keep of an event besides its position.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    pub(crate) key: EventKey,
    pub(crate) ingested_at: Timestamp,
    pub(crate) transaction_id: &'a str,
    pub(crate) code: &'a str,
    pub(crate) customer: &'a str,
    pub(crate) subscription: &'a str,
    pub(crate) properties: &'a str,
    pub(crate) precise_total: &'a str,
}

impl<'a> EventRef<'a> {
    /// Row `row` of a batch.
    pub(crate) fn of(batch: &'a EventBatch, row: usize) -> Self {
        Self {
            key: EventKey::of(batch, row),
            ingested_at: batch.ingested_at,
            transaction_id: batch.transaction_ids.get(row),
            code: batch.codes.get(row),
            customer: batch.customers.get(row),
            subscription: batch.subscriptions.get(row),
            properties: batch.properties.get(row),
            precise_total: batch.precise_totals.get(row),
        }
    }
}

/// Where events came in: a request of one tenant, or a record of the log with events of many.
#[derive(Clone)]
pub(crate) enum Source {
    Request(Arc<EventBatch>),
    Record(Arc<LogRows>),
}

impl Source {
    pub(crate) fn key(&self, row: usize) -> EventKey {
        match self {
            Source::Request(batch) => EventKey::of(batch, row),
            Source::Record(rows) => rows.key(row),
        }
    }

    pub(crate) fn row(&self, row: usize) -> EventRef<'_> {
        match self {
            Source::Request(batch) => EventRef::of(batch, row),
            Source::Record(rows) => rows.row(row),
        }
    }

    /// Reads a byte of each cache line that says where row `row` lies; of requests, which come in small, nothing.
    pub(crate) fn touch_row(&self, row: usize) -> u32 {
        match self {
            Source::Request(_) => 0,
            Source::Record(rows) => rows.touch_row(row),
        }
    }

    /// The same of its texts.
    pub(crate) fn touch_texts(&self, row: usize) -> u32 {
        match self {
            Source::Request(_) => 0,
            Source::Record(rows) => rows.touch_texts(row),
        }
    }

    pub(crate) fn byte_size(&self) -> usize {
        match self {
            Source::Request(batch) => batch.byte_size(),
            Source::Record(rows) => rows.byte_size(),
        }
    }
}
