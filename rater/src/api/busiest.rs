//! Which metrics have most events: a card of the dashboard.

use super::subscription_usage::{date, refused};
use super::{RaterState, unanswered};
use aggregator::reads::EventFilter;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::TimeDelta;
use chrono_tz::UTC;
use domain::period::{day_start, local_date};
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, QueryArguments};
use serde::Serialize;
use utoipa::ToSchema;

/// Metrics on the card (contract).
const SHOWN: u64 = 5;
/// Days of a window that names no start (contract).
const DEFAULT_DAYS: i64 = 30;

#[derive(utoipa::OpenApi)]
#[openapi(paths(busiest))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    Router::new().route("/dashboard/usage", get(busiest))
}

/// The busiest metrics.
#[derive(Serialize, ToSchema)]
pub struct UsageMetricsResponse {
    /// Most events first; at most five.
    pub top_metrics: Vec<UsageMetricVolume>,
}

/// How busy a metric is.
#[derive(Serialize, ToSchema)]
pub struct UsageMetricVolume {
    /// Code of its events.
    pub metric_code: String,
    /// Its name; the code again when no metric has it.
    pub metric_name: String,
    /// Events in the window, by their timestamps.
    pub event_count: u64,
}

/// The five metrics with most events between two UTC days, both inclusive; the last 30 days unless dates are sent.
#[utoipa::path(get, path = "/dashboard/usage", tag = "Dashboard", security(("api_key" = [])),
    params(("start_date" = Option<String>, Query), ("end_date" = Option<String>, Query)),
    responses((status = 200, body = UsageMetricsResponse), (status = 401), (status = 422), (status = 503)))]
async fn busiest(
    caller: Authenticated,
    State(state): State<RaterState>,
    query: QueryArguments,
) -> Result<Json<UsageMetricsResponse>, ApiError> {
    let end = date(&query, "end_date")?.unwrap_or_else(|| local_date(UTC, caller.now));
    let start = date(&query, "start_date")?.unwrap_or(end - TimeDelta::days(DEFAULT_DAYS - 1));
    if start > end {
        return Err(refused("end_date", "Input should be no earlier than start_date", &end.to_string()));
    }
    // The store's bounds are inclusive.
    let last = Timestamp(day_start(UTC, end + TimeDelta::days(1)).0 - 1);
    let filter = EventFilter { from: Some(day_start(UTC, start)), to: Some(last), ..EventFilter::default() };
    let found = state.rater.store().busiest_codes(caller.organization, filter, SHOWN).await.map_err(unanswered)?;
    let names = state.catalog.metric_names(caller.organization).await?;
    let volume = |(code, event_count): (String, u64)| UsageMetricVolume {
        metric_name: names.get(&code).cloned().unwrap_or_else(|| code.clone()),
        metric_code: code,
        event_count,
    };
    Ok(Json(UsageMetricsResponse { top_metrics: found.into_iter().map(volume).collect() }))
}
