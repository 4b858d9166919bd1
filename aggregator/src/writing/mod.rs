//! What both writers do alike: the direct one, whose requests wait for their answers, and the one that reads the log.
//!
//! 0. [`decode`]: what comes from the log, or from the journal, as columns
//! 1. [`known`]: is an id new? Recent ids in memory, then a [`filter`] over all ([`load`] fills it); [`lookup`] asks the id
//!    table about "maybe"; [`judge`] decides
//! 2. [`rows`]: what one insert will hold, by reference ([`row`]) to where it came in; [`plans`] says what to extract
//! 3. [`encode`]: extracted, sorted, as columns
//! 4. [`commit`]: `events` first, then `event_ids` (the commit record) together with the small tables, through a [`lane`]
//! 5. [`id_rows`]: id rows for events that an interrupted insert left without
//! 6. [`pressure`]: lingers when the engine's merges fall behind
//!
//! It refuses to decide when to insert, and what to do after a failure: that is where the two writers differ.

pub(crate) mod commit;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod filter;
pub(crate) mod id_rows;
pub(crate) mod judge;
pub(crate) mod known;
pub(crate) mod lane;
pub(crate) mod load;
pub(crate) mod lookup;
pub(crate) mod plans;
pub(crate) mod pressure;
pub(crate) mod row;
pub(crate) mod rows;
