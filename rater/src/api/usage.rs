//! What the usage of a running or finished period comes to, at this instant's cut.
//!
//! Reads only what one customer depends on, however many subscriptions there are.

use super::wire::{ChargeUsageRecord, UsageRecord, sum_of};
use super::{RaterState, unanswered};
use crate::rated::{RatedItem, RatingItem};
use crate::view::RatingView;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use catalog::BillingScope;
use domain::catalog::{Subscription, SubscriptionStatus};
use domain::period::Period;
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, PathArguments, QueryArguments};
use std::sync::Arc;

/// Ten years of months: each is rated anew.
const MOST_PERIODS: i64 = 120;

#[derive(utoipa::OpenApi)]
#[openapi(paths(current, projected, past))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    Router::new()
        .route("/v1/customers/{external_id}/current_usage", get(current))
        .route("/v1/customers/{external_id}/projected_usage", get(projected))
        .route("/v1/customers/{external_id}/past_usage", get(past))
}

/// Usage of the running period of one subscription, named by its external id.
#[utoipa::path(get, path = "/v1/customers/{external_id}/current_usage", tag = "Customers", security(("api_key" = [])),
    params(("external_id" = String, Path), ("subscription_id" = String, Query)),
    responses((status = 200, body = UsageRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn current(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<UsageRecord>, ApiError> {
    let (view, subscription) = subscribed(&state, &caller, &path, query.required("subscription_id")?).await?;
    let period = period_at(&view, &subscription, caller.now)?;
    let mut records = records(&state, &view, &subscription, vec![period]).await?;
    records.pop().map(Json).ok_or_else(|| ApiError::internal("one period was asked for and none was answered"))
}

/// What the running period of one subscription will come to if usage goes on as it has: sums and counts grow in proportion to
/// time, levels stay, and what comes of that is priced by the charges' own prices.
#[utoipa::path(get, path = "/v1/customers/{external_id}/projected_usage", tag = "Customers", security(("api_key" = [])),
    params(("external_id" = String, Path), ("subscription_id" = String, Query)),
    responses((status = 200, body = UsageRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn projected(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<UsageRecord>, ApiError> {
    let (view, subscription) = subscribed(&state, &caller, &path, query.required("subscription_id")?).await?;
    let period = period_at(&view, &subscription, caller.now)?;
    let rated = rate_periods(&state, &view, &subscription, vec![period]).await?;
    let rated = rated.into_iter().next().ok_or_else(|| ApiError::internal("one period gave no answer"))?;
    let projected = crate::projection::projected(&rated, caller.now)
        .map_err(|problem| ApiError::unprocessable("not_ratable", problem.to_string()))?;
    record(projected).map(Json)
}

/// Usage of the last finished periods of one subscription, newest first.
#[utoipa::path(get, path = "/v1/customers/{external_id}/past_usage", tag = "Customers", security(("api_key" = [])),
    params(("external_id" = String, Path), ("external_subscription_id" = String, Query),
        ("periods_count" = Option<i64>, Query)),
    responses((status = 200, body = [UsageRecord]), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn past(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<Vec<UsageRecord>>, ApiError> {
    let count = query.integer("periods_count", 1, MOST_PERIODS)?.unwrap_or(1);
    let name = query.required("external_subscription_id")?;
    let (view, subscription) = subscribed(&state, &caller, &path, name).await?;
    let periods = finished_periods(&view, &subscription, caller.now, count)?;
    Ok(Json(records(&state, &view, &subscription, periods).await?))
}

/// The customer's subscription of that external id: the running one, else the newest.
async fn subscribed(
    state: &RaterState,
    caller: &Authenticated,
    path: &PathArguments,
    name: &str,
) -> Result<(Arc<RatingView>, Subscription), ApiError> {
    let customer = state.catalog.customer_named(caller.organization, path.text("external_id")?).await?;
    let customer = customer.ok_or_else(|| ApiError::not_found("Customer"))?;
    let view = state.view(BillingScope::Customer(caller.organization, customer)).await?;
    let running = |subscription: &&Subscription| {
        matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::Paused)
    };
    let of_name = || view.of_customer(customer).filter(|subscription| subscription.external_id == name);
    let found = of_name().find(running).or_else(|| of_name().last()).cloned();
    let subscription = found.ok_or_else(|| ApiError::not_found("Subscription"))?;
    Ok((view, subscription))
}

fn calendar(view: &RatingView, subscription: &Subscription) -> Result<domain::period::BillingCalendar, ApiError> {
    let calendar = view.usage_calendar(subscription)?;
    calendar.ok_or_else(|| ApiError::bad_request("subscription_not_started", "the subscription has not started yet"))
}

/// The period of `now`; of a subscription that ended, its last one.
pub(super) fn period_at(view: &RatingView, subscription: &Subscription, now: Timestamp) -> Result<Period, ApiError> {
    let last_instant = subscription.ended_at.map_or(now, |ended_at| now.min(Timestamp(ended_at.0 - 1)));
    let instant = subscription.started_at.map_or(last_instant, |started_at| last_instant.max(started_at));
    Ok(calendar(view, subscription)?.period_containing(instant))
}

/// Up to `count` periods before the running one, newest first, none before the subscription began.
fn finished_periods(
    view: &RatingView,
    subscription: &Subscription,
    now: Timestamp,
    count: i64,
) -> Result<Vec<Period>, ApiError> {
    let calendar = calendar(view, subscription)?;
    let started_at = subscription.started_at.unwrap_or(now);
    let mut period = period_at(view, subscription, now)?;
    let mut periods = Vec::new();
    // A subscription that ended has no running period: its last one is finished too.
    if subscription.ended_at.is_some_and(|ended_at| ended_at <= now) {
        periods.push(period);
    }
    while i64::try_from(periods.len()).is_ok_and(|found| found < count) && period.start > started_at {
        period = calendar.previous(&period);
        periods.push(period);
    }
    Ok(periods)
}

async fn records(
    state: &RaterState,
    view: &Arc<RatingView>,
    subscription: &Subscription,
    periods: Vec<Period>,
) -> Result<Vec<UsageRecord>, ApiError> {
    rate_periods(state, view, subscription, periods).await?.into_iter().map(record).collect()
}

/// Rates periods of one subscription at this instant's cut.
pub(super) async fn rate_periods(
    state: &RaterState,
    view: &Arc<RatingView>,
    subscription: &Subscription,
    periods: Vec<Period>,
) -> Result<Vec<RatedItem>, ApiError> {
    let items: Vec<RatingItem> = periods.into_iter().map(|period| stretch_of(subscription, period)).collect();
    let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
    Ok(state.rater.rate(view, items, &cut).await?)
}

/// The part of a period in which the subscription lives.
pub(super) fn stretch_of(subscription: &Subscription, period: Period) -> RatingItem {
    let (from, to) =
        period.clipped(subscription.started_at, subscription.ended_at).unwrap_or((period.start, period.start));
    let minimum_share = period.proration(from, to);
    RatingItem { subscription: subscription.id, period, from, to, minimum_share }
}

fn record(rated: RatedItem) -> Result<UsageRecord, ApiError> {
    let currency = rated.plan.as_ref().map(|plan| plan.plan.currency.to_string()).unwrap_or_default();
    let charges = rated.fees.map_err(|problem| ApiError::unprocessable("not_ratable", problem.to_string()))?;
    let sum = sum_of(&charges).map_err(|problem| ApiError::unprocessable("not_ratable", problem.to_string()))?;
    Ok(UsageRecord {
        from_datetime: rated.item.period.start.to_string(),
        to_datetime: rated.item.period.end.to_string(),
        amount_cents: sum.to_string(),
        currency,
        charges: charges.iter().map(ChargeUsageRecord::of).collect(),
    })
}
