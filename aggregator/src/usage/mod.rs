//! What rating asks of the event store.

mod store;
mod types;

pub use store::EventStore;
pub use types::{EventOfFee, Measure, MetricScope, SeriesSummary, UsageQuery, UsageRow, UsageWindow, Verification};
