//! The direct writer: accepted batches to durable rows, in group commits, each id once (I1, I2).

mod types;
mod writer;

pub use types::{AcceptError, Accepted, DirectConfig, DuplicateKind, DuplicateRow, Voided, WriterState};
pub use writer::{DirectWriter, Permit};
