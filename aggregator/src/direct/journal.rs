//! The journal: where a group is durable within a fraction of a millisecond, so that the store can take many together.
//!
//! Measured (two cores, fsync on): a group of 200 events costs the engine 12 ms of processor time in `events` and `event_ids`
//! and 18 ms more in merges, whatever is in it: files, not rows. One row of a SQLite database in WAL mode costs 0.2 ms. So groups are
//! appended here, answered, and inserted into the store with those that came meanwhile.
//!
//! One row is one group: its insert number and its events as lines of the log ([`domain::log_line`]), line for position. A row
//! is taken out once the id table holds its events; what is here at a start is replayed ([`super::replay`]). Rows that come back after
//! a power cut do no harm: their ids are found at their own positions.
//!
//! It lies beside the embedded store, under the same lock. For a store on another machine there is none: a 2xx would rest on
//! this machine's disk.

use crate::error::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, SqliteConnection};
use std::path::Path;

/// A group of 200 events of 250 bytes is 50 kB: four pages. Measured: 4 KiB cost the same there and a third more for large groups.
const PAGE_BYTES: u32 = 16 << 10;

/// One group as it was appended.
pub(super) struct JournaledGroup {
    pub(super) offset: u64,
    pub(super) lines: Vec<u8>,
}

/// The open journal; one process, one connection.
pub(super) struct Journal {
    connection: SqliteConnection,
}

impl Journal {
    /// Opens or creates it.
    ///
    /// # Errors
    /// When the file cannot be written, or is no journal.
    pub(super) async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .locking_mode(SqliteLockingMode::Exclusive)
            .disable_statement_logging();
        let open = async {
            let mut connection = options.connect().await?;
            let table = "CREATE TABLE IF NOT EXISTS groups (insert_number INTEGER PRIMARY KEY, lines BLOB NOT NULL)";
            sqlx::query(table).execute(&mut connection).await?;
            Ok(Self { connection })
        };
        open.await.map_err(|fault: sqlx::Error| StoreError::Journal(format!("{}: {fault}", file.display())))
    }

    /// Durable when it returns: synced.
    pub(super) async fn append(&mut self, group: &JournaledGroup) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO groups (insert_number, lines) VALUES (?, ?)")
            .bind(number(group.offset)?)
            .bind(group.lines.as_slice())
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Takes out every group up to and with `offset`: the store has them.
    pub(super) async fn forget(&mut self, offset: u64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM groups WHERE insert_number <= ?")
            .bind(number(offset)?)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// The insert number of the oldest group.
    pub(super) async fn first(&mut self) -> Result<Option<u64>, StoreError> {
        let first: Option<i64> =
            sqlx::query_scalar("SELECT min(insert_number) FROM groups").fetch_one(&mut self.connection).await?;
        first.map(offset).transpose()
    }

    /// The oldest group behind `after`.
    pub(super) async fn next_after(&mut self, after: u64) -> Result<Option<JournaledGroup>, StoreError> {
        let statement =
            "SELECT insert_number, lines FROM groups WHERE insert_number > ? ORDER BY insert_number LIMIT 1";
        let row: Option<(i64, Vec<u8>)> =
            sqlx::query_as(statement).bind(number(after)?).fetch_optional(&mut self.connection).await?;
        let Some((insert_number, lines)) = row else { return Ok(None) };
        Ok(Some(JournaledGroup { offset: offset(insert_number)?, lines }))
    }

    /// Leaves a file without a log beside it.
    pub(super) async fn close(self) {
        if let Err(fault) = self.connection.close().await {
            tracing::warn!(%fault, "the journal was not closed in order; it is read as it is at the next start");
        }
    }
}

fn number(offset: u64) -> Result<i64, StoreError> {
    i64::try_from(offset).map_err(|_| StoreError::Journal(format!("insert number {offset} is beyond 2⁶³")))
}

fn offset(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Journal(format!("insert number {number} is negative")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(offset: u64) -> JournaledGroup {
        JournaledGroup { offset, lines: format!("line {offset}\n").into_bytes() }
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_a_crash_in_order_until_it_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("journal.db");
        let mut journal = Journal::open(&file).await.unwrap();
        assert_eq!(journal.first().await.unwrap(), None);
        for offset in [3, 4, 9] {
            journal.append(&group(offset)).await.unwrap();
        }
        journal.forget(3).await.unwrap();
        // Dropped, not closed: the log beside the file is all that a killed process leaves.
        drop(journal);
        let mut again = Journal::open(&file).await.unwrap();
        assert_eq!(again.first().await.unwrap(), Some(4));
        let next = again.next_after(4).await.unwrap().unwrap();
        assert_eq!((next.offset, next.lines.as_slice()), (9, b"line 9\n".as_slice()));
        assert!(again.next_after(9).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn an_insert_number_is_taken_once_and_a_file_that_is_no_journal_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&directory.path().join("journal.db")).await.unwrap();
        journal.append(&group(1)).await.unwrap();
        assert!(matches!(journal.append(&group(1)).await, Err(StoreError::Journal(_))));
        let other = directory.path().join("other.db");
        std::fs::write(&other, "no database at all, but long enough to be taken for one".repeat(20)).unwrap();
        assert!(matches!(Journal::open(&other).await, Err(StoreError::Journal(_))));
    }
}
