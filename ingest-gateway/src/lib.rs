//! HTTP in, validated events out to a sink.
//!
//! It refuses to know prices, periods, customers or SQL: keys, metric codes and limits come from a catalog snapshot.

pub mod parse;
pub mod sink;
