//! The inserts of one group, in the order that makes a crash harmless.
//!
//! 1. key lists not registered before (an event without its list would be read from raw properties: slower, not wrong)
//! 2. `events`
//! 3. `event_ids` (one part, atomic: the commit record), `losers` and `voids`, side by side
//!
//! Each insert returns once the engine has synced it. A loser follows its winner: a crash between 2 and 3 leaves no copy
//! listed whose original is not stored. Nothing here is retried: [`super::recovery`] looks at what is there.

use super::group::Group;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::native::{VoidRow, void_block};
use crate::sql;
use bytes::Bytes;
use std::time::Instant;

/// The tables a group goes to.
pub(super) const WRITTEN_TABLES: [&str; 4] = ["events", "event_ids", "losers", "voids"];

/// The query id of every insert into a table: always the same, and the engine runs one query of an id at a time. So an insert
/// of an earlier writer that is still running keeps ours out, and recovery can ask whether there is one.
pub(super) fn query_id(connection: &Connection, table: &str) -> String {
    format!("tollgate-writer-{}-{table}", connection.database())
}

/// Sends groups; cheap to clone.
#[derive(Clone)]
pub(super) struct Committer {
    connection: Connection,
}

/// The encoded rows of one group.
pub(super) struct Blocks {
    rows: usize,
    dimension_keys: Vec<(u64, Vec<String>)>,
    events: Option<Vec<Bytes>>,
    ids: Option<Vec<Bytes>>,
    losers: Option<Vec<Bytes>>,
    voids: Vec<VoidRow>,
}

impl Blocks {
    /// Encodes a group; `new_keys` are the key lists to register.
    pub(super) fn of(group: Group, new_keys: Vec<(u64, Vec<String>)>) -> Self {
        let rows = group.rows();
        let (events, ids, losers) = (group.events, group.ids, group.losers);
        Self {
            rows,
            dimension_keys: new_keys,
            events: (events.rows() > 0).then(|| events.into_block()),
            ids: (ids.rows() > 0).then(|| ids.into_block()),
            losers: (losers.rows() > 0).then(|| losers.into_block()),
            voids: group.voids,
        }
    }
}

impl Committer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Returns once every row is on disk.
    pub(super) async fn commit(&self, blocks: Blocks) -> Result<(), StoreError> {
        if blocks.rows == 0 {
            return Ok(());
        }
        let started = Instant::now();
        self.register(&blocks.dimension_keys).await?;
        self.insert("events", blocks.events).await?;
        let voids = (!blocks.voids.is_empty()).then(|| void_block(&blocks.voids));
        futures::try_join!(
            self.insert("event_ids", blocks.ids),
            self.insert("losers", blocks.losers),
            self.insert("voids", voids),
        )?;
        metrics::histogram!("tollgate_store_commit_seconds").record(started.elapsed());
        // A count as f64 is exact to 2⁵³; the histogram is for operators, not for bills.
        metrics::histogram!("tollgate_store_commit_rows").record(blocks.rows as f64);
        Ok(())
    }

    async fn insert(&self, table: &str, block: Option<Vec<Bytes>>) -> Result<(), StoreError> {
        let Some(chunks) = block else { return Ok(()) };
        self.connection.insert_block(table, &query_id(&self.connection, table), chunks).await
    }

    async fn register(&self, keys: &[(u64, Vec<String>)]) -> Result<(), StoreError> {
        for (hash, names) in keys {
            let list = names.iter().map(|name| sql::text(name)).collect::<Vec<_>>().join(", ");
            let statement = format!("INSERT INTO dimension_keys SELECT toUInt64({hash}), [{list}]");
            self.connection.execute(&statement).await?;
        }
        Ok(())
    }
}
