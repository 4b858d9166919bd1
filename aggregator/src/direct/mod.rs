//! The direct writer: accepted batches to durable rows, in group commits, each id once (I1, I2).
//!
//! The path of a batch, a file each:
//! 1. [`handle`]: room is reserved (`admit`), the batch is handed to the one writer task (`accept`)
//! 2. [`task`]: takes what is waiting while the previous group is under way; [`departure`] says when a small group goes
//! 3. [`group`]: which rows are new; [`crate::writing`]: how that is known, and how rows become blocks
//! 4. [`lanes`]: a group is made durable in the [`journal`] and answered; what is [`pending`] goes into the store together
//! 5. [`crate::writing::commit`]: `events` first, then `event_ids` (the commit record) together with `losers` and `voids`;
//!    then the answers where there is no journal
//! 6. [`recovery`]: at start and after any failure, before the next insert: rows without commit record get theirs; then [`replay`]: what
//!    is in the journal goes into the store
//! 7. [`progress`]: readers of this process wait for what was answered before they asked
//!
//! Only one writer may run on a store: the caller holds the lease (a file lock). It refuses to retry an insert: the client
//! does, with the same ids.
//!
//! Failure behaviour ([`failure`]): a step that fails answers its requests with [`AcceptError::MaybeKept`], everything that waits
//! with [`AcceptError::Unavailable`], and nothing is taken until recovery and replay went through.
//!
//! | killed | what was answered is | after the next start |
//! |---|---|---|
//! | while a group is collected, or written to the journal | – | as if never sent, or stored although nobody was told |
//! | after the answer, before the insert | in the journal | replayed |
//! | in `events`, or between `events` and `event_ids` | in the journal, and part of it in `events` | that part gets its ids, the rest is replayed |
//! | after `event_ids`, before the journal forgets | in both | every id is found at its own position: nothing to do |

mod departure;
mod failure;
mod group;
mod handle;
mod journal;
mod lanes;
mod pending;
mod progress;
mod recovery;
mod replay;
mod shared;
mod task;
mod types;

pub use handle::{DirectWriter, Permit};
pub use progress::Progress;
pub use types::{AcceptError, Accepted, DirectConfig, DuplicateKind, DuplicateRow, Voided, WriterState};
