//! The scan before a billing run: is there an id with more than one row (I2)?
//!
//! The writer sees to it that there is none; this looks. The id table is sorted by id, so one pass in key order finds
//! neighbours that are equal, with memory for one id. What it finds is written to `doubtful_ids`, and from then on the series of
//! such ids are rated row by row, the first row of each id counts.

use super::types::Verification;
use crate::connection::Connection;
use crate::error::StoreError;

/// Ids with more than one row. Aggregation in key order keeps one id in memory, not all of them.
const REPEATED: &str = "SELECT organization, id FROM event_ids GROUP BY organization, id HAVING count() > 1 \
    SETTINGS optimize_aggregation_in_order = 1";

/// Scans the id table and writes down the rows of repeated ids.
pub(super) async fn unique_ids(connection: &Connection) -> Result<Verification, StoreError> {
    let note = format!(
        "INSERT INTO doubtful_ids SELECT organization, id, series, epoch, partition, offset, line FROM event_ids \
         WHERE (organization, id) IN ({REPEATED})"
    );
    connection.execute(&note).await?;
    let ids: u64 = connection.fetch_one("SELECT count() FROM event_ids").await?;
    let doubtful: u64 = connection.fetch_one("SELECT uniqExact(organization, id) FROM doubtful_ids").await?;
    if doubtful > 0 {
        tracing::error!(ids = doubtful, "ids with several rows: their series are rated row by row");
    }
    Ok(Verification { ids, doubtful })
}
