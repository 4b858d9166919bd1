//! Merge pressure: each insert makes parts, the engine merges them in the background, and when it falls behind, reads slow
//! down long before inserts are refused (`parts_to_throw_insert`, 3,000). The writer then makes fewer, larger inserts: a
//! small group waits a little for company.

use crate::connection::Connection;
use crate::error::StoreError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to this many active parts of one table nobody waits.
const CALM_PARTS: u64 = 150;
/// Each part beyond costs a group this long: at 400 parts a group waits 125 ms, eight commits a second.
const MICROS_PER_PART: u64 = 500;
/// Never longer: an answer within a second at any pressure.
const LONGEST_LINGER: u64 = 500_000;
/// Between two looks at the part counts.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a small group waits for company.
#[derive(Default)]
pub(crate) struct Pressure {
    linger_micros: AtomicU64,
}

impl Pressure {
    pub(crate) fn linger(&self) -> Duration {
        Duration::from_micros(self.linger_micros.load(Ordering::Relaxed))
    }

    fn set(&self, parts: u64) {
        let micros = parts.saturating_sub(CALM_PARTS).saturating_mul(MICROS_PER_PART).min(LONGEST_LINGER);
        self.linger_micros.store(micros, Ordering::Relaxed);
    }

    /// Looks at the part counts every second, for as long as the writer lives.
    pub(crate) async fn watch(&self, connection: Connection) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match fullest_partition(&connection).await {
                Ok(parts) => {
                    self.set(parts);
                    metrics::gauge!("tollgate_store_parts").set(parts as f64);
                }
                // The writer itself meets and reports a store that does not answer.
                Err(error) => tracing::debug!(%error, "part counts not read"),
            }
        }
    }
}

/// Active parts of the fullest partition of the tables on the event path: merges work per partition.
async fn fullest_partition(connection: &Connection) -> Result<u64, StoreError> {
    let statement = "SELECT max(parts) FROM (SELECT count() AS parts FROM system.parts \
        WHERE active AND database = currentDatabase() AND table IN ('events', 'event_ids') GROUP BY table, partition_id)";
    connection.fetch_one(statement).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_while_merges_keep_up_and_nobody_waits_longer_than_half_a_second() {
        let pressure = Pressure::default();
        let waits = [0, 150, 400, 5000].map(|parts| {
            pressure.set(parts);
            pressure.linger().as_millis()
        });
        assert_eq!(waits, [0, 0, 125, 500]);
    }
}
