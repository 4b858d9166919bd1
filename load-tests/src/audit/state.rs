//! What a run leaves behind for later audits: descriptions, outcomes, draws. A few kilobytes for a run without failures.

use super::usage::CustomerUsage;
use super::{rejections, settle};
use crate::client::api::ApiError;
use crate::drive::journal::Outcomes;
use crate::oracle::samples::Sample;
use crate::setup::{Ground, Wanted};
use crate::workload::stream::Stream;
use domain::ids::OrganizationId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Version of the file's form.
pub const FORMAT: u32 = 1;

/// Everything an audit needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// Version of this form.
    pub format: u32,
    /// Base URL.
    pub url: String,
    /// The organization.
    pub organization: OrganizationId,
    /// Key of an organization that the run made for itself; a key that was given is not kept.
    pub key: Option<String>,
    /// Whether nothing else is in the organization.
    pub own_organization: bool,
    /// Prefix of customers.
    pub population: String,
    /// Customers, the probe's not counted.
    pub customers: u32,
    /// The billing period that holds all events.
    pub period: (Timestamp, Timestamp),
    /// First instant of any event.
    pub since: Timestamp,
    /// What was there before.
    pub before: Before,
    /// The streams sent.
    pub runs: Vec<Run>,
    /// Events of the freshness probe.
    pub probe: Probe,
    /// Copies that say something else under a known id, acknowledged: each must be listed as a conflict.
    #[serde(default)]
    pub conflicts: u64,
}

/// Figures from before the first event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Before {
    /// Events in the period, from `since` on.
    pub volume: u64,
    /// Restamped copies.
    pub restamped: u64,
    /// Usage by customer; empty when all were new.
    pub usages: Vec<CustomerUsage>,
}

/// One stream sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What was sent.
    pub stream: Stream,
    /// What became of it.
    pub outcomes: Outcomes,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Draws.
    pub samples: Vec<Sample>,
    /// Events of unknown outcome that were found stored.
    pub resolved: BTreeSet<u64>,
}

/// Events of the freshness probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Prefix of its transaction ids.
    pub prefix: String,
    /// Events answered 2xx.
    pub acknowledged: u64,
    /// Transaction ids of events with unknown outcome.
    pub unknown: Vec<String>,
    /// Those of them that were found stored.
    pub resolved: BTreeSet<String>,
}

impl Probe {
    /// Events that must be stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.acknowledged + self.resolved.len() as u64
    }
}

/// Why a state cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file system refused.
    #[error("{path}: {source}")]
    File {
        /// File.
        path: PathBuf,
        /// Cause.
        source: std::io::Error,
    },
    /// Not a state, or not of this version.
    #[error("{path} is not the state of a run: {reason}")]
    Form {
        /// File.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl State {
    /// The state before the first event.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn begin(url: &str, ground: &Ground, wanted: &Wanted) -> Result<Self, ApiError> {
        let since = Timestamp(Timestamp::now().0 - MICROS_PER_SECOND);
        let mut before = Before { usages: ground.baseline.clone(), ..Before::default() };
        if !ground.own_organization {
            before.volume = settle::volume_between(&ground.api, since, ground.period.1).await?;
            before.restamped = rejections::restamped(&ground.api).await?;
        }
        Ok(Self {
            format: FORMAT,
            url: url.to_owned(),
            organization: ground.organization,
            key: ground.own_organization.then(|| ground.key.clone()),
            own_organization: ground.own_organization,
            population: wanted.population.clone(),
            customers: wanted.customers,
            period: ground.period,
            since,
            before,
            runs: Vec::new(),
            probe: Probe::default(),
            conflicts: 0,
        })
    }

    /// Writes it, readable by the owner alone, for it may hold a key; replaces the file only once all is written.
    ///
    /// # Errors
    /// [`StateError::File`].
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let refused = |source| StateError::File { path: path.to_owned(), source };
        let bytes = serde_json::to_vec(self).map_err(|error| refused(error.into()))?;
        let partial = path.with_extension("partial");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .map_err(refused)?;
        file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(refused)?;
        fs::rename(&partial, path).map_err(refused)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// Any [`StateError`].
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let bytes = fs::read(path).map_err(|source| StateError::File { path: path.to_owned(), source })?;
        let form = |reason: String| StateError::Form { path: path.to_owned(), reason };
        let state: Self = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
        if state.format != FORMAT {
            return Err(form(format!("its form is {}, this program reads {FORMAT}", state.format)));
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_form_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{}").unwrap();
        assert!(matches!(State::read(&path), Err(StateError::Form { .. })));
        assert!(matches!(State::read(&folder.path().join("none")), Err(StateError::File { .. })));
    }
}
