//! Why the event store could not answer: one enum at the crate's border.

/// A failed read or administrative step. Writes have [`crate::direct::AcceptError`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine refused or broke off; its own message, which names ClickHouse's error code.
    #[error("event store: {0}")]
    Engine(String),
    /// Nobody answers at the store's address.
    #[error("event store: {0}")]
    Unreachable(String),
    /// What came back is not what was asked for: a schema of another version, or rows changed behind our back.
    #[error("event store answered something unusable: {0}")]
    Corrupt(String),
    /// The schema in the store is newer than this program knows.
    #[error("the event store has schema version {found}, this program knows {known}: start the newer program")]
    SchemaTooNew {
        /// Version in the store.
        found: u32,
        /// Newest version this program knows.
        known: u32,
    },
    /// The journal of the direct writer cannot be used.
    #[error("journal of accepted events: {0}")]
    Journal(String),
    /// The query itself cannot be answered; the text says why.
    #[error("usage query: {0}")]
    BadQuery(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::Journal(error.to_string())
    }
}

impl From<clickhouse::error::Error> for StoreError {
    fn from(error: clickhouse::error::Error) -> Self {
        match &error {
            clickhouse::error::Error::Network(_) => StoreError::Unreachable(error.to_string()),
            _ => StoreError::Engine(error.to_string()),
        }
    }
}
