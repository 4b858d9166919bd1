//! Reads that people and proofs make: one event, lists, volume, rejections.

mod types;

pub use types::{
    Direction, EventFilter, EventPage, HourCount, OrderBy, OrderField, PageRequest, Rejection, RejectionFilter,
    RejectionReason,
};
