//! Routes of usage thresholds.

use crate::catalog::Catalog;
use crate::state::CatalogState;
use crate::threshold::{UsageThresholdCreateAPI, UsageThresholdRecord};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use domain::ids::SubscriptionId;
use http_api::{ApiError, Authenticated, JsonBody, PathArguments};

pub(crate) fn routes() -> Router<CatalogState> {
    Router::new()
        .route("/v1/plans/{plan_id}/usage_thresholds", get(of_plan).post(add_to_plan))
        .route("/v1/subscriptions/{subscription_id}/usage_thresholds", get(of_subscription).post(add_to_subscription))
        .route("/v1/usage_thresholds/{threshold_id}", delete(remove))
}

/// The thresholds of a plan, named by its code.
#[utoipa::path(get, path = "/v1/plans/{plan_code}/usage_thresholds", tag = "Thresholds", security(("api_key" = [])),
    params(("plan_code" = String, Path)),
    responses((status = 200, body = [UsageThresholdRecord]), (status = 401), (status = 404), (status = 422)))]
async fn of_plan(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<UsageThresholdRecord>>, ApiError> {
    let plan = catalog.plan_named(caller.organization, path.text("plan_id")?).await?;
    Ok(Json(catalog.plan_thresholds(caller.organization, plan).await?))
}

/// Adds a threshold to a plan, as a new version of it.
#[utoipa::path(post, path = "/v1/plans/{plan_code}/usage_thresholds", tag = "Thresholds", security(("api_key" = [])),
    params(("plan_code" = String, Path)), request_body = UsageThresholdCreateAPI,
    responses((status = 201, body = UsageThresholdRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn add_to_plan(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(new): JsonBody<UsageThresholdCreateAPI>,
) -> Result<impl IntoResponse, ApiError> {
    let plan = catalog.plan_named(caller.organization, path.text("plan_id")?).await?;
    let made = catalog.add_plan_threshold(caller.organization, plan, &new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// The thresholds of a subscription itself.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}/usage_thresholds", tag = "Thresholds",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = [UsageThresholdRecord]), (status = 401), (status = 404), (status = 422)))]
async fn of_subscription(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<UsageThresholdRecord>>, ApiError> {
    let subscription = SubscriptionId(path.id("subscription_id")?);
    Ok(Json(catalog.subscription_thresholds(caller.organization, subscription).await?))
}

/// Adds a threshold to a subscription, beside those of its plan.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/usage_thresholds", tag = "Thresholds",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)), request_body = UsageThresholdCreateAPI,
    responses((status = 201, body = UsageThresholdRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn add_to_subscription(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(new): JsonBody<UsageThresholdCreateAPI>,
) -> Result<impl IntoResponse, ApiError> {
    let subscription = SubscriptionId(path.id("subscription_id")?);
    let made = catalog.add_subscription_threshold(caller.organization, subscription, &new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Takes a threshold away. What was billed by it stays billed.
#[utoipa::path(delete, path = "/v1/usage_thresholds/{threshold_id}", tag = "Thresholds", security(("api_key" = [])),
    params(("threshold_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_threshold(caller.organization, path.id("threshold_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(of_plan, add_to_plan, of_subscription, add_to_subscription, remove))]
pub(crate) struct Document;
