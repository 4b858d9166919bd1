//! Routes of usage alerts.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{UsageAlertCreate, UsageAlertRecord, UsageAlertStatus, UsageAlertTriggerRecord, UsageAlertUpdate};
use crate::ledger::alerts::{self, StoredAlert};
use crate::usage_alerts::metered;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::ids::SubscriptionId;
use http_api::idempotency::{IdempotencyState, idempotent};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};
use std::sync::Arc;
use uuid::Uuid;

pub(super) fn routes(state: &InvoicerState) -> Router<InvoicerState> {
    let store = Arc::new(state.prover.catalog().clone());
    let idempotency = IdempotencyState { auth: state.auth.clone(), store };
    let root = post(create).layer(from_fn_with_state(idempotency, idempotent)).get(list);
    collection(Router::new(), "/v1/usage_alerts", root)
        .route("/v1/usage_alerts/{alert_id}", get(read).patch(update).delete(remove))
        .route("/v1/usage_alerts/{alert_id}/status", get(status))
        .route("/v1/usage_alerts/{alert_id}/triggers", get(triggers))
        .route("/v1/usage_alerts/{alert_id}/test", post(test))
}

const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("name", "name"),
    ("times_triggered", "times_triggered"),
    ("triggered_at", "triggered_at"),
];
/// Firings when `limit` is not sent, and at most (contract).
const TRIGGERS: i64 = 50;
const MOST_TRIGGERS: i64 = 200;

/// A page of alerts.
#[utoipa::path(get, path = "/v1/usage_alerts/", tag = "Usage Alerts", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("subscription_id" = Option<uuid::Uuid>, Query)),
    responses((status = 200, body = [UsageAlertRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    query: QueryArguments,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let page = page_of(&params, ORDERS)?;
    let subscription = query.id("subscription_id")?.map(SubscriptionId);
    let mut connection = state.connection().await?;
    let (found, total) = alerts::list(&mut connection, caller.organization, subscription, &page).await?;
    Ok((total_count(total), Json(found.iter().map(UsageAlertRecord::of).collect::<Vec<_>>())))
}

/// A new alert.
#[utoipa::path(post, path = "/v1/usage_alerts/", tag = "Usage Alerts", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = UsageAlertCreate,
    responses((status = 201, body = UsageAlertRecord), (status = 401), (status = 404), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(new): JsonBody<UsageAlertCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let threshold = new.check()?;
    let catalog = state.prover.catalog();
    let subscription = catalog.subscription(caller.organization, new.subscription_id).await?;
    let metric = catalog.metric(caller.organization, new.billable_metric_id).await?;
    let alert = StoredAlert {
        id: Uuid::now_v7(),
        organization: caller.organization,
        subscription: subscription.id,
        metric: metric.id,
        metric_code: metric.code,
        threshold,
        recurring: new.recurring,
        name: new.name,
        times_triggered: 0,
        period_start: None,
        triggered_at: None,
        version: 1,
        created_at: caller.now,
        updated_at: caller.now,
    };
    Ok((StatusCode::CREATED, Json(UsageAlertRecord::of(&state.runs.create_alert(alert).await?))))
}

async fn named(caller: &Authenticated, state: &InvoicerState, path: &PathArguments) -> Result<StoredAlert, ApiError> {
    Ok(state.runs.alert(caller.organization, path.id("alert_id")?).await?)
}

/// One alert.
#[utoipa::path(get, path = "/v1/usage_alerts/{alert_id}", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path)),
    responses((status = 200, body = UsageAlertRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<UsageAlertRecord>, ApiError> {
    Ok(Json(UsageAlertRecord::of(&named(&caller, &state, &path).await?)))
}

/// Changes threshold, kind and name.
#[utoipa::path(patch, path = "/v1/usage_alerts/{alert_id}", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path)), request_body = UsageAlertUpdate,
    responses((status = 200, body = UsageAlertRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(change): JsonBody<UsageAlertUpdate>,
) -> Result<Json<UsageAlertRecord>, ApiError> {
    let before = named(&caller, &state, &path).await?;
    let after = change.apply(&before, caller.now)?;
    Ok(Json(UsageAlertRecord::of(&state.runs.update_alert(&before, after).await?)))
}

/// Deletes an alert with its firings.
#[utoipa::path(delete, path = "/v1/usage_alerts/{alert_id}", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.delete_alert(caller.organization, path.id("alert_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Usage of the running period against the threshold.
#[utoipa::path(get, path = "/v1/usage_alerts/{alert_id}/status", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path)),
    responses((status = 200, body = UsageAlertStatus), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn status(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<UsageAlertStatus>, ApiError> {
    let alert = named(&caller, &state, &path).await?;
    let from = (state.prover.catalog(), state.prover.rater());
    let metered = metered(from, &alert, caller.now).await?;
    Ok(Json(UsageAlertStatus::of(&alert, &metered.usage, metered.period)))
}

/// The same as the status; fires nothing.
#[utoipa::path(post, path = "/v1/usage_alerts/{alert_id}/test", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path)),
    responses((status = 200, body = UsageAlertStatus), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn test(
    caller: Authenticated,
    state: State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<UsageAlertStatus>, ApiError> {
    status(caller, state, path).await
}

/// Firings, newest first.
#[utoipa::path(get, path = "/v1/usage_alerts/{alert_id}/triggers", tag = "Usage Alerts", security(("api_key" = [])),
    params(("alert_id" = uuid::Uuid, Path), ("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = [UsageAlertTriggerRecord]), (status = 401), (status = 404), (status = 422)))]
async fn triggers(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let skip = query.integer("skip", 0, i64::MAX)?.unwrap_or(0);
    let limit = query.integer("limit", 1, MOST_TRIGGERS)?.unwrap_or(TRIGGERS);
    let alert = named(&caller, &state, &path).await?;
    let (found, total) = alerts::triggers(&mut *state.connection().await?, &alert, (skip, limit)).await?;
    Ok((total_count(total), Json(found.iter().map(UsageAlertTriggerRecord::of).collect::<Vec<_>>())))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, read, update, remove, status, test, triggers))]
pub(super) struct Document;
