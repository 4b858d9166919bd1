//! What the event path knows of the catalog: keys, metric codes, what to extract. At most a second old; a miss reads through.
//!
//! It refuses to hold periods, prices or customers: the gateway must not be able to depend on them.

use crate::catalog::Aggregation;
use crate::ids::{ApiKeyId, MetricId, OrganizationId};
use crate::time::Timestamp;
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// One usable API key.
#[derive(Clone, Debug)]
pub struct KeyEntry {
    /// Which key.
    pub id: ApiKeyId,
    /// Whose.
    pub organization: OrganizationId,
    /// SHA-256 of the whole raw key.
    pub hash: [u8; 32],
    /// Refused from then on.
    pub expires_at: Option<Timestamp>,
    /// Events a second this key may send; absent: no limit.
    pub events_per_second: Option<u32>,
}

/// One metric as the event path sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricEntry {
    /// Which metric.
    pub id: MetricId,
    /// Its newest version.
    pub version: u32,
    /// Decides which form of the value is extracted.
    pub aggregation: Aggregation,
    /// Property to extract.
    pub field_name: Option<String>,
    /// Property names of filters and groups, sorted, without repeats: extracted as the dimensions of each event.
    pub dimensions: Vec<String>,
}

/// One organization as the event path sees it.
#[derive(Clone, Debug, Default)]
pub struct OrganizationEntry {
    /// Events a second it may send; absent: no limit.
    pub events_per_second: Option<u32>,
    /// A sandbox's own clock; absent: the machine's.
    pub clock: Option<Timestamp>,
    /// Metric by code.
    pub metrics: HashMap<String, MetricEntry>,
}

/// A consistent picture of the catalog.
#[derive(Clone, Debug, Default)]
pub struct CatalogSnapshot {
    /// Grows with each change of the catalog.
    pub version: u64,
    /// Usable keys by the first 8 bytes of their hash (big endian); compare the whole hash in constant time.
    pub keys: HashMap<u64, Vec<KeyEntry>>,
    /// Organizations that exist.
    pub organizations: HashMap<OrganizationId, Arc<OrganizationEntry>>,
}

/// Reads the catalog again when it has changed since the current snapshot.
pub type Refresh = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The current snapshot, shared by all who read it; and the way to a newer one.
#[derive(Clone)]
pub struct SnapshotCell {
    current: Arc<ArcSwap<CatalogSnapshot>>,
    refresh: Refresh,
}

impl SnapshotCell {
    /// A cell over storage that the catalog replaces.
    #[must_use]
    pub fn new(current: Arc<ArcSwap<CatalogSnapshot>>, refresh: Refresh) -> Self {
        Self { current, refresh }
    }

    /// A cell that never changes, for tests and tools.
    #[must_use]
    pub fn fixed(snapshot: CatalogSnapshot) -> Self {
        Self::new(Arc::new(ArcSwap::from_pointee(snapshot)), Arc::new(|| Box::pin(async {})))
    }

    /// The newest picture at hand.
    #[must_use]
    pub fn current(&self) -> Arc<CatalogSnapshot> {
        self.current.load_full()
    }

    /// The picture after looking whether the catalog has changed: call it when a key or code is missing. The catalog bounds
    /// how often this reads anything.
    pub async fn refreshed(&self) -> Arc<CatalogSnapshot> {
        (self.refresh)().await;
        self.current()
    }
}
