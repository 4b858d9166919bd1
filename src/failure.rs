//! How a command ends when it does not succeed: one message on standard error and an exit code a script can tell apart.

use crate::client::ApiFailure;
use crate::configuration::ConfigurationError;
use crate::data_directory::DataDirectoryError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It ran, and the answer is no: a fee does not hold, rows were refused, a check failed. Exit code 1, as of `grep` and `diff`.
    #[error("{0}")]
    AnswerIsNo(String),
    /// It could not run. Exit code 2.
    #[error("{0}")]
    Trouble(String),
    /// The configuration is wrong. Exit code 2.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    /// The data directory cannot be used. Exit code 2.
    #[error(transparent)]
    DataDirectory(#[from] DataDirectoryError),
    /// The HTTP API did not do what was asked. Exit code 2.
    #[error(transparent)]
    Api(#[from] ApiFailure),
}

impl Failure {
    /// Trouble, from anything that can be told.
    pub fn trouble(reason: impl std::fmt::Display) -> Self {
        Self::Trouble(reason.to_string())
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::AnswerIsNo(_) => 1,
            Self::Trouble(_) | Self::Configuration(_) | Self::DataDirectory(_) | Self::Api(_) => 2,
        }
    }
}
