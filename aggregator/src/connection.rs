//! Where the event store is, and the few ways this crate speaks to it: statements, rows, and Native blocks.
//!
//! Queries and inserts go through the `clickhouse` crate. An insert's body is chunked, so one that breaks off is refused
//! by the engine as incomplete instead of being stored in part.

use crate::error::StoreError;
use crate::sql;
use bytes::Bytes;
use clickhouse::insert_formatted::InsertFormatted;
use clickhouse::query::{Query, RowCursor};
use clickhouse::{Client, Compression, RowOwned, RowRead};
use std::fmt;

/// An address of ClickHouse's HTTP interface: the embedded engine's or a server's.
#[derive(Clone)]
pub struct StoreConfig {
    /// `http://host:port`.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password; never logged.
    pub password: String,
    /// Database that holds the tables; created when missing.
    pub database: String,
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreConfig({} as {}, database {})", self.url, self.user, self.database)
    }
}

/// A way to the store; cheap to clone.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    config: StoreConfig,
}

impl Connection {
    /// Opens nothing yet: each statement takes a pooled connection.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        let local = ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| config.url.contains(&format!("//{host}:")));
        // On loopback LZ4 costs more than the copy it saves.
        let compression = if local { Compression::None } else { Compression::Lz4 };
        let client = Client::default()
            .with_url(&config.url)
            .with_user(&config.user)
            .with_password(&config.password)
            .with_setting("max_query_size", MAX_QUERY_SIZE)
            .with_compression(compression);
        Self { client, config }
    }

    /// Name of the database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.config.database
    }

    /// A query in the store's database. The text is sent as it is: `?` has no meaning in it.
    pub fn query(&self, statement: &str) -> Query {
        self.client.clone().with_database(self.database()).query_raw(statement)
    }

    /// The same, for a question so small that setting up a second thread costs more than it saves.
    pub(crate) fn on_one_thread(&self) -> Self {
        Self { client: self.client.clone().with_setting("max_threads", "1"), config: self.config.clone() }
    }

    /// Runs a statement that answers nothing.
    pub async fn execute(&self, statement: &str) -> Result<(), StoreError> {
        Ok(self.query(statement).execute().await?)
    }

    /// Runs a statement before the database exists.
    pub async fn execute_outside_database(&self, statement: &str) -> Result<(), StoreError> {
        Ok(self.client.query_raw(statement).execute().await?)
    }

    /// The one row of a query before the database exists.
    pub async fn fetch_one_outside_database<T: RowOwned + RowRead>(&self, statement: &str) -> Result<T, StoreError> {
        Ok(self.client.query_raw(statement).fetch_one::<T>().await?)
    }

    /// The rows of a query, streamed.
    pub fn fetch<T: RowOwned + RowRead>(&self, statement: &str) -> Result<RowCursor<T>, StoreError> {
        Ok(self.query(statement).fetch::<T>()?)
    }

    /// All rows of a query.
    pub async fn fetch_all<T: RowOwned + RowRead>(&self, statement: &str) -> Result<Vec<T>, StoreError> {
        Ok(self.query(statement).fetch_all::<T>().await?)
    }

    /// The one row of a query.
    pub async fn fetch_one<T: RowOwned + RowRead>(&self, statement: &str) -> Result<T, StoreError> {
        Ok(self.query(statement).fetch_one::<T>().await?)
    }

    /// Whether somebody is at the store's address, whatever they answer.
    ///
    /// # Errors
    /// Why nobody is.
    pub async fn knock(&self) -> Result<(), StoreError> {
        match self.execute_outside_database("SELECT 1").await {
            Err(StoreError::Unreachable(reason)) => Err(StoreError::Unreachable(reason)),
            _ => Ok(()),
        }
    }

    /// Whether a query of this id is running: the engine takes no second one.
    pub async fn is_running(&self, query_id: &str) -> Result<bool, StoreError> {
        match self.query("SELECT 1").with_setting("query_id", query_id).execute().await {
            Ok(()) => Ok(false),
            Err(clickhouse::error::Error::BadResponse(text)) if text.contains(SAME_ID_IS_RUNNING) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks the engine to cancel a query. What cannot be cancelled ends by itself, so a refusal changes nothing.
    pub async fn kill(&self, query_id: &str) {
        let kill = format!("KILL QUERY WHERE query_id = {} ASYNC", sql::text(query_id));
        if let Err(error) = self.execute(&kill).await {
            tracing::debug!(%error, query_id, "query not cancelled");
        }
    }

    /// Inserts one Native block and returns once the engine has synced it to disk.
    ///
    /// # Errors
    /// After an error any part of the block may be stored: see the writers' recovery.
    pub async fn insert_block(&self, table: &str, query_id: &str, chunks: Vec<Bytes>) -> Result<(), StoreError> {
        let statement = format!("INSERT INTO {} FORMAT Native", sql::identifier(table));
        let with_id =
            Self { client: self.client.clone().with_setting("query_id", query_id), config: self.config.clone() };
        let mut insert = with_id.insert_with(statement, INSERT_SETTINGS);
        for chunk in chunks {
            insert.send(chunk).await?;
        }
        Ok(insert.end().await?)
    }
}

impl Connection {
    /// An insert in the store's database whose body is sent piece by piece.
    pub(crate) fn insert_with(&self, statement: String, settings: &[(&str, &str)]) -> InsertFormatted {
        let mut client = self.client.clone().with_database(self.database());
        for (name, value) in settings {
            client = client.with_setting(*name, *value);
        }
        client.insert_formatted_with(statement)
    }
}

/// Lists of ids and windows stand in statements: at most 10,000 of 45 bytes, or 1,000 of 300 bytes. The engine's default of
/// 256 KiB would refuse them; 4 MiB leaves room.
const MAX_QUERY_SIZE: &str = "4194304";

/// ClickHouse's name of error 216.
const SAME_ID_IS_RUNNING: &str = "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING";

/// One insert is one block per partition, as it was sent; repeats are found by id, never by block hash. Nothing is replaced
/// while it is inserted: writers insert an id once, and the look alone is a quarter of the insert's price (1.22 and 0.92 µs).
const INSERT_SETTINGS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("optimize_on_insert", "0"),
    ("max_partitions_per_insert_block", "0"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_block_size", "16777216"),
];
