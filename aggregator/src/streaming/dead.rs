//! Lines that cannot be read: to the dead-letter topic first, into the store with their record, and only then is the record done.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::writing::decode::DecodedRecord;
use clickhouse::Row;
use event_log::dead_letters::{DeadLetter, DeadLetters};
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Row, Deserialize, PartialEq, Eq, Hash)]
struct Place {
    partition: u16,
    offset: u64,
    line: u32,
}

/// Publishes the dead lines of `records`, but for those that the store has: a log that is read again buries nothing twice.
///
/// # Errors
/// When the store or the brokers do not answer: then the records are not done.
pub(super) async fn publish(
    connection: &Connection,
    letters: &DeadLetters,
    epoch: u16,
    records: &[Arc<DecodedRecord>],
) -> Result<(), StoreError> {
    let with_dead: Vec<&Arc<DecodedRecord>> = records.iter().filter(|record| !record.dead.is_empty()).collect();
    if with_dead.is_empty() {
        return Ok(());
    }
    let known = known(connection, epoch, &with_dead).await?;
    for record in with_dead {
        for dead in &record.dead {
            let place = Place { partition: record.partition, offset: record.offset, line: dead.line };
            if known.contains(&place) {
                continue;
            }
            let Place { partition, offset, line } = place;
            tracing::warn!(partition, offset, line, reason = dead.reason, "a line of the log cannot be read");
            let letter = DeadLetter { partition, offset, line, reason: &dead.reason, bytes: &dead.bytes };
            let published = letters.publish(letter).await;
            published
                .map_err(|error| StoreError::Engine(format!("the dead-letter topic does not take a line: {error}")))?;
        }
    }
    Ok(())
}

async fn known(
    connection: &Connection,
    epoch: u16,
    records: &[&Arc<DecodedRecord>],
) -> Result<HashSet<Place>, StoreError> {
    let places = records.iter().map(|record| format!("({}, {})", record.partition, record.offset));
    let statement = format!(
        "SELECT DISTINCT partition, offset, line FROM dead_letters WHERE epoch = {epoch} AND (partition, offset) IN ({})",
        places.collect::<Vec<_>>().join(", ")
    );
    Ok(connection.fetch_all(&statement).await?.into_iter().collect())
}
