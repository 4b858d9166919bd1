//! The data directory: who may open it, and the small files in it that are ours.
//!
//! | file | what |
//! |---|---|
//! | `tollgate.lock` | held while a process uses the directory; the kernel lets go of it however the process dies |
//! | `admin-secret` | the generated admin secret, mode 0600 |
//! | `running.json` | where the process that holds the lock can be reached, mode 0600; stale without the lock |
//! | `demo.json` | the demo's organization and key, mode 0600 |
//! | `ledger.db` | catalog and invoices (SQLite) |
//! | `engine/` | the event store (ClickHouse) |
//! | `journal.db` | answered events that the event store does not have yet (SQLite) |
//!
//! It refuses a second process, a directory that cannot be written, and one without room, each in one line that says what to
//! do. Every file is written beside its place, synced and renamed, so that `kill -9` at any instant leaves the old one or the
//! new one.

mod files;
mod running;
mod secret;

pub use files::{read_json, write_private};
pub use running::{EngineAccess, Running};
pub use secret::{admin_secret, stored_admin_secret};

use nix::sys::statvfs::statvfs;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Least room to start with: one group commit of the writer (64 MiB), its sorted copy on disk, and the same again for a merge
/// of the ledger's journal. Less, and the first insert fails instead of the start.
const LEAST_FREE_BYTES: u64 = 192 << 20;

/// How long a lock may linger: after `kill -9` of a whole tree the kernel closes its files within milliseconds, but a parent
/// that starts the next process at once can be faster.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// Why a data directory cannot be used; one line each.
#[derive(Debug, thiserror::Error)]
pub enum DataDirectoryError {
    /// Another process has it.
    #[error(
        "data directory {} is in use by another tollgate{}: stop that one first, or name another with --data-dir",
        path.display(),
        holder.as_ref().map_or(String::new(), |running| format!(" (process {}, {})", running.pid, running.url))
    )]
    InUse {
        /// Which.
        path: PathBuf,
        /// What that process wrote about itself.
        holder: Option<Running>,
    },
    /// It cannot be created or written.
    #[error("data directory {}: {fault}: make it a directory this user can write, or name another with --data-dir", path.display())]
    Unusable {
        /// Which file or directory.
        path: PathBuf,
        /// The system's words.
        fault: io::Error,
    },
    /// The disk is full.
    #[error(
        "data directory {}: its disk has {} MiB free, at least {} MiB are needed: free some, or name another with --data-dir",
        path.display(), free >> 20, LEAST_FREE_BYTES >> 20
    )]
    Full {
        /// Which.
        path: PathBuf,
        /// Bytes.
        free: u64,
    },
    /// One of our files in it cannot be read as what it is.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl DataDirectoryError {
    fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |fault| Self::Unusable { path: path.to_path_buf(), fault }
    }
}

/// A data directory that this process alone uses, until it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    _lock: File,
}

impl DataDirectory {
    /// Creates the directory when it is missing and takes its lock.
    ///
    /// # Errors
    /// When another process holds it, or it cannot be written, or its disk is full.
    pub fn open(path: &Path) -> Result<Self, DataDirectoryError> {
        std::fs::create_dir_all(path).map_err(DataDirectoryError::unusable(path))?;
        let path = path.canonicalize().map_err(DataDirectoryError::unusable(path))?;
        let lock_path = path.join("tollgate.lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(DataDirectoryError::unusable(&lock_path))?;
        take_lock(&lock, &path)?;
        require_room(&path, free_bytes(&path)?)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for the process that has this directory, the same at each start, and another one for a copy of the directory.
    ///
    /// # Errors
    /// When the directory cannot be looked at.
    pub fn instance(&self) -> Result<String, DataDirectoryError> {
        use std::os::unix::ffi::OsStrExt;
        use std::os::unix::fs::MetadataExt;
        let unusable = || DataDirectoryError::unusable(&self.path);
        let found = self.path.metadata().map_err(unusable())?;
        let host = nix::unistd::gethostname().map_err(|fault| unusable()(fault.into()))?;
        let mut identity = blake3::Hasher::new();
        for part in [host.as_bytes(), self.path.as_os_str().as_bytes(), &found.dev().to_le_bytes()] {
            identity.update(part).update(&[0]);
        }
        identity.update(&found.ino().to_le_bytes());
        // 64 bits: two of a thousand directories share a name once in 10^13 installations.
        Ok(format!("up-{}", &identity.finalize().to_hex()[..16]))
    }

    /// The journal of answered events.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.db")
    }

    /// The event store's directory.
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.path.join("engine")
    }
}

fn take_lock(lock: &File, path: &Path) -> Result<(), DataDirectoryError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(fault)) => return Err(DataDirectoryError::unusable(path)(fault)),
            Err(TryLockError::WouldBlock) if is_alive(path) || Instant::now() >= deadline => {
                return Err(DataDirectoryError::InUse { path: path.to_path_buf(), holder: Running::read(path).ok() });
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Whether the process that wrote `running.json` answers: then waiting for its lock is of no use.
fn is_alive(path: &Path) -> bool {
    Running::read(path).is_ok_and(|running| Path::new("/proc").join(running.pid.to_string()).exists())
}

/// Room on the file system of a path.
///
/// # Errors
/// When it cannot be looked at.
pub fn free_bytes(path: &Path) -> Result<u64, DataDirectoryError> {
    let stat = statvfs(path).map_err(|fault| DataDirectoryError::unusable(path)(fault.into()))?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

fn require_room(path: &Path, free: u64) -> Result<(), DataDirectoryError> {
    if free >= LEAST_FREE_BYTES {
        return Ok(());
    }
    Err(DataDirectoryError::Full { path: path.to_path_buf(), free })
}

/// Whether [`DataDirectory::open`] would succeed, as far as that can be seen without changing anything.
///
/// # Errors
/// What it would say.
pub fn check(path: &Path) -> Result<(), DataDirectoryError> {
    // The nearest thing that exists decides: everything below it would be made.
    let there = path.ancestors().find(|ancestor| ancestor.exists() || ancestor.as_os_str().is_empty()).unwrap_or(path);
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    if !there.is_dir() {
        return Err(DataDirectoryError::unusable(path)(io::ErrorKind::NotADirectory.into()));
    }
    nix::unistd::access(there, nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK)
        .map_err(|fault| DataDirectoryError::unusable(path)(fault.into()))?;
    require_room(path, free_bytes(there)?)
}

/// Whether some process holds the directory's lock; a directory that does not exist is held by nobody.
///
/// # Errors
/// When the lock file is there and cannot be opened.
pub fn is_held(path: &Path) -> Result<bool, DataDirectoryError> {
    let lock_path = path.join("tollgate.lock");
    let lock = match OpenOptions::new().write(true).open(&lock_path) {
        Ok(lock) => lock,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(fault) => return Err(DataDirectoryError::unusable(&lock_path)(fault)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(fault)) => Err(DataDirectoryError::unusable(&lock_path)(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_opener_is_refused_and_told_whom_to_stop() {
        let directory = tempfile::tempdir().unwrap();
        let first = DataDirectory::open(directory.path()).unwrap();
        let engine = EngineAccess { url: "http://e".into(), user: "u".into(), password: "p".into() };
        Running { pid: std::process::id(), url: "http://127.0.0.1:1".into(), engine }.write(first.path()).unwrap();
        assert!(is_held(directory.path()).unwrap());
        let refused = DataDirectory::open(directory.path()).unwrap_err().to_string();
        assert!(refused.contains("is in use by another tollgate (process"), "{refused}");
        assert!(refused.contains("http://127.0.0.1:1"), "{refused}");
        assert!(!refused.contains('\n'));
        drop(first);
        assert!(!is_held(directory.path()).unwrap());
        DataDirectory::open(directory.path()).unwrap();
    }

    #[test]
    fn its_name_is_the_same_at_each_start_and_not_that_of_another_directory() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let name = |path: &Path| DataDirectory::open(path).unwrap().instance().unwrap();
        assert_eq!(name(one.path()), name(&one.path().join(".")));
        assert_ne!(name(one.path()), name(other.path()));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let in_the_way = directory.path().join("data");
        std::fs::write(&in_the_way, "").unwrap();
        let refused = DataDirectory::open(&in_the_way).unwrap_err().to_string();
        assert!(refused.contains(in_the_way.to_str().unwrap()) && refused.contains("--data-dir"), "{refused}");
    }

    #[test]
    fn a_full_disk_is_told_in_mebibytes() {
        let refused = require_room(Path::new("/data"), 5 << 20).unwrap_err().to_string();
        assert!(refused.contains("has 5 MiB free, at least 192 MiB are needed"), "{refused}");
        require_room(Path::new("/data"), LEAST_FREE_BYTES).unwrap();
    }
}
