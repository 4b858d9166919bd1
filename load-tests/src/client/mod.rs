//! HTTP towards the system under test.
//!
//! Two clients, because their needs differ: [`connection`] sends the load over raw hyper connections, one request at a time
//! each, and knows whether a request may have been received; [`api`] reads and writes the catalog and the usage in JSON.
//! [`answer`] judges what an answer to an ingest request proves.

pub mod answer;
pub mod api;
pub mod connection;
pub mod target;
