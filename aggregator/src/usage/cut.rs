//! Up to where everything accepted is in the store (I3).
//!
//! `event_ids` is written after `events`: whatever its last offset is, all events up to it are there. A void takes an insert
//! number of its own kind, so the last void counts too: one that was confirmed must be inside the next cut. Both tables are
//! partitioned by a key that names the offset, so the answer comes from the parts' metadata.

use crate::connection::Connection;
use crate::error::StoreError;
use clickhouse::Row;
use domain::position::Cut;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Row, Deserialize)]
struct LastOffset {
    epoch: u16,
    partition: u16,
    last: u64,
}

/// The same of the partitions of logs: without direct mode's.
pub(crate) async fn of_logs(connection: &Connection) -> Result<Cut, StoreError> {
    let mut cut = Cut::default();
    for (epoch, partition, offset) in committed(connection).await?.iter().filter(|(epoch, ..)| *epoch > 0) {
        cut.set(epoch, partition, offset);
    }
    Ok(cut)
}

/// The last offset of each partition; a partition without rows is not named.
pub(crate) async fn committed(connection: &Connection) -> Result<Cut, StoreError> {
    let of =
        |table: &str| format!("SELECT epoch, partition, max(offset) AS last FROM {table} GROUP BY epoch, partition");
    let rows: Vec<LastOffset> = connection.fetch_all(&format!("{} UNION ALL {}", of("event_ids"), of("voids"))).await?;
    let mut last: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    for row in rows {
        let greatest = last.entry((row.epoch, row.partition)).or_insert(row.last);
        *greatest = row.last.max(*greatest);
    }
    let mut cut = Cut::default();
    for ((epoch, partition), offset) in last {
        cut.set(epoch, partition, offset);
    }
    Ok(cut)
}
