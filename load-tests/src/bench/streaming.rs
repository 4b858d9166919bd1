//! A system that streams, for the bench: gateway, aggregator and API as processes of their own, brokers, engine.
//!
//! While it is measured how fast brokers acknowledge, the aggregator is down: its share of two cores is measured by itself, as it
//! drains what was left for it, and both together from end to end.

use crate::audit::settle;
use crate::audit::state::State;
use crate::client::api::Api;
use crate::measure::process::Root;
use crate::system::member::Role;
use crate::system::{Parts, Shape, System};
use anyhow::ensure;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Between two looks at the store; the resolution of what is measured until everything is stored.
const LOOK: Duration = Duration::from_millis(100);
/// A store that does not come to hold what was acknowledged has lost it.
const STORED_WITHIN: Duration = Duration::from_secs(600);

/// The system, and how many events it has acknowledged.
pub(super) struct Streaming {
    pub(super) system: System,
    api: Option<Api>,
    acknowledged: u64,
    // Dropped after the system that writes into it.
    _owned: Option<Owned>,
}

/// A folder of the bench's own: what is measured is printed, nobody needs the events any more.
struct Owned(PathBuf);

impl Drop for Owned {
    fn drop(&mut self) {
        // One that was never made is gone as well.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Streaming {
    /// Starts everything on an empty folder.
    pub(super) async fn start(
        tollgate: &Path,
        kafka: &Path,
        brokers: u8,
        folder: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let temporary = std::env::temp_dir().join(format!("tollgate-bench-{}", std::process::id()));
        let owned = folder.is_none().then(|| Owned(temporary.clone()));
        let folder = folder.map_or(temporary, Path::to_owned);
        let roles = vec![Role::Api, Role::Aggregator, Role::Gateway];
        let shape = Shape { roles, store_apart: true, brokers: Some(brokers), proxies: false };
        let (tollgate, kafka) = (tollgate.to_owned(), kafka.to_owned());
        let system = System::start(&shape, &Parts { tollgate, kafka, folder, seed: 0 }).await?;
        Ok(Self { system, api: None, acknowledged: 0, _owned: owned })
    }

    /// Who asks what is stored.
    pub(super) fn ask_as(&mut self, api: Api) {
        self.api = Some(api);
    }

    pub(super) fn roots(&self) -> anyhow::Result<Vec<Root>> {
        self.system.roots()
    }

    pub(super) fn note_acknowledged(&mut self, events: u64) {
        self.acknowledged += events;
    }

    /// Everything stored, and then no aggregator.
    pub(super) async fn without_aggregator(&mut self, state: &State) -> anyhow::Result<()> {
        self.with_aggregator(state).await?;
        self.system.end(Role::Aggregator).await
    }

    /// An aggregator, and nothing left for it.
    pub(super) async fn with_aggregator(&mut self, state: &State) -> anyhow::Result<()> {
        self.system.recover().await?;
        self.until_stored(state).await
    }

    /// An aggregator that has just begun; answers what is left for it.
    pub(super) async fn aggregator_begins(&mut self, state: &State) -> anyhow::Result<u64> {
        self.system.recover().await?;
        Ok(self.acknowledged.saturating_sub(self.stored(state).await?))
    }

    /// Waits until the store holds everything acknowledged.
    pub(super) async fn until_stored(&self, state: &State) -> anyhow::Result<()> {
        let start = Instant::now();
        while self.stored(state).await? < self.acknowledged {
            ensure!(start.elapsed() < STORED_WITHIN, "the store never came to hold what was acknowledged");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn stored(&self, state: &State) -> anyhow::Result<u64> {
        match &self.api {
            Some(api) => Ok(settle::volume(api, state).await?),
            None => Ok(0),
        }
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.system.stop_in_order().await
    }
}
