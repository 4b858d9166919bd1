//! Errors of the database by name, and how routes answer them.

use http_api::ApiError;
use sqlx::error::ErrorKind;
use std::time::Duration;

/// What can go wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A unique key is taken.
    #[error("a row with this key exists already ({0})")]
    Unique(String),
    /// A row is referenced, or what it references does not exist.
    #[error("the row is referenced, or references what does not exist ({0})")]
    ForeignKey(String),
    /// The file or directory cannot be written.
    #[error("the database {0} is read-only: give the user who runs tollgate write access to it and to its directory")]
    ReadOnly(String),
    /// No space.
    #[error("the disk that holds the database is full: free some space; nothing of the last write was kept")]
    Full,
    /// Another process holds the lock.
    #[error("the database is locked by another process: wait for it, or stop it")]
    Busy,
    /// Not a database, or damaged.
    #[error("{0} is not a database of tollgate, or is damaged: restore it from a backup ({1})")]
    Corrupt(String, String),
    /// It cannot be reached or opened.
    #[error("the database {0} cannot be opened: {1}")]
    Unavailable(String, String),
    /// The tables were made by a newer tollgate.
    #[error("the tables of '{component}' have version {found}, this tollgate knows {known}: run the newer tollgate")]
    TooNew {
        /// Whose tables.
        component: String,
        /// Version in the database.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// A stored value cannot be read back.
    #[error("a stored {what} cannot be read: {reason}")]
    Unreadable {
        /// Kind of value.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// Anything else.
    #[error("the database failed: {0}")]
    Other(String),
}

impl DatabaseError {
    /// A stored value that does not parse.
    pub fn unreadable(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Unreadable { what, reason: reason.to_string() }
    }

    /// `conflict` when a unique key is taken, else the error as the API tells it.
    #[must_use]
    pub fn or_conflict(self, conflict: ApiError) -> ApiError {
        match self {
            Self::Unique(_) => conflict,
            other => other.into(),
        }
    }
}

/// Whether SQLite could not have a lock.
pub(super) fn is_busy(fault: &sqlx::Error) -> bool {
    let sqlx::Error::Database(fault) = fault else { return false };
    fault.code().and_then(|code| primary_code(&code)).is_some_and(|code| matches!(code, 5 | 6))
}

/// SQLite's extended codes carry the primary code in their low byte; PostgreSQL's are five characters and have none.
fn primary_code(code: &str) -> Option<u32> {
    let sqlite = (code.len() < 5).then_some(code)?;
    sqlite.parse::<u32>().ok().map(|extended| extended & 0xff)
}

impl From<sqlx::Error> for DatabaseError {
    fn from(fault: sqlx::Error) -> Self {
        let fault = match fault {
            sqlx::Error::Database(fault) => fault,
            sqlx::Error::PoolTimedOut => return Self::Busy,
            other => return Self::Other(other.to_string()),
        };
        let message = fault.message().to_string();
        let code = fault.code().unwrap_or_default();
        match fault.kind() {
            ErrorKind::UniqueViolation => return Self::Unique(message),
            ErrorKind::ForeignKeyViolation => return Self::ForeignKey(message),
            _ => {}
        }
        match primary_code(&code) {
            Some(5 | 6) => Self::Busy,
            Some(8) => Self::ReadOnly("file".into()),
            Some(11 | 26) => Self::Corrupt("the file".into(), message),
            Some(13) => Self::Full,
            // A deadlock or a serialization failure: the other one went on, this one may be sent again.
            _ if matches!(code.as_ref(), "40P01" | "40001") => Self::Busy,
            _ if code == "25006" => Self::ReadOnly("server".into()),
            _ if code == "53100" => Self::Full,
            _ => Self::Other(message),
        }
    }
}

impl From<DatabaseError> for ApiError {
    fn from(fault: DatabaseError) -> Self {
        let retry_after = Duration::from_secs(5);
        match &fault {
            DatabaseError::Unique(_) => ApiError::conflict("already_exists", "it exists already").with_cause(fault),
            DatabaseError::ForeignKey(_) => {
                ApiError::conflict("in_use", "it is referenced by others, or references what does not exist")
                    .with_cause(fault)
            }
            DatabaseError::ReadOnly(_) | DatabaseError::Full | DatabaseError::Busy | DatabaseError::Unavailable(..) => {
                ApiError::unavailable(
                    "database_unavailable",
                    "the ledger cannot be written now; nothing was changed",
                    retry_after,
                )
                .with_cause(fault)
            }
            _ => ApiError::internal(fault),
        }
    }
}
