//! What a running process tells other commands about itself.

use super::{DataDirectoryError, files};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How to reach the event store's HTTP interface, for tools on this machine.
#[derive(Clone, Serialize, Deserialize)]
pub struct EngineAccess {
    /// `http://127.0.0.1:port`
    pub url: String,
    /// User name.
    pub user: String,
    /// Password; changes with each start of the embedded engine.
    pub password: String,
}

impl std::fmt::Debug for EngineAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EngineAccess({} as {})", self.url, self.user)
    }
}

/// The content of `running.json`. The admin secret is not in it: one that came by environment stays off the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// Base of its HTTP API, reachable from this machine.
    pub url: String,
    /// Its event store.
    pub engine: EngineAccess,
}

fn path_in(directory: &Path) -> PathBuf {
    directory.join("running.json")
}

impl Running {
    /// Writes it, mode 0600.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), DataDirectoryError> {
        // Serializing strings and a number cannot fail.
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        files::write_private(&path_in(directory), &text)
    }

    /// Reads what the last process wrote; only the lock tells whether it still runs.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(directory: &Path) -> Result<Self, DataDirectoryError> {
        files::read_json(&path_in(directory))?.ok_or_else(|| DataDirectoryError::Damaged {
            path: path_in(directory),
            reason: "is missing though the directory is in use; the process there is starting or stopping, try again"
                .into(),
        })
    }

    /// Removes it at a clean end; a file left behind is harmless.
    pub fn remove(directory: &Path) {
        if let Err(fault) = std::fs::remove_file(path_in(directory)) {
            tracing::debug!(%fault, "running.json was not removed");
        }
    }
}
