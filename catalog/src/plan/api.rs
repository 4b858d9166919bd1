//! Routes of plans.

use crate::catalog::Catalog;
use crate::plan::simulate::{PlanSimulateResponse, simulate as price};
use crate::plan::wire::{PlanCreate, PlanResponse, PlanSimulateRequest, PlanUpdate};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};
use std::collections::BTreeMap;

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/plans", get(list).post(create))
        .route("/v1/plans/subscription_counts", get(subscription_counts))
        .route("/v1/plans/{plan_id}", get(read).put(update).delete(remove))
        .route("/v1/plans/{plan_id}/simulate", post(simulate))
}

/// A page of plans with their charges.
#[utoipa::path(get, path = "/v1/plans/", tag = "Plans", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [PlanResponse]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (plans, total) = catalog.plans(caller.organization, &params).await?;
    Ok((total_count(total), Json(plans)))
}

/// A new plan with its charges and their filters.
#[utoipa::path(post, path = "/v1/plans/", tag = "Plans", security(("api_key" = [])), request_body = PlanCreate,
    responses((status = 201, body = PlanResponse), (status = 400), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<PlanCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let plan = catalog.create_plan(caller.organization, &new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(plan)))
}

/// Plan id → number of its subscriptions.
#[utoipa::path(get, path = "/v1/plans/subscription_counts", tag = "Plans", security(("api_key" = [])),
    responses((status = 200, body = BTreeMap<String, i64>), (status = 401)))]
async fn subscription_counts(
    caller: Authenticated,
    State(catalog): State<Catalog>,
) -> Result<Json<BTreeMap<String, i64>>, ApiError> {
    Ok(Json(catalog.plan_subscription_counts(caller.organization).await?))
}

/// One plan.
#[utoipa::path(get, path = "/v1/plans/{plan_id}", tag = "Plans", security(("api_key" = [])),
    params(("plan_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PlanResponse), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<PlanResponse>, ApiError> {
    Ok(Json(catalog.plan(caller.organization, path.id("plan_id")?).await?))
}

/// Changes the sent fields, as a new version; `charges` replaces all charges, ids of lines that stay are kept.
#[utoipa::path(put, path = "/v1/plans/{plan_id}", tag = "Plans", security(("api_key" = [])),
    params(("plan_id" = uuid::Uuid, Path)), request_body = PlanUpdate,
    responses((status = 200, body = PlanResponse), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<PlanUpdate>,
) -> Result<Json<PlanResponse>, ApiError> {
    Ok(Json(catalog.update_plan(caller.organization, path.id("plan_id")?, &change, caller.now).await?))
}

/// Deletes a plan that no subscription ever had.
#[utoipa::path(delete, path = "/v1/plans/{plan_id}", tag = "Plans", security(("api_key" = [])),
    params(("plan_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_plan(caller.organization, path.id("plan_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Prices a made-up number of units on every charge.
#[utoipa::path(post, path = "/v1/plans/{plan_id}/simulate", tag = "Plans", security(("api_key" = [])),
    params(("plan_id" = uuid::Uuid, Path)), request_body = PlanSimulateRequest,
    responses((status = 200, body = PlanSimulateResponse), (status = 401), (status = 404), (status = 422)))]
async fn simulate(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(usage): JsonBody<PlanSimulateRequest>,
) -> Result<Json<PlanSimulateResponse>, ApiError> {
    let plan = catalog.plan_row(caller.organization, path.id("plan_id")?).await?;
    Ok(Json(price(plan, &usage.units)?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, subscription_counts, read, update, remove, simulate))]
pub(crate) struct Document;
