//! Routes of metrics' filter keys.

use crate::catalog::Catalog;
use crate::metric::wire::{MetricFilterCreate, MetricFilterRecord};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, PathArguments};

pub(crate) fn routes() -> Router<CatalogState> {
    Router::new()
        .route("/v1/billable_metrics/{code}/filters", get(list).post(create))
        .route("/v1/billable_metrics/{code}/filters/{filter_id}", delete(remove))
}

/// Declares a filter key with its allowed values.
#[utoipa::path(post, path = "/v1/billable_metrics/{code}/filters", tag = "Billable Metrics", security(("api_key" = [])),
    params(("code" = String, Path)), request_body = MetricFilterCreate,
    responses((status = 201, body = MetricFilterRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(new): JsonBody<MetricFilterCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let filter = catalog.create_metric_filter(caller.organization, path.text("code")?, &new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(filter)))
}

/// The filter keys of a metric.
#[utoipa::path(get, path = "/v1/billable_metrics/{code}/filters", tag = "Billable Metrics", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = [MetricFilterRecord]), (status = 401), (status = 404), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<MetricFilterRecord>>, ApiError> {
    Ok(Json(catalog.metric_filters(caller.organization, path.text("code")?).await?))
}

/// Drops a filter key.
#[utoipa::path(delete, path = "/v1/billable_metrics/{code}/filters/{filter_id}", tag = "Billable Metrics",
    security(("api_key" = [])), params(("code" = String, Path), ("filter_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    let filter = path.id("filter_id")?;
    catalog.delete_metric_filter(caller.organization, path.text("code")?, filter, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(create, list, remove))]
pub(crate) struct Document;
