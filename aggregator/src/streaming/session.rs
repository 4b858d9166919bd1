//! One writer's standing in the store: its gate, and the line of inserts through it. After any failure a new one is made, and the
//! old one is fenced off like a stranger's: what it still has under way can then do no harm.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::writing::commit::Committer;
use crate::writing::lane::Lane;
use event_log::consumer::Heard;
use uuid::Uuid;

pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) lane: Lane,
    pub(super) committer: Committer,
}

impl Session {
    pub(super) async fn open(connection: &Connection, heard: Heard) -> Result<Self, StoreError> {
        let id = Uuid::new_v4();
        let lane = Lane::through_gate(connection.clone(), id, heard).await?;
        Ok(Self { id, committer: Committer::new(lane.clone()), lane })
    }
}
