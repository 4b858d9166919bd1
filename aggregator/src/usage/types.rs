//! The questions and answers of rating.

use bigdecimal::BigDecimal;
use domain::event::StoredEvent;
use domain::identity::{EventId, SeriesId};
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;

/// Events of one series in `[from, to)` count toward `slot`.
///
/// Windows of one series and slot must be disjoint. Any number of windows may share a slot: their events are aggregated
/// together. Windows of one series for different slots may overlap (what a recurring metric carries into two periods): an
/// event then counts in each. That is slower: every event meets every window of its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageWindow {
    /// Whose usage of what.
    pub series: SeriesId,
    /// First instant that counts.
    pub from: Timestamp,
    /// First instant that no longer counts.
    pub to: Timestamp,
    /// The caller's number for the result.
    pub slot: u32,
    /// Place of the series' metric in `UsageQuery::scopes`: says which property its events are aggregated by.
    pub scope: u32,
}

/// How the events of a slot become one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Number of events.
    Count,
    /// Sum of the values; 0 without any.
    Sum,
    /// Greatest value, which may be negative; 0 without any.
    Max,
    /// Smallest value; 0 without any.
    Min,
    /// Value of the newest event that has one, ties broken by the greater id; may be negative, 0 without any.
    Latest,
    /// As a sum; beside it [`UsageRow::moment`], from which the caller makes the area under the running total.
    WeightedSum,
    /// Number of distinct texts, exact.
    UniqueCount,
}

/// A metric as the query needs it: which events, and where in them the value and the dimensions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricScope {
    /// Tenant (I8).
    pub organization: OrganizationId,
    /// Metric code.
    pub code: String,
    /// Property that is aggregated; `None` for a plain count.
    pub field_name: Option<String>,
    /// Keys of `UsageRow::dimensions`, in order; empty when the query is not grouped. Any part, in any order, of the keys that
    /// were extracted at write time is fast (of all of them, for a distinct count); anything else is read from the raw
    /// properties.
    pub dimensions: Vec<String>,
}

/// One set-based question: all windows of all scopes at one cut.
#[derive(Clone, Debug)]
pub struct UsageQuery {
    /// How events become a quantity.
    pub measure: Measure,
    /// The metrics that the windows' series belong to, each (organization, code) once.
    pub scopes: Vec<MetricScope>,
    /// Whose usage, when, under which number.
    pub windows: Vec<UsageWindow>,
    /// Only events at positions up to it count, and only voids up to it are heeded (I3).
    pub cut: Cut,
    /// Whether each slot is split by the values of `MetricScope::dimensions`.
    pub by_dimensions: bool,
}

/// The answer for one slot, or for one combination of dimension values of it. A slot without events has no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// The window's number.
    pub slot: u32,
    /// JSON array of the dimension values in key order: a string each, or `null` where absent; empty when not grouped.
    pub dimensions: String,
    /// Events in it, with or without a usable value.
    pub events_count: u64,
    /// Sum of their `domain::identity::fingerprint_term` modulo 2¹²⁸.
    pub fingerprint: u128,
    /// The measure, exact.
    pub quantity: BigDecimal,
    /// Σ value × timestamp in microseconds, exact; 0 but for [`Measure::WeightedSum`].
    pub moment: BigDecimal,
    /// When the newest event with a value was, and its id; only for [`Measure::Latest`].
    pub newest: Option<(Timestamp, EventId)>,
    /// Events whose value is there but unusable: they count as 0 and are listed as `invalid_value` (I9).
    pub invalid_count: u64,
    /// Events whose value took part in the measure (for a count: all). Without any the measure is 0 and says nothing: so a
    /// maximum over several rows leaves those rows out.
    pub valued_count: u64,
}

/// One series that has events, for finding what no subscription is charged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesSummary {
    /// Metric code.
    pub code: String,
    /// External customer id, empty when the events name none.
    pub customer: String,
    /// External subscription id, empty when the events name none.
    pub subscription: String,
    /// Its name.
    pub series: SeriesId,
    /// Events in it that count at the cut.
    pub events: u64,
    /// Timestamp of its first event.
    pub first: Timestamp,
    /// Timestamp of its last event.
    pub last: Timestamp,
}

/// One event of a fee, with what proving needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventOfFee {
    /// The window's slot it fell in.
    pub slot: u32,
    /// Its term as stored; a proof compares it with the one computed from the columns.
    pub stored_fingerprint: u128,
    /// The event.
    pub event: StoredEvent,
}

/// What the ordered scan of the id table found.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Verification {
    /// Rows of the id table that were read.
    pub ids: u64,
    /// Ids with more than one row: their series take the exact path from now on.
    pub doubtful: u64,
}
