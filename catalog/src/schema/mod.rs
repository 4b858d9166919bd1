//! The catalog's tables, by version. A migration that was released is never edited: the next one is added.

use crate::database::{Database, DatabaseError};

/// Name under which the versions are kept.
const COMPONENT: &str = "catalog";
const MIGRATIONS: &[&str] = &[
    include_str!("001_catalog.sql"),
    include_str!("002_month_end.sql"),
    include_str!("003_plan_overrides.sql"),
    include_str!("004_unused_advance.sql"),
    include_str!("005_trials.sql"),
    include_str!("006_usage_thresholds.sql"),
];

/// Brings the tables to the newest version.
///
/// # Errors
/// When a migration fails, or the tables are newer than this program.
pub async fn migrate(database: &Database) -> Result<(), DatabaseError> {
    database.migrate(COMPONENT, MIGRATIONS).await
}

/// Looks at the tables without changing any; their version, 0 when there are none.
///
/// # Errors
/// When they are newer than this program, or the database cannot be read.
pub async fn version(database: &Database) -> Result<i64, DatabaseError> {
    database.version_of(COMPONENT, MIGRATIONS).await
}
