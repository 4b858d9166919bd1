//! What the event path may know of the catalog, read into one consistent picture.
//!
//! The picture is replaced at once after a write of this process (only the organization that changed is read again) and within
//! a second after a write of another (a counter in the database grows with each). A miss looks before it is a miss, one look at a
//! time and [`LEAST_TIME_BETWEEN_LOOKS`] apart, for all that wait: guessing keys or codes cannot hammer the database.

use crate::columns::Columns;
use crate::database::{Database, DatabaseError, WriteTransaction};
use arc_swap::ArcSwap;
use domain::catalog::Aggregation;
use domain::ids::{MetricId, OrganizationId};
use domain::snapshot::{CatalogSnapshot, KeyEntry, MetricEntry, OrganizationEntry, Refresh, SnapshotCell};
use http_api::auth::key_bucket;
use sqlx::AnyPool;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A look at the counter costs about 50 µs; a flood of misses may cause 50 of them a second, 0.25 % of a core.
pub const LEAST_TIME_BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Twice a second, so that with the reading itself the picture is never older than a second.
pub const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Keeps the picture current.
pub(crate) struct SnapshotKeeper {
    database: Database,
    current: Arc<ArcSwap<CatalogSnapshot>>,
    // When the last look at the counter began; held while looking and reading, so that there is one look at a time.
    last_look: Mutex<Instant>,
}

impl SnapshotKeeper {
    /// Reads the first picture and watches for writes of other processes until the keeper is dropped.
    pub(crate) async fn start(database: Database) -> Result<Arc<Self>, DatabaseError> {
        let first = read_all(database.pool()).await?;
        let current = Arc::new(ArcSwap::from_pointee(first));
        let keeper = Arc::new(Self { database, current, last_look: Mutex::new(Instant::now()) });
        tokio::spawn(watch(Arc::downgrade(&keeper)));
        Ok(keeper)
    }

    /// The cell that the event path reads.
    pub(crate) fn cell(self: &Arc<Self>) -> SnapshotCell {
        let keeper = Arc::downgrade(self);
        let refresh: Refresh = Arc::new(move || {
            let keeper = keeper.clone();
            Box::pin(async move {
                if let Some(keeper) = keeper.upgrade() {
                    keeper.look().await;
                }
            })
        });
        SnapshotCell::new(self.current.clone(), refresh)
    }

    /// Reads again when the counter has moved. The look begins after this was called and at least
    /// [`LEAST_TIME_BETWEEN_LOOKS`] after the one before: who asks sees what was written before it asked, by whomever.
    async fn look(&self) {
        let asked = Instant::now();
        loop {
            let mut last_look = self.last_look.lock().await;
            if *last_look >= asked {
                return;
            }
            let due = *last_look + LEAST_TIME_BETWEEN_LOOKS;
            if due <= Instant::now() {
                *last_look = Instant::now();
                return self.read_now().await;
            }
            // Not under the lock: writes of this process are not to wait for it.
            drop(last_look);
            tokio::time::sleep_until(due).await;
        }
    }

    async fn read_now(&self) {
        if let Err(fault) = self.read_if_changed().await {
            // The old picture stays in force: events go on; readiness shows the ledger's state.
            tracing::warn!(%fault, "the catalog could not be read; the event path goes on with what it knows");
            metrics::counter!("tollgate_catalog_snapshot_failures_total").increment(1);
        }
    }

    async fn read_if_changed(&self) -> Result<(), DatabaseError> {
        if read_version(self.database.pool()).await? != self.current.load().version {
            self.current.store(Arc::new(read_all(self.database.pool()).await?));
        }
        Ok(())
    }

    /// After a write of this process that changed `organization` and moved the counter to `version`.
    pub(crate) async fn changed(&self, organization: OrganizationId, version: u64) -> Result<(), DatabaseError> {
        // Under the same lock as looking: two replacements at once could put the older one last.
        let _one_at_a_time = self.last_look.lock().await;
        let current = self.current.load_full();
        if current.version >= version {
            return Ok(());
        }
        let next = if current.version + 1 == version {
            let mut next = CatalogSnapshot::clone(&current);
            forget(&mut next, organization);
            read_organization(self.database.pool(), organization, &mut next).await?;
            next.version = version;
            next
        } else {
            // Others wrote in between: their changes are not known one by one.
            read_all(self.database.pool()).await?
        };
        self.current.store(Arc::new(next));
        Ok(())
    }
}

async fn watch(keeper: Weak<SnapshotKeeper>) {
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        let Some(keeper) = keeper.upgrade() else { return };
        keeper.look().await;
    }
}

/// Moves the counter; part of each write that the picture shows.
pub(crate) async fn next_version(write: &mut WriteTransaction) -> Result<u64, DatabaseError> {
    let row = sqlx::query("UPDATE catalog_state SET version = version + 1 WHERE only_row = 1 RETURNING version")
        .fetch_one(write.connection())
        .await?;
    u64::try_from(row.integer("version")?).map_err(|fault| DatabaseError::unreadable("version", fault))
}

async fn read_version(pool: &AnyPool) -> Result<u64, DatabaseError> {
    let row = sqlx::query("SELECT version FROM catalog_state WHERE only_row = 1").fetch_one(pool).await?;
    u64::try_from(row.integer("version")?).map_err(|fault| DatabaseError::unreadable("version", fault))
}

/// Only of all organizations, or of one: `$1 = ''` matches all.
const ORGANIZATIONS: &str = "SELECT id, clock, events_per_second FROM organizations WHERE ($1 = '' OR id = $1)";
const KEYS: &str = "SELECT id, organization_id, hash, expires_at, events_per_second FROM api_keys \
     WHERE ($1 = '' OR organization_id = $1) AND status = 'active'";
const METRICS: &str = "SELECT id, organization_id, code, version, aggregation_type, field_name FROM billable_metrics \
     WHERE ($1 = '' OR organization_id = $1)";
const DIMENSIONS: &str = "SELECT metric_id, dimension_key FROM billable_metric_dimensions \
     WHERE ($1 = '' OR organization_id = $1) ORDER BY metric_id, dimension_key";

async fn read_all(pool: &AnyPool) -> Result<CatalogSnapshot, DatabaseError> {
    let mut snapshot = CatalogSnapshot {
        // Read before the rows: a write in between makes the picture newer than its number, so it is read once more.
        version: read_version(pool).await?,
        ..CatalogSnapshot::default()
    };
    read_rows(pool, "", &mut snapshot).await?;
    Ok(snapshot)
}

async fn read_organization(
    pool: &AnyPool,
    organization: OrganizationId,
    into: &mut CatalogSnapshot,
) -> Result<(), DatabaseError> {
    read_rows(pool, &organization.to_string(), into).await
}

async fn read_rows(pool: &AnyPool, scope: &str, into: &mut CatalogSnapshot) -> Result<(), DatabaseError> {
    let mut metrics = read_metrics(pool, scope).await?;
    for row in sqlx::query(ORGANIZATIONS).bind(scope).fetch_all(pool).await? {
        let id: OrganizationId = row.parsed("id")?;
        let entry = OrganizationEntry {
            events_per_second: row.optional_small("events_per_second")?,
            clock: row.optional_instant("clock")?,
            metrics: metrics.remove(&id).unwrap_or_default(),
        };
        into.organizations.insert(id, Arc::new(entry));
    }
    for row in sqlx::query(KEYS).bind(scope).fetch_all(pool).await? {
        let hash = hash_from_hex(&row.text("hash")?)?;
        let key = KeyEntry {
            id: row.parsed("id")?,
            organization: row.parsed("organization_id")?,
            hash,
            expires_at: row.optional_instant("expires_at")?,
            events_per_second: row.optional_small("events_per_second")?,
        };
        into.keys.entry(key_bucket(&hash)).or_default().push(key);
    }
    Ok(())
}

type MetricsByCode = HashMap<String, MetricEntry>;

async fn read_metrics(pool: &AnyPool, scope: &str) -> Result<HashMap<OrganizationId, MetricsByCode>, DatabaseError> {
    let mut dimensions: HashMap<MetricId, Vec<String>> = HashMap::new();
    for row in sqlx::query(DIMENSIONS).bind(scope).fetch_all(pool).await? {
        dimensions.entry(row.parsed("metric_id")?).or_default().push(row.text("dimension_key")?);
    }
    let mut metrics: HashMap<OrganizationId, MetricsByCode> = HashMap::new();
    for row in sqlx::query(METRICS).bind(scope).fetch_all(pool).await? {
        let id: MetricId = row.parsed("id")?;
        let mut keys = dimensions.remove(&id).unwrap_or_default();
        // The database's collation may differ from ours; the store relies on byte order.
        keys.sort_unstable();
        let entry = MetricEntry {
            id,
            version: row.small("version")?,
            aggregation: row.named::<Aggregation>("aggregation_type")?,
            field_name: row.optional_text("field_name")?,
            dimensions: keys,
        };
        metrics.entry(row.parsed("organization_id")?).or_default().insert(row.text("code")?, entry);
    }
    Ok(metrics)
}

fn forget(snapshot: &mut CatalogSnapshot, organization: OrganizationId) {
    snapshot.organizations.remove(&organization);
    snapshot.keys.retain(|_, keys| {
        keys.retain(|key| key.organization != organization);
        !keys.is_empty()
    });
}

/// A key's hash as it is stored.
pub(crate) fn hash_to_hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash_from_hex(text: &str) -> Result<[u8; 32], DatabaseError> {
    let wrong = || DatabaseError::unreadable("hash of an API key", "it is not 64 hexadecimal digits");
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}
