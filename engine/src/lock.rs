//! One engine per data directory: an exclusive `flock` on a file in it, released by the kernel however its holder ends.
//!
//! The engine has a lock of its own, which it reports as a stack of errors and does not wait for. After a `kill -9` of the
//! whole tree the old engine may need a moment to notice, so the lock is waited for.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::error::EngineError;

const FILE_NAME: &str = "engine.lock";
const RETRY: Duration = Duration::from_millis(50);

/// The lock, held until dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _held: Flock<File>,
}

impl DirectoryLock {
    /// Creates the directory if need be and takes its lock, waiting up to `wait_seconds`.
    ///
    /// # Errors
    /// [`EngineError::DataDirectory`], [`EngineError::DataDirectoryLocked`].
    pub(crate) fn take(data_dir: &Path, wait_seconds: u64) -> Result<Self, EngineError> {
        let unusable = |source| EngineError::DataDirectory { path: data_dir.to_owned(), source };
        std::fs::create_dir_all(data_dir).map_err(unusable)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(data_dir.join(FILE_NAME))
            .map_err(unusable)?;
        let deadline = Instant::now() + Duration::from_secs(wait_seconds);
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(held) => return Ok(Self { _held: held }),
                Err((_, errno)) if errno != nix::errno::Errno::EWOULDBLOCK => {
                    return Err(unusable(errno.into()));
                }
                Err((returned, _)) => file = returned,
            }
            if Instant::now() >= deadline {
                return Err(EngineError::DataDirectoryLocked {
                    path: data_dir.to_owned(),
                    waited_seconds: wait_seconds,
                });
            }
            std::thread::sleep(RETRY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), 0).unwrap();
        let error = DirectoryLock::take(directory.path(), 0).unwrap_err();
        assert!(matches!(error, EngineError::DataDirectoryLocked { .. }));
        drop(first);
        DirectoryLock::take(directory.path(), 0).unwrap();
    }

    #[test]
    fn a_lock_that_is_released_in_time_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), 0).unwrap();
        let waiting = std::thread::spawn({
            let path = directory.path().to_owned();
            move || DirectoryLock::take(&path, 10)
        });
        std::thread::sleep(Duration::from_millis(100));
        drop(first);
        waiting.join().unwrap().unwrap();
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let error = DirectoryLock::take(Path::new("/proc/nothing"), 0).unwrap_err();
        assert!(error.to_string().contains("/proc/nothing"), "{error}");
    }
}
