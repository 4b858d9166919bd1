//! What is sent: the stream of events of a run, as pure functions of its description.
//!
//! - [`schedule`]: when each request is due
//! - [`slots`]: which copy of which event travels in which place
//! - [`facts`]: what the n-th event says
//! - [`stream`]: the description of a run, which ties them together and is kept for later audits
//! - [`render`]: the bytes of a request, [`encode`]: their compression
//!
//! Nothing here does I/O or knows the clock: the same description gives the same bytes on any machine.

pub mod encode;
pub mod facts;
pub mod render;
pub mod schedule;
pub mod slots;
pub mod stream;
