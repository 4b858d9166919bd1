//! The inserts of one group of rows, in the order that makes a crash harmless.
//!
//! 1. key lists not registered before (an event without its list would be read from raw properties: slower, not wrong)
//! 2. `events`
//! 3. `event_ids` (the commit record; one part for each partition of the log, atomic), `losers`, `voids`, `dead_letters`, side by side
//!
//! Each insert returns once the engine has synced it. A loser follows its winner: a crash between 2 and 3 leaves no copy
//! listed whose original is not stored.
//!
//! Groups overlap like on an assembly line: while one is in step 3, the next is in step 2 and a third is being encoded; each step
//! takes one group at a time, in their order. After a failure no later group takes a further step: so the id table never holds a
//! later group while an earlier one lacks (what recovery rests on). Nothing is retried here: the writer's recovery looks at
//! what is there.

use super::encode::Blocks;
use super::lane::Lane;
use super::rows::Rows;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use std::collections::HashSet;
use std::time::Instant;
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// Encoding fewer events than this takes under a millisecond: not worth another thread.
const ENCODED_AT_ONCE: usize = 1_000;

/// Why a group is not confirmed.
#[derive(Debug)]
pub(crate) enum CommitError {
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
pub(crate) struct Committer {
    lane: Lane,
    last: Option<Before>,
    registered_keys: HashSet<u64>,
}

/// One group on the line.
struct Commit {
    lane: Lane,
    before: Option<Before>,
    events_done: oneshot::Sender<()>,
    records_done: oneshot::Sender<()>,
    new_keys: Vec<(u64, Vec<String>)>,
}

impl Committer {
    pub(crate) fn new(lane: Lane) -> Self {
        Self { lane, last: None, registered_keys: HashSet::new() }
    }

    /// Sends a group on its way; the handle answers once every row is on disk.
    pub(crate) fn start(&mut self, group: Rows) -> JoinHandle<Result<(), CommitError>> {
        let (events_done, events) = oneshot::channel();
        let (records_done, records) = oneshot::channel();
        let before = self.last.replace(Before { events, records });
        let new_keys = self.new_keys(&group);
        let commit = Commit { lane: self.lane.clone(), before, events_done, records_done, new_keys };
        tokio::spawn(commit.run(group))
    }

    fn new_keys(&mut self, group: &Rows) -> Vec<(u64, Vec<String>)> {
        let keys = group.metrics.iter().map(|metric| (metric.plan.dimensions_of(), metric.plan.dimensions()));
        keys.filter(|(hash, _)| *hash != 0 && self.registered_keys.insert(*hash))
            .map(|(hash, keys)| (hash, keys.to_vec()))
            .collect()
    }
}

impl Commit {
    async fn run(self, group: Rows) -> Result<(), CommitError> {
        let Self { lane, before, events_done, records_done, new_keys } = self;
        let started = Instant::now();
        let blocks = encoded(group).await?;
        let (events_before, records_before) = before.map_or((None, None), |one| (Some(one.events), Some(one.records)));
        if !is_through(events_before).await {
            return Err(CommitError::NotTried);
        }
        register(lane.connection(), &new_keys).await?;
        lane.insert("events", blocks.events).await?;
        // The group behind may have been given up: nobody listens then.
        let _ = events_done.send(());
        if !is_through(records_before).await {
            return Err(CommitError::Failed(StoreError::Engine("an earlier insert failed".into())));
        }
        futures::try_join!(
            lane.insert("event_ids", blocks.ids),
            lane.insert("losers", blocks.losers),
            lane.insert("voids", blocks.voids),
            lane.insert("dead_letters", blocks.dead_letters),
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

async fn encoded(group: Rows) -> Result<Blocks, CommitError> {
    if group.len() < ENCODED_AT_ONCE {
        return Ok(Blocks::of(group));
    }
    match tokio::task::spawn_blocking(move || Blocks::of(group)).await {
        Ok(blocks) => Ok(blocks),
        Err(error) => Err(CommitError::Failed(StoreError::Engine(format!("a group was not encoded: {error}")))),
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

/// The outcome of a commit's task; one that was cut off may have stored anything.
pub(crate) fn joined(result: Result<Result<(), CommitError>, JoinError>) -> Result<(), CommitError> {
    result.unwrap_or_else(|error| {
        Err(CommitError::Failed(StoreError::Engine(format!("the insert was cut off: {error}"))))
    })
}
