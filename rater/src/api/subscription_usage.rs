//! Usage of one subscription, named by its id: what the running period comes to, and how much was used each day.

use super::usage::{period_at, rate_periods, stretch_of};
use super::wire::{SubscriptionUsageRecord, TrendPoint, TrendRecord, sum_of};
use super::{RaterState, unanswered};
use crate::rated::{RatedCharge, RatedItem, RatingItem};
use crate::view::RatingView;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use catalog::billing::BillingScope;
use chrono::{NaiveDate, TimeDelta};
use domain::catalog::Subscription;
use domain::ids::{MetricId, SubscriptionId};
use domain::period::{Timezones, day_start, local_date};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{ApiError, Authenticated, FieldError, Loc, PathArguments, QueryArguments};
use std::collections::HashSet;
use std::sync::Arc;

/// Days of a trend that names no start (contract).
const DEFAULT_DAYS: i64 = 30;
/// A leap year of days: each is rated.
const MOST_DAYS: i64 = 366;

#[derive(utoipa::OpenApi)]
#[openapi(paths(current, trend))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    Router::new()
        .route("/v1/subscriptions/{subscription_id}/current_usage", get(current))
        .route("/v1/subscriptions/{subscription_id}/usage_trend", get(trend))
}

/// What the running period of a subscription comes to so far.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}/current_usage", tag = "Thresholds",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionUsageRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn current(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
) -> Result<Json<SubscriptionUsageRecord>, ApiError> {
    let (view, subscription) = subscribed(&state, &caller, path.id("subscription_id")?).await?;
    let period = period_at(&view, &subscription, caller.now)?;
    let rated = rate_periods(&state, &view, &subscription, vec![period]).await?;
    let rated = rated.into_iter().next().ok_or_else(|| ApiError::internal("one period gave no answer"))?;
    let total = sum_of(&fees_of(rated)?).map_err(|problem| not_ratable(&problem))?;
    Ok(Json(SubscriptionUsageRecord {
        subscription_id: subscription.id.0,
        billing_period_start: period.start.to_string(),
        billing_period_end: period.end.to_string(),
        current_usage_amount_cents: total.to_string(),
    }))
}

/// Units of all metrics of a subscription by local day of its customer, the last 30 days unless dates are sent (both
/// inclusive); days without usage are there with 0.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}/usage_trend", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path), ("start_date" = Option<String>, Query),
        ("end_date" = Option<String>, Query)),
    responses((status = 200, body = TrendRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn trend(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<TrendRecord>, ApiError> {
    let (view, subscription) = subscribed(&state, &caller, path.id("subscription_id")?).await?;
    let customer = view.customer(subscription.customer_id)?;
    let zone = Timezones::parse(&customer.timezones).map_err(ApiError::internal)?.at(caller.now);
    let end = date(&query, "end_date")?.unwrap_or_else(|| local_date(zone, caller.now));
    let start = date(&query, "start_date")?.unwrap_or(end - TimeDelta::days(DEFAULT_DAYS - 1));
    if start > end || (end - start).num_days() >= MOST_DAYS {
        let msg = format!("Input should be at most {MOST_DAYS} days, ending no earlier than it starts");
        return Err(refused("end_date", &msg, &end.to_string()));
    }
    let days: Vec<NaiveDate> = start.iter_days().take_while(|day| *day <= end).collect();
    let mut items: Vec<(usize, RatingItem)> = Vec::new();
    for (place, day) in days.iter().enumerate() {
        let (from, to) = (day_start(zone, *day), day_start(zone, *day + TimeDelta::days(1)));
        items.extend(day_item(&view, &subscription, from, to)?.map(|item| (place, item)));
    }
    let mut points: Vec<TrendPoint> = days.iter().map(|day| TrendPoint::nothing(*day)).collect();
    let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
    let (places, stretches): (Vec<usize>, Vec<RatingItem>) = items.into_iter().unzip();
    for (place, rated) in places.into_iter().zip(state.rater.rate(&view, stretches, &cut).await?) {
        let (value, events) = day_total(&fees_of(rated)?);
        points[place].value = value.to_string();
        points[place].events_count = events;
    }
    Ok(Json(TrendRecord {
        subscription_id: subscription.id.0,
        start_date: start.to_string(),
        end_date: end.to_string(),
        data_points: points,
    }))
}

async fn subscribed(
    state: &RaterState,
    caller: &Authenticated,
    id: SubscriptionId,
) -> Result<(Arc<RatingView>, Subscription), ApiError> {
    let record = state.catalog.subscription(caller.organization, id).await?;
    let view = state.view(BillingScope::Customer(caller.organization, record.customer_id)).await?;
    let subscription = view.subscription(id)?.clone();
    Ok((view, subscription))
}

pub(super) fn date(query: &QueryArguments, name: &'static str) -> Result<Option<NaiveDate>, ApiError> {
    let Some(text) = query.text(name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| refused(name, "Input should be a valid date", text))
}

pub(super) fn refused(name: &'static str, msg: &str, input: &str) -> ApiError {
    let loc = [Loc::from("query"), Loc::from(name)];
    ApiError::validation(vec![FieldError::new("date_parsing", loc, msg, &serde_json::Value::from(input))])
}

/// The part of a day in which the subscription lives.
fn day_item(
    view: &RatingView,
    subscription: &Subscription,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<RatingItem>, ApiError> {
    let Some(calendar) = view.usage_calendar(subscription)? else { return Ok(None) };
    let from = subscription.started_at.map_or(from, |started_at| started_at.max(from));
    let to = subscription.ended_at.map_or(to, |ended_at| ended_at.min(to));
    if from >= to {
        return Ok(None);
    }
    let mut item = stretch_of(subscription, calendar.period_containing(from));
    (item.from, item.to) = (from, to);
    Ok(Some(item))
}

fn fees_of(rated: RatedItem) -> Result<Vec<RatedCharge>, ApiError> {
    rated.fees.map_err(|problem| not_ratable(&problem))
}

fn not_ratable(problem: &dyn std::fmt::Display) -> ApiError {
    ApiError::unprocessable("not_ratable", problem.to_string())
}

/// Units and events of all metrics; a metric that several charges price counts once.
fn day_total(fees: &[RatedCharge]) -> (Quantity, u64) {
    let mut charge_of: Vec<(MetricId, domain::ids::ChargeId)> = Vec::new();
    let mut known: HashSet<MetricId> = HashSet::new();
    for fee in fees {
        if known.insert(fee.metric.id) {
            charge_of.push((fee.metric.id, fee.charge.id));
        }
    }
    let counted = fees.iter().filter(|fee| !fee.line.true_up && charge_of.contains(&(fee.metric.id, fee.charge.id)));
    counted.fold((Quantity::ZERO, 0), |(units, events), fee| (&units + &fee.units, events + fee.events_count))
}
