//! The vocabulary of Tollgate, pure: what an event, a metric, a plan, a period, a price and a fee are.
//!
//! Purpose: every other crate speaks in these types, so that a quantity, an instant or an identity means one thing
//! everywhere. It refuses to do I/O and knows no runtime, no Kafka, no SQL.
//!
//! Where to look:
//! - who and what: [`ids`], [`catalog`] (customer, metric, plan, charge, subscription with their versions)
//! - the path of an event: [`event`] → [`event_batch`] → [`identity`] (maps by it: [`id_map`]) → [`position`]
//! - what the gateway may know of the catalog: [`snapshot`]
//! - when: [`time`], [`period`]
//! - how much: [`money`], [`quantity`], [`pricing`]
//!
//! Invariants that live here: I5 (money is integers, quantities are decimals), I6 (periods are half open and tile time).

pub mod catalog;
pub mod event;
pub mod event_batch;
pub mod expression;
pub mod id_map;
pub mod identity;
pub mod ids;
pub mod log_line;
pub mod money;
pub mod period;
pub mod position;
pub mod pricing;
pub mod quantity;
pub mod snapshot;
pub mod time;
