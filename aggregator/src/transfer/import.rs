//! Into a store: partition after partition, `event_ids` last, each compared afterwards with what the exporting engine counted.

use super::manifest::{Manifest, PartFile, json, write_whole};
use super::partition::Partition;
use super::tables::named;
use super::{Progress, TransferError};
use crate::connection::Connection;
use crate::error::StoreError;
use crate::{EventStore, StoreConfig};
use async_compression::tokio::bufread::ZstdDecoder;
use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, BufReader};

/// Bytes sent at once.
const CHUNK: usize = 1 << 20;

/// Rows come in few, large parts: what comes in blocks of 65,000 would leave hundreds to be merged.
const SETTINGS: [(&str, &str); 6] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("optimize_on_insert", "0"),
    ("max_partitions_per_insert_block", "0"),
    ("min_insert_block_size_rows", "1000000"),
    ("min_insert_block_size_bytes", "268435456"),
];

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows written.
    pub written: u64,
    /// Rows that were in already, whole partitions of them.
    pub known: u64,
}

/// The partition that is being written, kept beside the export: what is in the store of it is ours to remove.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UnderWay {
    store: String,
    table: String,
    partition: String,
}

/// Brings the export in `folder` into the store.
///
/// # Errors
/// See [`TransferError`]; called again it goes on.
pub async fn import(
    config: &StoreConfig,
    folder: &Path,
    mut told: impl FnMut(Progress),
) -> Result<Imported, TransferError> {
    let Some(manifest) = Manifest::read(folder)?.filter(|manifest| manifest.complete) else {
        return Err(TransferError::folder(
            folder,
            "holds no complete export: run `tollgate store export` to its end first",
        ));
    };
    let known = EventStore::open(config.clone()).await?.schema_version().await?;
    if manifest.schema > known {
        return Err(StoreError::SchemaTooNew { found: manifest.schema, known }.into());
    }
    let connection = Connection::new(config.clone());
    let store = identity(&connection).await?;
    let into = Into { connection, folder, manifest: &manifest, store };
    let mut imported = Imported::default();
    for file in &manifest.files {
        if into.bring(file).await? {
            imported.written += file.digest.rows;
        } else {
            imported.known += file.digest.rows;
        }
        told(Progress { rows: imported.written + imported.known, of: manifest.rows() });
    }
    Ok(imported)
}

/// What no other store has: the id its engine gave to a table. An address would not do, the embedded engine has another at each start.
async fn identity(connection: &Connection) -> Result<String, StoreError> {
    let statement =
        "SELECT toString(uuid) FROM system.tables WHERE database = currentDatabase() AND name = 'event_ids'";
    connection.fetch_one(statement).await
}

struct Into<'a> {
    connection: Connection,
    folder: &'a Path,
    manifest: &'a Manifest,
    store: String,
}

impl Into<'_> {
    /// Brings one partition; answers whether it had to be written.
    async fn bring(&self, file: &PartFile) -> Result<bool, TransferError> {
        let Some(table) = named(&file.table) else {
            return Err(TransferError::folder(
                self.folder,
                format!("names a table '{}' that this program does not know", file.table),
            ));
        };
        let partition = Partition { table, id: &file.partition, cut: &self.manifest.cut, columns: &file.columns };
        let under_way = self.under_way(file);
        if Self::read_mark(&self.mark())?.as_ref() == Some(&under_way) {
            partition.drop(&self.connection).await?;
        }
        let found = partition.digest(&self.connection).await?;
        if found == file.digest {
            self.remove_mark()?;
            return Ok(false);
        }
        // Key lists have no position, and are the same wherever they come from.
        let rows = partition.rows(&self.connection).await?;
        if table.positions && rows > 0 {
            let (table, partition) = (file.table.clone(), file.partition.clone());
            return Err(TransferError::InUse { table, partition, found: rows, exported: file.digest.rows });
        }
        write_whole(&self.mark(), &json(&self.mark(), &under_way)?)?;
        self.insert(&partition, &file.path(self.folder)).await?;
        let written = partition.digest(&self.connection).await?;
        let is_whole = if table.positions { written == file.digest } else { written.rows >= file.digest.rows };
        if !is_whole {
            let (table, partition) = (file.table.clone(), file.partition.clone());
            return Err(TransferError::Differs { table, partition, written: written.rows, exported: file.digest.rows });
        }
        self.remove_mark()?;
        Ok(true)
    }

    fn under_way(&self, file: &PartFile) -> UnderWay {
        UnderWay { store: self.store.clone(), table: file.table.clone(), partition: file.partition.clone() }
    }

    fn mark(&self) -> PathBuf {
        self.folder.join("importing.json")
    }

    fn read_mark(path: &Path) -> Result<Option<UnderWay>, TransferError> {
        match std::fs::read(path) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(fault) => Err(TransferError::file(path)(fault)),
        }
    }

    fn remove_mark(&self) -> Result<(), TransferError> {
        match std::fs::remove_file(self.mark()) {
            Err(fault) if fault.kind() != std::io::ErrorKind::NotFound => Err(TransferError::file(&self.mark())(fault)),
            _ => Ok(()),
        }
    }

    async fn insert(&self, partition: &Partition<'_>, path: &Path) -> Result<(), TransferError> {
        let file = File::open(path).await.map_err(TransferError::file(path))?;
        let mut unpacked = ZstdDecoder::new(BufReader::new(file));
        let mut insert = self.connection.insert_with(partition.insert(), &SETTINGS);
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let read = unpacked.read_buf(&mut chunk).await.map_err(TransferError::file(path))?;
            if read == 0 {
                break;
            }
            insert.send(chunk.freeze()).await.map_err(StoreError::from)?;
        }
        insert.end().await.map_err(StoreError::from)?;
        Ok(())
    }
}
