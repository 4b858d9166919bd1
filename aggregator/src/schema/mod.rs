//! Versioned schema: migrations in order, each once, recorded in `schema_migrations`.
//!
//! A migration is one file of statements that may all be repeated (`IF NOT EXISTS`, `MODIFY SETTING`, `MATERIALIZE INDEX`): a process killed between a statement and
//! its record runs the file again. A written migration is never edited; the next one changes what it made.
//! The same statements run on the embedded engine and on a ClickHouse server.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;

/// Number and statements of each migration, oldest first.
const MIGRATIONS: &[(u32, &str)] = &[
    (1, include_str!("migrations/0001_event_store.sql")),
    (2, include_str!("migrations/0002_log.sql")),
    (3, include_str!("migrations/0003_wide_merges.sql")),
    (4, include_str!("migrations/0004_by_customer.sql")),
    (5, include_str!("migrations/0005_quiet_merges.sql")),
];

const RECORD_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version UInt32) ENGINE = MergeTree \
    ORDER BY version SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// Creates the database and runs what is missing.
///
/// # Errors
/// [`StoreError::SchemaTooNew`] when the store was written by a newer program; engine errors as they are.
pub async fn migrate(connection: &Connection) -> Result<(), StoreError> {
    let create = format!("CREATE DATABASE IF NOT EXISTS {}", sql::identifier(connection.database()));
    connection.execute_outside_database(&create).await?;
    connection.execute(RECORD_TABLE).await?;
    let found: u32 = connection.fetch_one("SELECT max(version) FROM schema_migrations").await?;
    let known = newest();
    if found > known {
        return Err(StoreError::SchemaTooNew { found, known });
    }
    for (version, statements) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        for statement in split(statements) {
            connection.execute(&statement).await?;
        }
        connection.execute(&format!("INSERT INTO schema_migrations SELECT toUInt32({version})")).await?;
        tracing::info!(version, "event store schema migrated");
    }
    Ok(())
}

/// Looks at the schema without changing it: its version, 0 when there is none yet.
///
/// # Errors
/// As [`migrate`].
pub async fn version(connection: &Connection) -> Result<u32, StoreError> {
    let is_there = format!(
        "SELECT toUInt32(count()) FROM system.tables WHERE database = {} AND name = 'schema_migrations'",
        sql::text(connection.database())
    );
    let tables: u32 = connection.fetch_one_outside_database(&is_there).await?;
    if tables == 0 {
        return Ok(0);
    }
    let found: u32 = connection.fetch_one("SELECT max(version) FROM schema_migrations").await?;
    let known = newest();
    if found > known { Err(StoreError::SchemaTooNew { found, known }) } else { Ok(found) }
}

fn newest() -> u32 {
    MIGRATIONS.iter().map(|(version, _)| *version).max().unwrap_or(0)
}

/// Statements without comment lines; none of ours holds a semicolon inside.
fn split(statements: &str) -> Vec<String> {
    let code: Vec<&str> = statements.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n").split(';').map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_from_one_without_gaps_and_can_be_repeated() {
        for (place, (version, statements)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*version as usize, place + 1);
            let repeatable = ["IF NOT EXISTS", "MODIFY SETTING", "MATERIALIZE INDEX"];
            let can_be_repeated = |statement: &String| repeatable.iter().any(|form| statement.contains(form));
            assert!(split(statements).iter().all(can_be_repeated));
        }
    }
}
