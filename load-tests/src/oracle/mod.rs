//! What must be stored and rated, counted independently of the system: from the run's description and what became of each
//! request.
//!
//! - [`fates`]: which events must be stored, which may be, which must not be
//! - [`expected`]: what each customer has used, and how many copies were restamped
//! - [`samples`]: what a single event must look like
//!
//! The first acknowledged copy wins (I2). All copies of an event say the same but for their timestamp, and all timestamps lie
//! in one billing period: so who wins changes no sum, only the timestamp that [`samples`] checks.

pub mod bits;
pub mod expected;
pub mod fates;
pub mod samples;
