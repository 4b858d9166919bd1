//! A store with a month of events in it, as they were inserted: merges stand still while it is filled.

use super::workload::{BATCH, Workload};
use crate::measure::process::{Meter, Root};
use crate::system::store::Store;
use aggregator::{DirectConfig, DirectWriter, EventStore, StoreConfig};
use anyhow::{Context, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Batches under way at once.
const SENDERS: usize = 8;
/// The only user of `tollgate engine`.
const USER: &str = "default";
/// Until merges of a store come to rest.
const MERGED_WITHIN: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(1);

/// A filled store.
pub(super) struct Ground {
    pub(super) workload: Workload,
    pub(super) store: EventStore,
    pub(super) config: StoreConfig,
    pub(super) events: u64,
    /// Time to write them.
    pub(super) written: Duration,
    /// The engine's process.
    engine: u32,
    http: reqwest::Client,
}

impl Ground {
    /// Writes the events into a database of their own.
    pub(super) async fn fill(engine: &Store, workload: Workload, events: u64) -> anyhow::Result<Self> {
        let config = StoreConfig {
            url: engine.url(),
            user: USER.to_owned(),
            password: engine.password.clone(),
            database: format!("rating_{events}"),
        };
        let store = EventStore::open(config.clone()).await?;
        let pid = engine.engine.pid().context("the engine does not run")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let mut ground = Self { workload, store, config, events, written: Duration::ZERO, engine: pid, http };
        for table in ["events", "event_ids"] {
            ground.statement(&format!("SYSTEM STOP MERGES {}.{table}", ground.config.database)).await?;
        }
        let started = Instant::now();
        ground.write().await?;
        ground.written = started.elapsed();
        Ok(ground)
    }

    async fn write(&self) -> anyhow::Result<()> {
        // Large inserts: what is measured here is rating.
        let limits = DirectConfig { max_group_rows: 400_000, max_bytes: 1 << 30, ..DirectConfig::default() };
        let writer = DirectWriter::start(self.config.clone(), limits, self.workload.snapshot()).await?;
        let (next, batches) = (AtomicU64::new(0), self.events / BATCH);
        let sender = || async {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= batches {
                    return anyhow::Ok(());
                }
                writer.accept(Arc::new(self.workload.batch(number))).await?;
            }
        };
        futures::future::try_join_all((0..SENDERS).map(|_| sender())).await?;
        writer.close().await;
        Ok(())
    }

    /// Lets merges go on, and waits until they have nothing more to do.
    pub(super) async fn merge(&self) -> anyhow::Result<()> {
        for table in ["events", "event_ids"] {
            self.statement(&format!("SYSTEM START MERGES {}.{table}", self.config.database)).await?;
        }
        let under_way = format!("SELECT count() FROM system.merges WHERE database = '{}'", self.config.database);
        let (started, mut quiet) = (Instant::now(), 0);
        // Between two merges none is under way for a moment.
        while quiet < 3 {
            ensure!(started.elapsed() < MERGED_WITHIN, "merges have not come to rest within {MERGED_WITHIN:?}");
            tokio::time::sleep(LOOK).await;
            quiet = if self.statement(&under_way).await?.trim() == "0" { quiet + 1 } else { 0 };
        }
        Ok(())
    }

    /// Parts of the table of events.
    pub(super) async fn parts(&self) -> anyhow::Result<u64> {
        let database = &self.config.database;
        let count =
            format!("SELECT count() FROM system.parts WHERE active AND database = '{database}' AND table = 'events'");
        Ok(self.statement(&count).await?.trim().parse()?)
    }

    /// A meter of the engine's process.
    pub(super) fn meter(&self) -> Meter {
        Meter::new(vec![Root { label: "engine".into(), pid: self.engine }])
    }

    /// A bare statement.
    pub(super) async fn statement(&self, sql: &str) -> anyhow::Result<String> {
        let request = self.http.post(&self.config.url).basic_auth(&self.config.user, Some(&self.config.password));
        let answer = request.body(sql.to_owned()).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "the engine refused {sql}: {text}");
        Ok(text)
    }

    /// Leaves the disk to the next size.
    pub(super) async fn drop_database(self) -> anyhow::Result<()> {
        self.statement(&format!("DROP DATABASE {} SYNC", self.config.database)).await?;
        Ok(())
    }
}
