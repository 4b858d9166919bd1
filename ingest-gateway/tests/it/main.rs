//! The gateway over HTTP, with a sink in memory.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::shadow_unrelated, reason = "one scenario after another under the same names; nothing is billed here")]

mod access;
mod batches;
mod bombs;
mod capacity;
mod cloud_events;
mod compressed;
mod harness;
mod hostile;
mod lago;
mod singles;
mod streams;
mod voids;
