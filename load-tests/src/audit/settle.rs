//! Waits until the store holds as many events as were acknowledged, or time is up.

use super::state::State;
use crate::client::api::{Api, ApiError};
use std::time::{Duration, Instant};

/// Between two looks, at least.
const PAUSE: Duration = Duration::from_millis(200);
/// A look counts every event of the run; it is followed by so many times what it took, or it would hold up what it waits for.
const PAUSE_PER_LOOK: u32 = 4;

/// Waits; answers how long it took, `None` when time ran out.
pub(super) async fn wait(
    api: &Api,
    state: &State,
    acknowledged: u64,
    limit: Duration,
) -> Result<Option<Duration>, ApiError> {
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let seen = volume(api, state).await?.saturating_sub(state.before.volume);
        if seen >= acknowledged {
            return Ok(Some(start.elapsed()));
        }
        if start.elapsed() >= limit {
            return Ok(None);
        }
        tokio::time::sleep((asked.elapsed() * PAUSE_PER_LOOK).max(PAUSE)).await;
    }
}

/// Events of the organization from the first instant of the run to the period's end.
///
/// # Errors
/// Any [`ApiError`].
pub async fn volume(api: &Api, state: &State) -> Result<u64, ApiError> {
    volume_between(api, state.since, state.period.1).await
}

/// Events of the organization between two instants, both included.
///
/// # Errors
/// Any [`ApiError`].
pub async fn volume_between(
    api: &Api,
    from: domain::time::Timestamp,
    to: domain::time::Timestamp,
) -> Result<u64, ApiError> {
    let path = format!("/v1/events/volume?from_timestamp={from}&to_timestamp={to}");
    let body = api.read(&path).await?.body;
    let shape = || ApiError::Shape { path: path.clone(), what: "data_points with counts".to_owned() };
    let points = body["data_points"].as_array().ok_or_else(shape)?;
    points.iter().map(|point| point["count"].as_u64().ok_or_else(shape)).sum()
}
