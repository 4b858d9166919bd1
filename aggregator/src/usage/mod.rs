//! What rating asks of the event store: exact quantities of any number of windows at a cut (I3), and the events behind them.
//!
//! The way of a question:
//! 1. [`touched`]: which series hold voided events or ids with several rows
//! 2. [`aggregate`]: one statement for all other windows, a second one without the voided ids; windows come in by [`source`],
//!    dimension values are picked by [`projection`]
//! 3. [`fold`]: slots that the engine cannot do exactly (values extracted for another rule or out of scale, ids with several
//!    rows), row by row over [`members`]
//!
//! It refuses to know subscriptions and prices: whose usage a series is, the caller has resolved into windows.

mod aggregate;
mod changes;
pub(crate) mod cut;
mod fold;
mod members;
mod projection;
mod series;
mod source;
mod store;
mod touched;
mod types;
mod verify;

pub use changes::ChangedSeries;
pub use store::EventStore;
pub use types::{EventOfFee, Measure, MetricScope, SeriesSummary, UsageQuery, UsageRow, UsageWindow, Verification};
