//! Reading the log again, from an offset or a time on: changes no count, for every line is found in the store at its own position.
//!
//! It sets the group's committed offsets back, for which the brokers want the group to be empty: stop every aggregator, call
//! this, start them again. Billing runs wait until the log is read to its end once more.

use domain::time::Timestamp;
use event_log::KafkaError;
use event_log::frontier::Frontier;
use event_log::settings::KafkaSettings;
use std::collections::BTreeMap;

/// Where reading begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReprocessFrom {
    /// At this offset of every partition; those that are not that far stay where they are.
    Offset(u64),
    /// At the first record that was written to the log at or after this instant.
    Time(Timestamp),
}

/// Sets the group back; answers the next offset to be read of each partition. Never sets it forward: that would leave events out.
///
/// # Errors
/// When the brokers do not answer, or refuse because a reader of the group is still running.
pub async fn reprocess(settings: &KafkaSettings, from: ReprocessFrom) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let frontier = Frontier::new(settings, &settings.group)?;
    let written_below = frontier.written_below().await?;
    let wanted: BTreeMap<u16, u64> = match from {
        ReprocessFrom::Offset(offset) => written_below.keys().map(|partition| (*partition, offset)).collect(),
        ReprocessFrom::Time(time) => frontier.offsets_at(time.0.div_euclid(1_000)).await?,
    };
    let back =
        |(partition, below): (u16, u64)| (partition, wanted.get(&partition).map_or(below, |offset| below.min(*offset)));
    let next: BTreeMap<u16, u64> = written_below.into_iter().map(back).collect();
    frontier.set(next.clone()).await?;
    Ok(next)
}
