//! The log into the store, each event exactly once (I1, I2), in the order of the log, by any number of processes.
//!
//! The path of a record, a file each:
//! 1. `event_log::consumer` reads it; [`crate::writing::decode`]: its lines as columns; a line that cannot be read stays bytes
//! 2. [`task`]: collects records while earlier inserts are on their way; [`group`] judges their lines (is the id new, a copy, or this very
//!    line once more?) with what [`partition`] knows of each partition; [`dead`]: unreadable lines go to their topic
//! 3. [`crate::writing`]: `events` first, then `event_ids` (the commit record) with `losers`, `voids`, `dead_letters`
//! 4. [`offsets`]: then the group's offsets are committed, beside the next insert
//! 5. [`ownership`]: partitions come and go, the store goes and comes; [`recovery`] makes a partition ready, [`claims`] says whose it
//!    is, [`session`] is this writer's standing
//! 6. [`follower`]: one epoch after the other, as the log grows; [`belonging`]: do the group's offsets speak of this store?
//! 7. [`frontier`]: the cut of a billing run; [`reprocess`]: reading again; [`lag`], [`shared`]: what operators see
//!
//! # Why each event is stored once
//! All lines of an id meet in one partition, in order. One writer at a time writes a partition; it knows every id of it (a filter
//! in memory, the id table behind it), so a copy never becomes an event, and a line that is read again is found at its own
//! position. What remains is that no two write one partition, and that a crash leaves nothing half done:
//!
//! | what happens | what makes it harmless |
//! |---|---|
//! | killed before `events` | nothing stored, offsets not committed: read again |
//! | killed in `events` (an insert that spans months is not atomic), or before `event_ids` | recovery gives the rows that are there their ids, at and beyond the floor (an anti-join); the others are read again |
//! | killed before the offsets are committed | read again; every id is found at its own position |
//! | the store fails or hangs | everything unstored stays in memory (one to four groups), fetching pauses, membership goes on; a new session begins with recovery |
//! | an insert times out and goes on in the engine | its session is fenced off and its end is waited for, before recovery looks |
//! | partitions move | what was read is stored and committed before they are let go, or forgotten; the next owner recovers |
//! | a process sleeps (SIGSTOP) past its session and wakes amid an insert | its gate is gone: the engine refuses the insert; one that was under way was waited for |
//! | a broker loses the commit | records are read again |
//! | a line cannot be read | it is in the dead-letter topic and in `dead_letters` before its offset is committed |
//!
//! # The gate
//! Time alone cannot fence: a process that checks its clock may be stopped between the check and the insert. So each session
//! inserts through tables of its own ([`crate::writing::lane`]) that whoever takes over drops first. The engine enters an insert
//! under its query id before it looks for the table: after the drop it is refused, before it is seen and waited for. Claims are
//! written before they are read, so of two that claim at once at least one fences the other off.
//!
//! What this rests on is one engine that sees all inserts. Should rows come in beside it, the scan before each billing run
//! ([`crate::usage`], ids with several rows) finds them, and such series are rated row by row, the first row counts.
//!
//! It refuses to skip a record, to commit an offset before its rows are durable, and to guess at a line.

mod belonging;
mod claims;
mod dead;
mod follower;
mod frontier;
mod group;
mod handle;
mod lag;
mod offsets;
mod ownership;
mod partition;
mod recovery;
mod reprocess;
mod session;
mod shared;
#[doc(hidden)]
pub mod stages;
mod task;
mod types;

pub use follower::{LogFollower, ReadsFrom, reprocess_every_epoch};
pub use frontier::{CutError, LogCuts};
pub use handle::StreamingWriter;
pub use reprocess::{ReprocessFrom, reprocess};
pub use types::{PartitionProgress, Progress, StreamingConfig, StreamingError};
