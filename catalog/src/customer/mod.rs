//! Customers: who is billed, in which zone and currency.
//!
//! Timezones are kept with the instant from which each holds (I6): a closed period never changes because a customer moved.

pub mod api;
pub mod storage;
pub mod wire;
