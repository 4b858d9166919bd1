//! How far the store is behind the log, for operators.

use super::group::Counts;
use super::shared::Shared;
use crate::writing::decode::DecodedRecord;
use domain::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells the age of what was stored just now: the clock of this machine against the producers'.
pub(super) fn note_stored(shared: &Shared, records: &[Arc<DecodedRecord>], counts: &Counts) {
    shared.note_lines(records.len() as u64, counts.lines());
    let now = Timestamp::now();
    for record in records {
        metrics::histogram!("tollgate_aggregator_freshness_seconds").record(age(record.stamped_at, now));
    }
}

/// Publishes the lag every second, for as long as the writer lives.
pub(super) async fn watch(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let progress = shared.progress();
        let now = Timestamp::now();
        let behind = |partition: &&super::types::PartitionProgress| partition.log_end > Some(partition.stored_below);
        let oldest = progress.partitions.values().filter(behind).filter_map(|partition| partition.stored_stamp).min();
        let lag_records = progress.lag_records();
        metrics::gauge!("tollgate_aggregator_consumer_lag_records").set(lag_records as f64);
        // The log counts records; how many lines the unread ones hold is judged by those read last.
        let events = lag_records.saturating_mul(shared.lines_per_record());
        metrics::gauge!("tollgate_aggregator_consumer_lag_events").set(events as f64);
        metrics::gauge!("tollgate_aggregator_consumer_lag_seconds").set(oldest.map_or(0.0, |stamp| age(stamp, now)));
        metrics::gauge!("tollgate_aggregator_partitions").set(progress.partitions.len() as f64);
    }
}

// A duration for a graph; nothing is billed by it.
#[allow(clippy::float_arithmetic)]
fn age(stamp: Timestamp, now: Timestamp) -> f64 {
    now.0.saturating_sub(stamp.0).max(0) as f64 / 1e6
}
