//! What the writer knows of one partition it owns.

use super::claims::Claim;
use crate::writing::known::{Filter, Recent};
use domain::time::Timestamp;

/// A partition that is recovered and may be written.
pub(super) struct Owned {
    pub(super) recent: Recent,
    pub(super) filter: Filter,
    pub(super) claim: Claim,
    /// Every record below this offset is in the store.
    pub(super) stored_below: u64,
    /// When the newest stored record was written to the log.
    pub(super) stored_stamp: Option<Timestamp>,
}

impl Owned {
    pub(super) fn new(filter: Filter, claim: Claim, recent_ids: usize) -> Self {
        // The claim's floor is where reading begins: the group's committed offset.
        Self { recent: Recent::new(recent_ids), filter, claim, stored_below: claim.floor, stored_stamp: None }
    }

    /// The claim with its floor moved to what is stored; `None` when nothing moved.
    pub(super) fn moved_claim(&self) -> Option<Claim> {
        let moved = self.stored_below > self.claim.floor;
        moved.then(|| Claim { step: self.claim.step + 1, floor: self.stored_below, ..self.claim })
    }
}
