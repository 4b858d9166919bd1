//! What an interrupted insert left, set right before the next one (I1, I2).
//!
//! `event_ids` is the commit record: one insert is one part of it, all or nothing. Rows of `events` beyond its last offset come
//! from inserts that nobody was answered for. They stay (a client may have given up: the event did happen) and get
//! their id rows, so that the retry finds its ids known. After that the two tables agree, whatever was cut where:
//!
//! | interrupted | events | event_ids | after recovery |
//! |---|---|---|---|
//! | before or in `events` | none or part | – | that part has ids |
//! | before `event_ids` | all | – | all have ids |
//! | before the answer | all | all | nothing to do; the retry is a duplicate |
//!
//! With a journal the last offset of `event_ids` is no sure sign: a replay may have been cut off below it. Then all rows at and beyond the
//! journal's first group are looked at, and those that have no id row get theirs; [`super::replay`] does the rest.
//!
//! First of all it makes sure that no insert of an earlier writer is still running: an insert that lands after recovery
//! looked would store its ids a second time.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::writing::id_rows;
use crate::writing::lane::{Lane, WRITTEN_TABLES, wait_for_direct_inserts};
use clickhouse::Row;
use domain::identity::EventId;
use serde::Deserialize;

/// What the store holds once the tables agree.
#[derive(Debug)]
pub(super) struct Recovered {
    /// The next insert's number.
    pub(super) next_offset: u64,
    /// Ids that got their id row just now.
    pub(super) ids: Vec<EventId>,
}

/// Brings the tables to agreement. `journaled`: the insert number of the oldest group in the journal.
///
/// # Errors
/// Engine errors, and [`StoreError::Corrupt`] for a row whose columns do not fit its id or witness.
pub(super) async fn recover(lane: &Lane, journaled: Option<u64>) -> Result<Recovered, StoreError> {
    let connection = lane.connection();
    wait_for_direct_inserts(connection).await?;
    let beyond = last_offset(connection, "event_ids").await?.map_or(0, |last| last + 1);
    let from = journaled.map_or(beyond, |first| first.min(beyond));
    let ids = id_rows::complete(lane, &without_ids(from)).await?;
    let mut next_offset = 0;
    for table in WRITTEN_TABLES {
        next_offset = next_offset.max(last_offset(connection, table).await?.map_or(0, |last| last + 1));
    }
    // Offset 0 is never given out: a cut at 0 is "before everything".
    Ok(Recovered { next_offset: next_offset.max(1), ids: ids.into_iter().map(|(_, id)| id).collect() })
}

/// Events at and beyond an offset whose ids are not in the id table.
fn without_ids(from: u64) -> String {
    let stretch = format!("epoch = 0 AND partition = 0 AND offset >= {from}");
    format!("{stretch} AND (organization, id) NOT IN (SELECT organization, id FROM event_ids WHERE {stretch})")
}

#[derive(Row, Deserialize)]
struct LastOffset {
    rows: u64,
    last: u64,
}

/// The greatest offset of direct mode in a table; `None` without rows.
async fn last_offset(connection: &Connection, table: &str) -> Result<Option<u64>, StoreError> {
    let statement =
        format!("SELECT count() AS rows, max(offset) AS last FROM {table} WHERE epoch = 0 AND partition = 0");
    let found: LastOffset = connection.fetch_one(&statement).await?;
    Ok((found.rows > 0).then_some(found.last))
}
