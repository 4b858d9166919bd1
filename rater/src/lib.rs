//! From usage to fees: whose usage it is, how much, and what it costs.
//!
//! Where to look, in the order in which a fee comes about:
//! - [`view`]: what of the catalog a rating needs, in memory
//! - [`whose_usage`]: which events belong to which subscription
//! - [`lines`]: filters and groups: which fee of a charge an event belongs to
//! - [`plan`]: all of it as a fixed number of questions to the store, however many subscriptions
//! - [`rate`]: asking them, and pricing the answers ([`rated`] is what comes out)
//! - [`rows`]: the store's answers as the usage of fees
//! - [`aggregate`]: the same quantities from single events, for charges that look at events one by one
//! - [`proof`]: one fee counted again, event by event
//! - [`advance`]: what each event owes where usage is paid as it is accepted
//! - [`late`]: what came in after a bill, and what it changes; [`late_events`]: which events those are; [`shard`]: rating by several processes
//! - [`metering`]: quantities without prices
//! - [`estimate`], [`projection`], [`what_if`]: the same of usage that is imagined
//! - [`api`]: usage and events over HTTP
//!
//! It refuses to read clocks, to write anything, and to know invoices.
//!
//! Invariants asserted here: I3 (a fee is a function of catalog versions, cut and events), I5 (amounts are exact and rounded
//! once), I8 (every question names its organization), I9 (what no charge takes is counted and can be listed).

pub mod advance;
pub mod aggregate;
pub mod api;
pub mod estimate;
#[cfg(test)]
mod fixtures;
pub mod intervals;
pub mod late;
pub mod late_events;
pub mod lines;
pub mod metering;
pub mod plan;
pub mod price;
pub mod projection;
pub mod proof;
pub mod rate;
pub mod rated;
pub mod rows;
pub mod shard;
pub mod usage;
pub mod view;
pub mod what_if;
pub mod whose_usage;

pub use api::{RaterState, openapi, router};
pub use proof::{FeeToProve, Figures, Proof, ProofError, Since, windows_of_fee};
pub use rate::{RateError, Rater};
pub use rated::{Line, RateProblem, RatedCharge, RatedItem, RatingItem};
pub use view::{RatingView, ViewError};
