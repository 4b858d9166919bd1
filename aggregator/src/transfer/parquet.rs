//! A month of usage as Parquet files, and such files into a scratch store: what an archive of closed periods is made of.
//!
//! Rows of `events` are spread over files of some million rows by their series, so that what proves one fee lies in few of a month's files. What
//! decides which of these rows count (voids, ids found twice) is written whole beside each month: few rows. A store that these files are loaded into
//! answers questions about usage at any cut that the archive holds; it takes no events and is thrown away.
//!
//! A file whose writing broke off is not taken for whole: Parquet's own end is looked for.

use super::TransferError;
use super::partition::columns;
use super::tables::{Table, named};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::{StoreConfig, sql};
use bytes::BytesMut;
use clickhouse::Row;
use domain::position::Cut;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

/// Rows of one file: 51 bytes each in the store, hence some 200 MB, which a reader must hold.
const ROWS_OF_A_FILE: u64 = 4_000_000;
/// Bytes sent at once.
const CHUNK: usize = 1 << 20;
/// How a finished Parquet file ends.
const MAGIC: &[u8] = b"PAR1";
/// Decide which events count, whatever their month.
const DECIDING: [&str; 2] = ["voids", "doubtful_ids"];

/// One file of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetFile {
    /// In the month's folder.
    pub name: String,
    /// Which table's rows.
    pub table: String,
    /// Rows whose series leaves `part` when divided by `parts`.
    pub part: u32,
    /// How many such files there are.
    pub parts: u32,
}

impl ParquetFile {
    /// Whether it may hold rows of a series.
    #[must_use]
    pub fn may_hold(&self, series: u128) -> bool {
        series % u128::from(self.parts.max(1)) == u128::from(self.part)
    }
}

/// Events of one calendar month of UTC, by their timestamps.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct MonthOfEvents {
    /// As the engine names it: `202601`.
    pub month: String,
    /// How many.
    pub events: u64,
}

/// A store as archives see it.
pub struct ParquetStore {
    connection: Connection,
}

impl ParquetStore {
    /// Over the store that `config` names, whose schema is there.
    #[must_use]
    pub fn new(config: StoreConfig) -> Self {
        Self { connection: Connection::new(config) }
    }

    /// The months that have events inside a cut, in their order.
    ///
    /// # Errors
    /// As the store.
    pub async fn months(&self, cut: &Cut) -> Result<Vec<MonthOfEvents>, StoreError> {
        let statement = format!(
            "SELECT _partition_id AS month, count() AS events FROM events FINAL WHERE {} GROUP BY month ORDER BY month",
            sql::in_cut(cut, "")
        );
        self.connection.fetch_all(&statement).await
    }

    /// Writes a month's rows inside a cut into `folder`.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn write(
        &self,
        month: &MonthOfEvents,
        cut: &Cut,
        folder: &Path,
    ) -> Result<Vec<ParquetFile>, TransferError> {
        let mut files = Vec::new();
        let parts = u32::try_from(month.events.div_ceil(ROWS_OF_A_FILE)).unwrap_or(u32::MAX);
        for part in 0..parts {
            let name = format!("events-{part:04}.parquet");
            let rows = format!("_partition_id = {} AND series % {parts} = {part}", sql::text(&month.month));
            let file = ParquetFile { name, table: "events".to_owned(), part, parts };
            self.write_file(&file, &rows, cut, folder).await?;
            files.push(file);
        }
        for table in DECIDING {
            let file = ParquetFile { name: format!("{table}.parquet"), table: table.to_owned(), part: 0, parts: 1 };
            self.write_file(&file, "1", cut, folder).await?;
            files.push(file);
        }
        Ok(files)
    }

    async fn write_file(&self, file: &ParquetFile, rows: &str, cut: &Cut, folder: &Path) -> Result<(), TransferError> {
        let (table, path) = (table_of(file, folder)?, folder.join(&file.name));
        let merged = if table.replaces { " FINAL" } else { "" };
        let order = if table.name == "events" { " ORDER BY organization, code, series, timestamp, id" } else { "" };
        let statement = format!(
            "SELECT {} FROM {}{merged} WHERE {rows} AND {}{order} SETTINGS output_format_parquet_compression_method = 'zstd'",
            self.listed(table).await?,
            sql::identifier(table.name),
            sql::in_cut(cut, "")
        );
        let mut cursor = self.connection.query(&statement).fetch_bytes("Parquet").map_err(StoreError::from)?;
        let mut end = Vec::new();
        let written = async {
            let mut out = File::create(&path).await?;
            while let Some(bytes) = cursor.next().await.map_err(std::io::Error::other)? {
                out.write_all(&bytes).await?;
                end.extend_from_slice(&bytes[bytes.len().saturating_sub(MAGIC.len())..]);
                end.drain(..end.len().saturating_sub(MAGIC.len()));
            }
            out.sync_all().await
        };
        written.await.map_err(TransferError::file(&path))?;
        if end != MAGIC {
            return Err(TransferError::folder(&path, "is not whole: the store broke off, run the command again"));
        }
        Ok(())
    }

    /// Brings a file's rows into a scratch store.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn load(&self, file: &ParquetFile, folder: &Path) -> Result<(), TransferError> {
        let (table, path) = (table_of(file, folder)?, folder.join(&file.name));
        let (name, listed) = (sql::identifier(table.name), self.listed(table).await?);
        let mut bytes = BufReader::new(File::open(&path).await.map_err(TransferError::file(&path))?);
        let statement = format!("INSERT INTO {name} ({listed}) FORMAT Parquet");
        let mut insert = self.connection.insert_with(statement, &[("max_partitions_per_insert_block", "0")]);
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            if bytes.read_buf(&mut chunk).await.map_err(TransferError::file(&path))? == 0 {
                break;
            }
            insert.send(chunk.freeze()).await.map_err(StoreError::from)?;
        }
        Ok(insert.end().await.map_err(StoreError::from)?)
    }

    /// Makes the loaded events known by their ids, as [`crate::EventStore`] expects. Their contents are not told apart here: copies that lost
    /// are not in an archive of what was billed.
    ///
    /// # Errors
    /// As the store.
    pub async fn index(&self) -> Result<(), StoreError> {
        let columns = "organization, id, code, series, timestamp, epoch, partition, offset, line";
        let settings = "SETTINGS max_partitions_per_insert_block = 0";
        let statement =
            format!("INSERT INTO event_ids ({columns}, content) SELECT {columns}, 0 FROM events FINAL {settings}");
        self.connection.execute(&statement).await
    }

    async fn listed(&self, table: Table) -> Result<String, StoreError> {
        let columns = columns(&self.connection, table).await?;
        Ok(columns.iter().map(|column| sql::identifier(column)).collect::<Vec<_>>().join(", "))
    }
}

fn table_of(file: &ParquetFile, folder: &Path) -> Result<Table, TransferError> {
    let unknown =
        || TransferError::folder(folder, format!("names a table '{}' that this program does not know", file.table));
    named(&file.table).ok_or_else(unknown)
}
