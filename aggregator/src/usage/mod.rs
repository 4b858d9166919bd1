//! What rating asks of the event store.

mod aggregate;
mod fold;
mod members;
mod source;
mod store;
mod touched;
mod types;

pub use store::EventStore;
pub use types::{EventOfFee, Measure, MetricScope, SeriesSummary, UsageQuery, UsageRow, UsageWindow, Verification};
