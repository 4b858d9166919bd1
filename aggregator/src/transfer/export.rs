//! Out of a store: partition after partition, each read at the cut and compared with what the engine counts at the same cut.

use super::manifest::{Manifest, PartFile};
use super::partition::{Partition, columns, partitions};
use super::tables::{TABLES, Table};
use super::{Progress, TransferError};
use crate::connection::Connection;
use crate::{EventStore, StoreConfig};
use async_compression::tokio::write::ZstdEncoder;
use domain::position::Cut;
use std::path::Path;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

/// Writes everything up to the committed cut into `folder`, which is empty or holds an export that broke off.
///
/// # Errors
/// See [`TransferError`]; called again it goes on.
pub async fn export(
    config: &StoreConfig,
    folder: &Path,
    mut told: impl FnMut(Progress),
) -> Result<Manifest, TransferError> {
    let store = EventStore::open(config.clone()).await?;
    let connection = Connection::new(config.clone());
    std::fs::create_dir_all(folder).map_err(TransferError::file(folder))?;
    let mut manifest = match Manifest::read(folder)? {
        Some(manifest) if manifest.complete => {
            return Err(TransferError::folder(folder, "holds a complete export already: name another folder"));
        }
        Some(begun) => begun,
        None => Manifest::new(store.schema_version().await?, store.committed_cut().await?),
    };
    let mut progress = Progress { rows: manifest.rows(), of: rows_in_all(&connection).await? };
    told(progress);
    for table in TABLES {
        let columns = columns(&connection, table).await?;
        for id in partitions(&connection, table).await? {
            if manifest.files.iter().any(|file| file.table == table.name && file.partition == id) {
                continue;
            }
            let file = one(&connection, folder, &manifest.cut, (table, &id, &columns)).await?;
            progress.rows += file.digest.rows;
            told(progress);
            manifest.files.push(file);
            manifest.write(folder)?;
        }
    }
    manifest.complete = true;
    manifest.write(folder)?;
    Ok(manifest)
}

async fn rows_in_all(connection: &Connection) -> Result<u64, TransferError> {
    let names = TABLES.map(|table| crate::sql::text(table.name)).join(", ");
    let statement = format!(
        "SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table IN ({names})"
    );
    Ok(connection.fetch_one(&statement).await?)
}

async fn one(
    connection: &Connection,
    folder: &Path,
    cut: &Cut,
    (table, id, columns): (Table, &str, &[String]),
) -> Result<PartFile, TransferError> {
    let partition = Partition { table, id, cut, columns };
    let digest = partition.digest(connection).await?;
    let file = PartFile { table: table.name.to_owned(), partition: id.to_owned(), columns: columns.to_vec(), digest };
    let path = file.path(folder);
    let mut cursor =
        connection.query(&partition.select()).fetch_bytes("Native").map_err(crate::error::StoreError::from)?;
    let written = async {
        let mut packed = ZstdEncoder::new(File::create(&path).await?);
        while let Some(bytes) = cursor.next().await.map_err(std::io::Error::other)? {
            packed.write_all(&bytes).await?;
        }
        packed.shutdown().await?;
        packed.into_inner().sync_all().await
    };
    written.await.map_err(TransferError::file(&path))?;
    Ok(file)
}
