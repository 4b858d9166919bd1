//! The filter of known ids is filled from the id table when a writer starts: about a second for ten million ids.

use super::known::Filter;
use crate::connection::Connection;
use crate::error::StoreError;
use domain::identity::EventId;
use std::time::Instant;

/// Ids between two lines of progress.
const PROGRESS_EVERY: usize = 10_000_000;

/// The stored ids that meet `condition`.
pub(crate) async fn filter(connection: &Connection, condition: &str) -> Result<Filter, StoreError> {
    let started = Instant::now();
    let total: u64 = connection.fetch_one(&format!("SELECT count() FROM event_ids WHERE {condition}")).await?;
    let total = usize::try_from(total).map_err(|_| StoreError::Corrupt("more ids than memory has addresses".into()))?;
    let mut filter = Filter::with_room_for(total);
    let mut ids = connection.fetch::<u128>(&format!("SELECT id FROM event_ids WHERE {condition}"))?;
    while let Some(id) = ids.next().await? {
        filter.insert(EventId(id));
        if filter.len().is_multiple_of(PROGRESS_EVERY) {
            tracing::info!(loaded = filter.len(), of = total, "loading the filter of known ids");
        }
    }
    tracing::info!(ids = filter.len(), seconds = started.elapsed().as_secs_f32(), "filter of known ids is loaded");
    Ok(filter)
}
