//! HTTP in, validated events out to a sink.
//!
//! Purpose: who sends (key → organization), within which limits, and is it a well-formed event? The answer 2xx is given only
//! once the sink says that the events are durable (I1). Nothing else happens here.
//!
//! It refuses to know prices, periods, customers or SQL: keys, metric codes and limits come from a catalog snapshot, and what
//! stores events is behind [`sink::EventSink`].
//!
//! Where to look, in the order a request passes:
//! - `routes`: one file a route; `routes/accept.rs` is the path of a JSON body, `routes/stream.rs` that of NDJSON
//! - `body`: bytes in time, within limits, decompressed
//! - [`parse`]: text to columns, and every reason to refuse one
//! - `codes`: is the metric known; `rate`: how many events a second
//! - [`sink`]: the border to what stores events
//! - `answer`: what the client reads; `errors`: every status below 200 or above 299
//!
//! Invariants asserted here: I1 (order of checks in `routes/accept.rs`; what a stream may claim in `routes/stream.rs`), I2 (every
//! row reaches the sink, repeats included), I8 (the organization comes from the credential alone), I9 (refusals are counted).

mod answer;
mod body;
mod codes;
mod errors;
mod limits;
mod meters;
pub mod parse;
mod rate;
mod routes;
pub mod sink;
mod state;

pub use limits::GatewayLimits;
pub use routes::{openapi, router};
pub use sink::{Accepted, EventSink, Permit, Readiness, SinkError};
pub use state::GatewayState;
