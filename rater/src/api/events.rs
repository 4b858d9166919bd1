//! Events as stored: a page of them, one of them, and how many each hour.

use super::usage::{period_at, rate_periods};
use super::wire::{EventRecord, ReprocessRecord, VolumeRecord};
use super::{RaterState, page_of, total_of, unanswered};
use aggregator::reads::{Direction, EventFilter, OrderBy, OrderField};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use catalog::BillingScope;
use domain::catalog::{Subscription, SubscriptionStatus};
use domain::event::StoredEvent;
use domain::identity::EventId;
use domain::ids::CustomerId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use http_api::{ApiError, Authenticated, ListParams, PathArguments, QueryArguments, collection, total_count};

/// Fields a list may be ordered by.
const ORDERS: &[&str] = &["created_at", "timestamp", "code", "external_customer_id", "transaction_id"];
/// Without bounds the volume is that of the last day.
const DAY: i64 = 24 * 3_600 * MICROS_PER_SECOND;

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, read, volume, reprocess))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    let router = collection(Router::new(), "/v1/events", get(list));
    collection(router, "/v1/events/volume", get(volume))
        .route("/v1/events/{event_id}", get(read))
        .route("/v1/events/{event_id}/reprocess", post(reprocess))
}

fn order_of(params: &ListParams) -> Result<OrderBy, ApiError> {
    let order = params.order(ORDERS)?;
    let field = match order.column {
        "timestamp" => OrderField::Timestamp,
        "code" => OrderField::Code,
        "external_customer_id" => OrderField::Customer,
        "transaction_id" => OrderField::TransactionId,
        _ => OrderField::IngestedAt,
    };
    let direction = if order.descending { Direction::Descending } else { Direction::Ascending };
    Ok(OrderBy { field, direction })
}

/// A page of stored events; time bounds are inclusive.
#[utoipa::path(get, path = "/v1/events/", tag = "Events", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("external_customer_id" = Option<String>, Query), ("external_subscription_id" = Option<String>, Query),
        ("code" = Option<String>, Query), ("from_timestamp" = Option<String>, Query),
        ("to_timestamp" = Option<String>, Query)),
    responses((status = 200, body = [EventRecord]), (status = 401), (status = 422), (status = 503)))]
async fn list(
    caller: Authenticated,
    State(state): State<RaterState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let filter = EventFilter {
        external_customer_id: query.text("external_customer_id")?.map(str::to_owned),
        external_subscription_id: query.text("external_subscription_id")?.map(str::to_owned),
        code: query.text("code")?.map(str::to_owned),
        from: query.instant("from_timestamp")?,
        to: query.instant("to_timestamp")?,
    };
    let order = order_of(&params)?;
    let found = state.rater.store().list_events(caller.organization, filter, order, page_of(&params)).await;
    let page = found.map_err(unanswered)?;
    let records: Vec<EventRecord> = page.events.into_iter().map(EventRecord::from).collect();
    Ok((total_count(total_of(page.total)), Json(records)))
}

/// The stored (first) version of one event.
#[utoipa::path(get, path = "/v1/events/{event_id}", tag = "Events", security(("api_key" = [])),
    params(("event_id" = uuid::Uuid, Path)),
    responses((status = 200, body = EventRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn read(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
) -> Result<Json<EventRecord>, ApiError> {
    let id = path.id("event_id")?;
    let found = state.rater.store().event(caller.organization, id).await.map_err(unanswered)?;
    found.map(|event| Json(event.into())).ok_or_else(|| ApiError::not_found("Event"))
}

/// Events per UTC hour, in the last 24 hours unless bounds are sent; hours without events are absent.
#[utoipa::path(get, path = "/v1/events/volume", tag = "Events", security(("api_key" = [])),
    params(("from_timestamp" = Option<String>, Query), ("to_timestamp" = Option<String>, Query)),
    responses((status = 200, body = VolumeRecord), (status = 401), (status = 422), (status = 503)))]
async fn volume(
    caller: Authenticated,
    State(state): State<RaterState>,
    query: QueryArguments,
) -> Result<Json<VolumeRecord>, ApiError> {
    let to = query.instant("to_timestamp")?.unwrap_or(caller.now);
    let from = query.instant("from_timestamp")?.unwrap_or(Timestamp(to.0.saturating_sub(DAY)));
    let filter = EventFilter { from: Some(from), to: Some(to), ..EventFilter::default() };
    let hours = state.rater.store().volume(caller.organization, filter).await.map_err(unanswered)?;
    Ok(Json(VolumeRecord { data_points: hours.into_iter().map(Into::into).collect() }))
}

/// Rates the running period of every active subscription that an event may count for again; stores nothing.
#[utoipa::path(post, path = "/v1/events/{event_id}/reprocess", tag = "Events", security(("api_key" = [])),
    params(("event_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ReprocessRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn reprocess(
    caller: Authenticated,
    State(state): State<RaterState>,
    path: PathArguments,
) -> Result<Json<ReprocessRecord>, ApiError> {
    let id: EventId = path.id("event_id")?;
    let found = state.rater.store().event(caller.organization, id).await.map_err(unanswered)?;
    let event = found.ok_or_else(|| ApiError::not_found("Event"))?;
    let mut subscriptions_checked = 0;
    if let Some(customer) = customer_of(&state, &caller, &event).await? {
        let view = state.view(BillingScope::Customer(caller.organization, customer)).await?;
        let named = event.external_subscription_id.as_str();
        let may_count = |subscription: &&Subscription| {
            subscription.status == SubscriptionStatus::Active && (named.is_empty() || subscription.external_id == named)
        };
        let subscriptions: Vec<Subscription> = view.of_customer(customer).filter(may_count).cloned().collect();
        for subscription in &subscriptions {
            let period = period_at(&view, subscription, caller.now)?;
            for rated in rate_periods(&state, &view, subscription, vec![period]).await? {
                rated.fees.map_err(|problem| ApiError::unprocessable("not_ratable", problem.to_string()))?;
            }
        }
        subscriptions_checked = subscriptions.len();
    }
    let status = if subscriptions_checked == 0 { "no_active_subscriptions" } else { "reprocessing" };
    Ok(Json(ReprocessRecord { event_id: uuid::Uuid::from_u128(id.0), status, subscriptions_checked }))
}

/// The customer that an event names, itself or by its subscription.
async fn customer_of(
    state: &RaterState,
    caller: &Authenticated,
    event: &StoredEvent,
) -> Result<Option<CustomerId>, ApiError> {
    if !event.external_customer_id.is_empty() {
        return Ok(state.catalog.customer_named(caller.organization, &event.external_customer_id).await?);
    }
    let named = state.catalog.subscription_named(caller.organization, &event.external_subscription_id).await?;
    Ok(named.map(|subscription| subscription.customer_id))
}
