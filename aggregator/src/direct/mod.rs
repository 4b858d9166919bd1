//! The direct writer: accepted batches to durable rows, in group commits, each id once (I1, I2).
//!
//! The path of a batch, a file each:
//! 1. [`handle`]: room is reserved (`admit`), the batch is handed to the one writer task (`accept`)
//! 2. [`task`]: takes what is waiting while the previous insert is under way; [`departure`] says when a small group goes
//! 3. [`known`]: is an id new? Recent ids in memory, then a Bloom filter over all ([`load`] fills it); [`lookup`] asks the id table about "maybe"
//! 4. [`group`]: which rows are new; [`encode`]: extracted ([`plans`] says what), sorted, as columns
//! 5. [`commit`]: `events` first, then `event_ids` (the commit record) together with `losers` and `voids`; then the answers
//! 6. [`recovery`]: at start and after any failure, before the next insert: rows without commit record get theirs
//! 7. [`pressure`]: lingers when the engine's merges fall behind
//!
//! Only one writer may run on a store: the caller holds the lease (a file lock). It refuses to retry an insert: the client
//! does, with the same ids.
//!
//! Failure behaviour: an insert that fails answers its requests with [`AcceptError::MaybeKept`], everything that waits with
//! [`AcceptError::Unavailable`], and nothing is taken until recovery went through.

mod commit;
mod departure;
mod encode;
mod group;
mod handle;
mod known;
mod load;
mod lookup;
mod plans;
mod pressure;
mod recovery;
mod task;
mod types;

pub use handle::{DirectWriter, Permit};
pub use types::{AcceptError, Accepted, DirectConfig, DuplicateKind, DuplicateRow, Voided, WriterState};
