//! How far a file has been acknowledged, kept in a small file so that an import that broke off goes on from there.
//!
//! The position is a convenience, never the truth: ids make sending again harmless. So a position that does not fit the file or
//! the options is dropped, and the import begins at the first row. Whether it fits is seen from a running hash of the rows
//! before it: a file that was replaced under the same name must not lose its first rows.

use crate::data_directory::{DataDirectoryError, read_json, write_private};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What became of the rows so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Rows read.
    pub rows: u64,
    /// Events the server took as new.
    pub ingested: u64,
    /// Events the server knew already.
    pub duplicates: u64,
    /// Events the server refused.
    pub rejected: u64,
    /// Rows that are no event and were not sent.
    pub unusable: u64,
}

/// The saved state of one file's import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Digest of the options; another import's position is of no use.
    pub import: String,
    /// Running hash of the rows before it.
    pub chain: u64,
    /// What became of them.
    pub totals: Totals,
}

/// The running hash with one more row.
pub(super) fn chained(chain: u64, row: &super::event::Prepared) -> u64 {
    let (kind, text) = match &row.event {
        Ok(event) => (1, event),
        Err(reason) => (2, reason),
    };
    xxh3_64_with_seed(text.as_bytes(), chain.wrapping_mul(31).wrapping_add(kind))
}

/// Where the position of `file` is kept.
pub(super) fn path_for(file: &Path, directory: Option<&Path>) -> PathBuf {
    let mut name = file.file_name().unwrap_or(file.as_os_str()).to_owned();
    name.push(".import-position.json");
    directory.or(file.parent()).map_or_else(|| PathBuf::from(&name), |parent| parent.join(&name))
}

/// The saved position when it belongs to this import.
pub(super) fn load(path: &Path, import: &str) -> Result<Option<Position>, DataDirectoryError> {
    Ok(read_json::<Position>(path)?.filter(|position| position.import == import))
}

/// Replaces the saved position.
pub(super) fn save(path: &Path, position: &Position) -> Result<(), DataDirectoryError> {
    // Serializing texts and numbers cannot fail.
    write_private(path, &serde_json::to_vec(position).unwrap_or_default())
}
