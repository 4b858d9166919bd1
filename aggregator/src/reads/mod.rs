//! Reads that people and proofs make: one event, lists, volume, rejections.

pub(crate) mod events;
pub(crate) mod rejections;
mod types;

pub use types::{
    Direction, EventFilter, EventPage, HourCount, OrderBy, OrderField, PageRequest, Rejection, RejectionFilter,
    RejectionReason,
};
