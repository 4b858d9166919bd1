//! What can go wrong before a statement reaches the engine, each as one line that says what to do.
//!
//! Errors of statements themselves are [`crate::exception::Exception`]: those go to the client, these to an operator.

use std::path::PathBuf;

/// Why the engine cannot be started, reached or kept running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No library at any of the places that were tried.
    #[error(
        "the ClickHouse engine (libchdb.so) was not found; looked at: {}. \
         Run deploy/engine/fetch, or name one with TOLLGATE_ENGINE_LIB",
        list(tried)
    )]
    LibraryNotFound {
        /// Every path that was tried, in order.
        tried: Vec<PathBuf>,
    },
    /// A library was named, and there is no file.
    #[error(
        "the ClickHouse engine library {} cannot be read: {source}. \
         Run deploy/engine/fetch, or correct TOLLGATE_ENGINE_LIB",
        path.display()
    )]
    LibraryUnreadable {
        /// The file that was named or found.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is there and is not a whole libchdb.
    #[error(
        "the ClickHouse engine library {} is corrupt or of another kind: {reason}. \
         Delete it and run deploy/engine/fetch",
        path.display()
    )]
    LibraryCorrupt {
        /// The file that was loaded.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data directory cannot be created or written.
    #[error(
        "the engine cannot use its data directory {}: {source}. \
         Make it writable, free some space, or choose another directory",
        path.display()
    )]
    DataDirectory {
        /// The data directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another engine holds the data directory and did not let go in time.
    #[error(
        "the data directory {} is in use by another engine (waited {waited_seconds} s). \
         Stop that process, or choose another directory",
        path.display()
    )]
    DataDirectoryLocked {
        /// The data directory.
        path: PathBuf,
        /// How long the lock was waited for.
        waited_seconds: u64,
    },
    /// The library loaded, and the engine refused to open the data directory.
    #[error(
        "the ClickHouse engine could not open {}: its own message is above. \
         The directory may be damaged or written by a newer engine",
        path.display()
    )]
    OpenFailed {
        /// The data directory.
        path: PathBuf,
    },
    /// The first statements on a fresh connection failed.
    #[error("the ClickHouse engine does not answer as expected: {0}")]
    Unusable(String),
    /// The address cannot be listened on.
    #[error("the engine cannot listen on {address}: {source}. Choose another address or port")]
    Listen {
        /// The address of the configuration.
        address: std::net::SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A password is required: the engine never serves without one.
    #[error("the engine needs a password of at least 16 characters in TOLLGATE_ENGINE_PASSWORD")]
    PasswordTooShort,
    /// The engine's program could not be started at all.
    #[error("the engine process {} cannot be started: {source}", program.display())]
    Spawn {
        /// The program that was to be run.
        program: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The engine's program ended or stayed silent before it was ready.
    #[error("the engine process did not become ready: {reason}")]
    NotReady {
        /// Its last line on standard error, its exit status, or the time that was waited.
        reason: String,
    },
    /// Threads, signals, pipes: what a healthy system never refuses.
    #[error("the engine cannot use an operating system facility: {0}")]
    System(#[from] std::io::Error),
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    shown.join(", ")
}
