//! The inserts of one group, in the order that makes a crash harmless.
//!
//! 1. key lists not registered before (an event without its list would be read from raw properties: slower, not wrong)
//! 2. `events`
//! 3. `event_ids` (one part, atomic: the commit record), `losers` and `voids`, side by side
//!
//! Each insert returns once the engine has synced it. A loser follows its winner: a crash between 2 and 3 leaves no copy
//! listed whose original is not stored.
//!
//! Groups overlap like on an assembly line: while one is in step 3, the next is in step 2 and a third is being encoded; each step
//! takes one group at a time, in their order. After a failure no later group takes a further step: so the id table never holds a
//! later group while an earlier one lacks (what recovery rests on). Nothing is retried: [`super::recovery`] looks at what is
//! there.

use super::encode::Blocks;
use super::group::Group;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::native::void_block;
use crate::sql;
use bytes::Bytes;
use std::collections::HashSet;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The tables a group goes to.
pub(super) const WRITTEN_TABLES: [&str; 4] = ["events", "event_ids", "losers", "voids"];

/// Encoding fewer events than this takes under a millisecond: not worth another thread.
const ENCODED_AT_ONCE: usize = 1_000;

/// The query id of every insert into a table: always the same, and the engine runs one query of an id at a time. So an insert
/// of an earlier writer that is still running keeps ours out, and recovery can ask whether there is one.
pub(super) fn query_id(connection: &Connection, table: &str) -> String {
    format!("tollgate-writer-{}-{table}", connection.database())
}

/// Why a group is not confirmed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// An earlier group failed; nothing of this one was sent.
    NotTried,
    /// Any part of it may be stored.
    Failed(StoreError),
}

impl From<StoreError> for CommitError {
    fn from(error: StoreError) -> Self {
        CommitError::Failed(error)
    }
}

/// What the group before says when it is through a step; dropped unsaid when it failed there.
struct Before {
    events: oneshot::Receiver<()>,
    records: oneshot::Receiver<()>,
}

/// Starts the commits of groups, one behind the other. Made anew after each recovery.
pub(super) struct Committer {
    connection: Connection,
    last: Option<Before>,
    registered_keys: HashSet<u64>,
}

/// One group on the line.
struct Commit {
    connection: Connection,
    before: Option<Before>,
    events_done: oneshot::Sender<()>,
    records_done: oneshot::Sender<()>,
    new_keys: Vec<(u64, Vec<String>)>,
}

impl Committer {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection, last: None, registered_keys: HashSet::new() }
    }

    /// Sends a group on its way; the handle answers once every row is on disk.
    pub(super) fn start(&mut self, group: Group) -> JoinHandle<Result<(), CommitError>> {
        let (events_done, events) = oneshot::channel();
        let (records_done, records) = oneshot::channel();
        let before = self.last.replace(Before { events, records });
        let new_keys = self.new_keys(&group);
        let commit = Commit { connection: self.connection.clone(), before, events_done, records_done, new_keys };
        tokio::spawn(commit.run(group))
    }

    fn new_keys(&mut self, group: &Group) -> Vec<(u64, Vec<String>)> {
        let keys = group.metrics.iter().map(|metric| (metric.plan.dimensions_of(), metric.plan.dimensions()));
        keys.filter(|(hash, _)| *hash != 0 && self.registered_keys.insert(*hash))
            .map(|(hash, keys)| (hash, keys.to_vec()))
            .collect()
    }
}

impl Commit {
    async fn run(self, group: Group) -> Result<(), CommitError> {
        let Self { connection, before, events_done, records_done, new_keys } = self;
        let started = Instant::now();
        let blocks = encoded(group).await?;
        let (events_before, records_before) = before.map_or((None, None), |one| (Some(one.events), Some(one.records)));
        if !is_through(events_before).await {
            return Err(CommitError::NotTried);
        }
        register(&connection, &new_keys).await?;
        insert(&connection, "events", blocks.events).await?;
        // The group behind may have been given up: nobody listens then.
        let _ = events_done.send(());
        if !is_through(records_before).await {
            return Err(CommitError::Failed(StoreError::Engine("an earlier insert failed".into())));
        }
        let voids = (!blocks.voids.is_empty()).then(|| void_block(&blocks.voids));
        futures::try_join!(
            insert(&connection, "event_ids", blocks.ids),
            insert(&connection, "losers", blocks.losers),
            insert(&connection, "voids", voids),
        )?;
        let _ = records_done.send(());
        if blocks.rows > 0 {
            metrics::histogram!("tollgate_store_commit_seconds").record(started.elapsed());
            // A count as f64 is exact to 2⁵³; the histogram is for operators, not for bills.
            metrics::histogram!("tollgate_store_commit_rows").record(blocks.rows as f64);
        }
        Ok(())
    }
}

/// Whether the group before went through a step; the first group has none before it.
async fn is_through(before: Option<oneshot::Receiver<()>>) -> bool {
    match before {
        Some(signal) => signal.await.is_ok(),
        None => true,
    }
}

async fn encoded(group: Group) -> Result<Blocks, CommitError> {
    if group.rows() < ENCODED_AT_ONCE {
        return Ok(Blocks::of(group));
    }
    match tokio::task::spawn_blocking(move || Blocks::of(group)).await {
        Ok(blocks) => Ok(blocks),
        Err(error) => Err(CommitError::Failed(StoreError::Engine(format!("a group was not encoded: {error}")))),
    }
}

async fn insert(connection: &Connection, table: &str, block: Option<Vec<Bytes>>) -> Result<(), StoreError> {
    match block {
        Some(chunks) => connection.insert_block(table, &query_id(connection, table), chunks).await,
        None => Ok(()),
    }
}

async fn register(connection: &Connection, keys: &[(u64, Vec<String>)]) -> Result<(), StoreError> {
    for (hash, names) in keys {
        let list = names.iter().map(|name| sql::text(name)).collect::<Vec<_>>().join(", ");
        let statement = format!("INSERT INTO dimension_keys SELECT toUInt64({hash}), [{list}]");
        connection.execute(&statement).await?;
    }
    Ok(())
}
