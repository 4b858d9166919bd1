//! Whether the group's offsets speak of this store.
//!
//! The brokers keep how far the group has read, the store keeps what was read (`log_claims`: everything below a floor is in it).
//! When the two part, the store is right: after a data directory was removed or a backup restored, the brokers say that records
//! are stored which this store never had. So before a reader joins an empty group, the group is set back to the store's floors;
//! what is read again that way changes nothing, and is ten seconds of events at most when nothing is wrong.
//!
//! A group that has members is not set back: they write this store, or another one. A store that was never written while somebody
//! reads the log into another one under the same name is refused: each of the two would get half of the events.

use super::claims::Standing;
use super::types::StreamingError;
use crate::connection::Connection;
use event_log::KafkaError;
use event_log::frontier::Frontier;
use event_log::settings::KafkaSettings;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Between two attempts to set the group back.
const PAUSE: Duration = Duration::from_secs(1);

/// Sets the group back to what the store has of this epoch, where the brokers take it to be further.
///
/// # Errors
/// When store or brokers do not answer, or the group reads into another store and still does so after `patience`.
pub(super) async fn agree(
    connection: &Connection,
    epoch: &KafkaSettings,
    frontier: &Frontier,
    patience: Duration,
) -> Result<(), StreamingError> {
    let log = |error: KafkaError| StreamingError::Log(error.to_string());
    let deadline = Instant::now() + patience;
    loop {
        let read = frontier.written_below().await.map_err(log)?;
        let partitions: Vec<u16> = read.keys().copied().collect();
        let standing = Standing::read(connection, epoch.epoch, &partitions).await?;
        let stored: BTreeMap<u16, u64> =
            read.iter().map(|(partition, below)| (*partition, standing.floor(*partition).min(*below))).collect();
        if stored == read {
            return Ok(());
        }
        let Err(refusal) = frontier.set(stored.clone()).await else {
            tracing::info!(topic = epoch.topic, group = epoch.group, from = ?stored, "the log is read from what the store has");
            return Ok(());
        };
        if partitions.iter().any(|partition| standing.newest(*partition) > 0) {
            tracing::debug!(%refusal, "the group has members; they write this store");
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(StreamingError::Log(format!(
                "group '{}' reads topic '{}' into another event store ({refusal}): name another kafka.group for this one",
                epoch.group, epoch.topic
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
