//! Billable metrics: how the events of a code become one quantity; with their versions, filters and dimensions.

pub mod api;
pub mod dimensions;
pub mod filter_api;
pub mod filter_storage;
pub mod storage;
pub mod wire;
