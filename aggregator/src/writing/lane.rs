//! How a writer's inserts reach the tables, and how it can be kept out for good.
//!
//! The direct writer inserts into the tables themselves: a file lock sees to it that it is alone. A writer of the log goes
//! through a *gate*: tables of its own without data whose views hand every row on to `events` and `event_ids`. Whoever takes its
//! partitions over drops the gate. From then on the engine itself refuses what the earlier writer still sends, however long
//! it slept in between; and what was under way before is found by its query id. See [`crate::streaming`].

use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use bytes::Bytes;
use event_log::consumer::{Heard, SESSION};
use std::time::Duration;
use uuid::Uuid;

/// The tables that a writer writes.
pub(crate) const WRITTEN_TABLES: [&str; 5] = ["events", "event_ids", "losers", "voids", "dead_letters"];
/// Those that must never be written by two.
const GATED_TABLES: [&str; 2] = ["events", "event_ids"];
/// An insert of half a million rows takes seconds; one that takes longer than this will not end well.
const INSERT_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at the running inserts.
const STILL_RUNNING_PAUSE: Duration = Duration::from_millis(100);
/// An insert of an earlier writer is left to itself for so long, then cancelled.
const LET_IT_END: Duration = Duration::from_secs(1);

/// A writer's way into the tables; cheap to clone.
#[derive(Clone)]
pub(crate) struct Lane {
    connection: Connection,
    gate: Option<Gate>,
}

#[derive(Clone)]
struct Gate {
    session: Uuid,
    heard: Heard,
}

impl Lane {
    /// Straight into the tables, for a writer that is alone by other means.
    pub(crate) fn direct(connection: Connection) -> Self {
        Self { connection, gate: None }
    }

    /// Through a gate of this session's own, made here.
    pub(crate) async fn through_gate(connection: Connection, session: Uuid, heard: Heard) -> Result<Self, StoreError> {
        for table in GATED_TABLES {
            let gate = sql::identifier(&gate_name(session, table));
            let view = sql::identifier(&view_name(session, table));
            connection.execute(&format!("CREATE TABLE {gate} ENGINE = Null EMPTY AS SELECT * FROM {table}")).await?;
            connection.execute(&format!("CREATE MATERIALIZED VIEW {view} TO {table} AS SELECT * FROM {gate}")).await?;
        }
        Ok(Self { connection, gate: Some(Gate { session, heard }) })
    }

    /// For statements that are no inserts.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Inserts a block; `None` is nothing to insert.
    pub(crate) async fn insert(&self, table: &str, block: Option<Vec<Bytes>>) -> Result<(), StoreError> {
        let Some(chunks) = block else { return Ok(()) };
        let Some(gate) = &self.gate else {
            return self.connection.insert_block(table, &direct_query_id(&self.connection, table), chunks).await;
        };
        let silent_for = gate.heard.silent_for();
        if silent_for >= SESSION {
            // The gate decides; this only spares the attempt.
            return Err(StoreError::Engine(format!("this process stood still for {} s", silent_for.as_secs())));
        }
        let target = if GATED_TABLES.contains(&table) { gate_name(gate.session, table) } else { table.to_owned() };
        let id = query_id(gate.session, table);
        let insert = self.connection.insert_block(&target, &id, chunks);
        within(INSERT_PATIENCE, "an insert", insert).await
    }
}

/// Waits at most `patience`.
pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Engine(format!("no answer to {what} for {} s", patience.as_secs()))),
    }
}

fn gate_name(session: Uuid, table: &str) -> String {
    format!("{table}_via_{}", session.simple())
}

fn view_name(session: Uuid, table: &str) -> String {
    format!("{table}_from_{}", session.simple())
}

/// The query id of every insert of a session into a table: the engine runs one query of an id at a time, so that its end can
/// be waited for.
fn query_id(session: Uuid, table: &str) -> String {
    format!("tollgate-log-{}-{table}", session.simple())
}

/// The same of the direct writer, of which there is one: an insert of an earlier process that is still running keeps ours out.
fn direct_query_id(connection: &Connection, table: &str) -> String {
    format!("tollgate-writer-{}-{table}", connection.database())
}

/// Takes a session's gate away and waits for the end of what came through before. The order matters: an insert is entered
/// under its query id before it looks for its table, so it is either seen here or finds the table gone.
pub(crate) async fn fence_off(connection: &Connection, session: Uuid) -> Result<(), StoreError> {
    for table in GATED_TABLES {
        let gate = sql::identifier(&gate_name(session, table));
        connection.execute(&format!("DROP TABLE IF EXISTS {gate}")).await?;
    }
    wait_for_inserts(connection, |table| query_id(session, table)).await?;
    for table in GATED_TABLES {
        let view = sql::identifier(&view_name(session, table));
        connection.execute(&format!("DROP TABLE IF EXISTS {view}")).await?;
    }
    Ok(())
}

/// Waits until no insert of an earlier direct writer is running.
pub(crate) async fn wait_for_direct_inserts(connection: &Connection) -> Result<(), StoreError> {
    wait_for_inserts(connection, |table| direct_query_id(connection, table)).await
}

async fn wait_for_inserts(connection: &Connection, id_of: impl Fn(&str) -> String) -> Result<(), StoreError> {
    for table in WRITTEN_TABLES {
        let id = id_of(table);
        let mut waited = Duration::ZERO;
        while connection.is_running(&id).await? {
            if waited == LET_IT_END {
                tracing::warn!(table, "an insert of an earlier writer is still running; cancelling it");
                connection.kill(&id).await;
            }
            tokio::time::sleep(STILL_RUNNING_PAUSE).await;
            waited += STILL_RUNNING_PAUSE;
        }
    }
    Ok(())
}
