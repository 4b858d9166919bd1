//! The event store out to files and into another store: from the embedded engine to a server, say, or to a copy of it.
//!
//! ```text
//! FOLDER/manifest.json              what is in the folder; written anew after each file
//! FOLDER/events-202611.native.zst   one file a table and partition: ClickHouse's Native format, zstd
//! ```
//!
//! An export is of one cut: every row whose position lies in it, however much comes in meanwhile. Rows keep their positions, so fees are proved in the
//! new store at the cuts they were rated at (I3), and copies sent again are known there (I2). Each file stands in the manifest with its rows and
//! a digest that the engine itself computed; an import asks the other engine for the same and believes nothing else.
//!
//! Both go on where they broke off: an export after the last file in its manifest, with the same cut; an import after the last partition that is
//! whole, removing what it had left half done. An import refuses a store that holds other rows in a partition it brings: it never mixes two.
//!
//! Not exported: claims of partitions and schema records, which belong to one store; lists of unread windows.

mod export;
mod import;
mod manifest;
mod parquet;
mod partition;
mod tables;

pub use export::export;
pub use import::{Imported, import};
pub use manifest::{Manifest, PartFile};
pub use parquet::{MonthOfEvents, ParquetFile, ParquetStore};

use crate::error::StoreError;
use std::path::{Path, PathBuf};

/// Why an export or import ended early. What is done stays done.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The store did not answer, or refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{}: {fault}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        fault: std::io::Error,
    },
    /// The folder is not what it should be.
    #[error("{}: {reason}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The other store has rows of its own where the export's belong.
    #[error(
        "{table}, partition {partition}: the store holds {found} rows that are not those of the export ({exported}): import into an empty store"
    )]
    InUse {
        /// Table.
        table: String,
        /// Partition.
        partition: String,
        /// Rows found.
        found: u64,
        /// Rows of the export.
        exported: u64,
    },
    /// What was written is not what was read.
    #[error(
        "{table}, partition {partition}: {written} of {exported} rows are in, or they differ: the file is damaged, export again"
    )]
    Differs {
        /// Table.
        table: String,
        /// Partition.
        partition: String,
        /// Rows in the store now.
        written: u64,
        /// Rows of the export.
        exported: u64,
    },
}

impl TransferError {
    fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |fault| Self::File { path: path.to_path_buf(), fault }
    }

    fn folder(path: &Path, reason: impl Into<String>) -> Self {
        Self::Folder { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// How far it is, after each file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows done.
    pub rows: u64,
    /// Rows in all.
    pub of: u64,
}
