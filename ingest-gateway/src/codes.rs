//! Which metric codes an organization has, as one request sees it: the snapshot at hand, read through when a code is missing.

use crate::state::GatewayState;
use domain::ids::OrganizationId;
use domain::snapshot::{OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use http_api::{Authenticated, SharedClock};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A stream of unknown codes looks for newer ones so often: as often as the snapshot is renewed anyway.
const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// The codes of one organization.
pub(crate) struct CodeBook {
    snapshot: SnapshotCell,
    clock: SharedClock,
    organization: OrganizationId,
    entry: Arc<OrganizationEntry>,
    refreshed_at: Option<Instant>,
}

impl CodeBook {
    pub(crate) fn of(state: &GatewayState, caller: &Authenticated) -> Self {
        Self {
            snapshot: state.auth.snapshot.clone(),
            clock: state.auth.clock.clone(),
            organization: caller.organization,
            entry: caller.entry.clone(),
            refreshed_at: None,
        }
    }

    /// A test of codes that needs nothing else, so that it may move to another thread.
    pub(crate) fn entry(&self) -> Arc<OrganizationEntry> {
        self.entry.clone()
    }

    /// "Now" for the organization: a sandbox's own clock, else the machine's.
    pub(crate) fn now(&self) -> Timestamp {
        self.entry.clock.unwrap_or_else(|| self.clock.now())
    }

    /// Looks for a newer catalog; false when that was done a moment ago and is not worth another look.
    pub(crate) async fn refresh(&mut self) -> bool {
        if self.refreshed_at.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
            return false;
        }
        self.refreshed_at = Some(Instant::now());
        if let Some(entry) = self.snapshot.refreshed().await.organizations.get(&self.organization) {
            self.entry = entry.clone();
        }
        true
    }
}
