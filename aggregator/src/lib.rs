//! The event store: schema, the two writers, and the set-based reads that billing rests on.
//!
//! Where to look, in the order of one event's life:
//! - [`direct`]: [`direct::DirectWriter`] takes batches, finds repeats, and commits them in groups
//! - [`streaming`]: [`streaming::StreamingWriter`] takes them from the log instead, exactly once; how far it is
//! - `writing`: what both writers do alike
//! - [`extract`]: which value, text and dimensions an event has for a metric (one table of rules)
//! - [`usage`]: what rating asks: exact quantities of any number of windows at a cut
//! - [`transfer`]: the whole store out to files and into another
//! - [`reads`]: single events, lists, volume, rejections, exactly the events of a fee
//!
//! It refuses to know prices, periods and the HTTP API. It runs unchanged against the embedded engine and a ClickHouse server:
//! both are a URL ([`connection::StoreConfig`]).

pub mod connection;
pub mod direct;
pub mod error;
pub mod extract;
mod native;
pub mod reads;
mod schema;
mod sql;
pub mod streaming;
pub mod transfer;
pub mod usage;
mod writing;

pub use connection::StoreConfig;
pub use direct::{AcceptError, Accepted, DirectConfig, DirectWriter, DuplicateKind, DuplicateRow, Voided, WriterState};
pub use error::StoreError;
pub use usage::EventStore;
