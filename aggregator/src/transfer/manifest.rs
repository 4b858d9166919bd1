//! What an export holds: a file that is replaced whole, so that it never names a file that is not there.

use super::TransferError;
use super::partition::Digest;
use domain::position::Cut;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Of this file.
const FORMAT: u32 = 1;
const NAME: &str = "manifest.json";

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Version of the store's schema.
    pub schema: u32,
    /// Up to where.
    pub cut: Cut,
    /// Whether all files are there.
    pub complete: bool,
    /// In the order in which they are imported.
    pub files: Vec<PartFile>,
}

/// A partition of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartFile {
    /// Table.
    pub table: String,
    /// ClickHouse's partition id.
    pub partition: String,
    /// Columns, in the order of the file.
    pub columns: Vec<String>,
    /// What is in it.
    pub digest: Digest,
}

impl PartFile {
    /// Where it lies.
    pub(super) fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-{}.native.zst", self.table, self.partition))
    }
}

impl Manifest {
    pub(super) fn new(schema: u32, cut: Cut) -> Self {
        Self { format: FORMAT, schema, cut, complete: false, files: Vec::new() }
    }

    /// Rows in all files.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.digest.rows).sum()
    }

    /// The folder's; `None` when it has none.
    ///
    /// # Errors
    /// When it cannot be read as one.
    pub fn read(folder: &Path) -> Result<Option<Self>, TransferError> {
        let path = folder.join(NAME);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(TransferError::file(&path)(fault)),
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| TransferError::folder(&path, format!("is no manifest of an export: {error}")))?;
        if manifest.format != FORMAT {
            let reason =
                format!("has format {}, this program reads {FORMAT}: use the program that wrote it", manifest.format);
            return Err(TransferError::folder(&path, reason));
        }
        Ok(Some(manifest))
    }

    /// Replaces the folder's.
    pub(super) fn write(&self, folder: &Path) -> Result<(), TransferError> {
        let path = folder.join(NAME);
        write_whole(&path, &json(&path, self)?)
    }
}

/// As it stands in a file.
pub(super) fn json(path: &Path, what: &impl Serialize) -> Result<Vec<u8>, TransferError> {
    serde_json::to_vec_pretty(what).map_err(|fault| TransferError::file(path)(fault.into()))
}

/// Writes beside, syncs, renames: the old one or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TransferError> {
    let beside = path.with_extension("new");
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| std::fs::rename(&beside, path)).map_err(TransferError::file(path))
}
