//! Commits what is stored to the consumer group, beside the writer's own work.
//!
//! Each commit says all there is to say, so only the newest matters. One that fails is tried again; until it goes through, the
//! records would be read again after a crash, which changes nothing (I2).

use event_log::consumer::GroupOffsets;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// After a commit that the brokers refused.
const PAUSE: Duration = Duration::from_secs(1);

/// The last stored offset of each partition, on its way to the brokers.
pub(super) struct Offsets {
    stored: watch::Sender<BTreeMap<u16, u64>>,
    committed: watch::Receiver<BTreeMap<u16, u64>>,
    task: JoinHandle<()>,
}

impl Offsets {
    pub(super) fn start(group: GroupOffsets) -> Self {
        let (stored, from_writer) = watch::channel(BTreeMap::new());
        let (to_writer, committed) = watch::channel(BTreeMap::new());
        let task = tokio::spawn(commit_newest(group, from_writer, to_writer));
        Self { stored, committed, task }
    }

    /// Everything up to and with these offsets is stored.
    pub(super) fn store(&self, last: impl IntoIterator<Item = (u16, u64)>) {
        self.stored.send_modify(|stored| stored.extend(last));
    }

    /// Waits until the brokers have all of it.
    pub(super) async fn settle(&mut self, patience: Duration) {
        let wanted = self.stored.borrow().clone();
        let settled = self.committed.wait_for(|committed| *committed == wanted);
        if tokio::time::timeout(patience, settled).await.is_err() {
            tracing::warn!("offsets are not committed yet; their records may be read again");
        }
    }

    /// Says nothing more of these partitions.
    pub(super) fn forget(&self, partitions: &[u16]) {
        self.stored.send_modify(|stored| stored.retain(|partition, _| !partitions.contains(partition)));
    }
}

impl Drop for Offsets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn commit_newest(
    group: GroupOffsets,
    mut stored: watch::Receiver<BTreeMap<u16, u64>>,
    committed: watch::Sender<BTreeMap<u16, u64>>,
) {
    while stored.changed().await.is_ok() {
        loop {
            let newest = stored.borrow_and_update().clone();
            match group.commit(&newest).await {
                Ok(()) => {
                    committed.send_replace(newest);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "offsets were not committed; trying again");
                    metrics::counter!("tollgate_aggregator_commit_failures_total").increment(1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}
