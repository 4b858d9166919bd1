//! The event store against a real engine.
// A test ends where its expectation does.
#![allow(clippy::unwrap_used)]

mod oracle;
mod support;

mod exactness;
mod ingest;
mod journal;
mod model;
mod reading;
mod schema;
mod streaming;
