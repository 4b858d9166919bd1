//! Routes of billable metrics.

use crate::catalog::Catalog;
use crate::metric::wire::{BillableMetricStats, MetricCreate, MetricPlan, MetricRecord, MetricUpdate};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};
use std::collections::BTreeMap;

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/billable_metrics", get(list).post(create))
        .route("/v1/billable_metrics/stats", get(stats))
        .route("/v1/billable_metrics/plan_counts", get(plan_counts))
        .route("/v1/billable_metrics/{metric_id}", get(read).put(update).delete(remove))
        .route("/v1/billable_metrics/{metric_id}/plans", get(plans))
}

/// A page of metrics.
#[utoipa::path(get, path = "/v1/billable_metrics/", tag = "Billable Metrics", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [MetricRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (metrics, total) = catalog.metrics(caller.organization, &params).await?;
    Ok((total_count(total), Json(metrics)))
}

/// A new metric.
#[utoipa::path(post, path = "/v1/billable_metrics/", tag = "Billable Metrics", security(("api_key" = [])),
    request_body = MetricCreate,
    responses((status = 201, body = MetricRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<MetricCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let metric = catalog.create_metric(caller.organization, new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(metric)))
}

/// How many metrics there are.
#[utoipa::path(get, path = "/v1/billable_metrics/stats", tag = "Billable Metrics", security(("api_key" = [])),
    responses((status = 200, body = BillableMetricStats), (status = 401)))]
async fn stats(caller: Authenticated, State(catalog): State<Catalog>) -> Result<Json<BillableMetricStats>, ApiError> {
    Ok(Json(catalog.metric_stats(caller.organization).await?))
}

/// Metric id → number of plans that charge it.
#[utoipa::path(get, path = "/v1/billable_metrics/plan_counts", tag = "Billable Metrics", security(("api_key" = [])),
    responses((status = 200, body = BTreeMap<String, i64>), (status = 401)))]
async fn plan_counts(
    caller: Authenticated,
    State(catalog): State<Catalog>,
) -> Result<Json<BTreeMap<String, i64>>, ApiError> {
    Ok(Json(catalog.metric_plan_counts(caller.organization).await?))
}

/// One metric.
#[utoipa::path(get, path = "/v1/billable_metrics/{metric_id}", tag = "Billable Metrics", security(("api_key" = [])),
    params(("metric_id" = uuid::Uuid, Path)),
    responses((status = 200, body = MetricRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<MetricRecord>, ApiError> {
    Ok(Json(catalog.metric(caller.organization, path.id("metric_id")?).await?))
}

/// Changes the sent fields; a new version where rating can see it.
#[utoipa::path(put, path = "/v1/billable_metrics/{metric_id}", tag = "Billable Metrics", security(("api_key" = [])),
    params(("metric_id" = uuid::Uuid, Path)), request_body = MetricUpdate,
    responses((status = 200, body = MetricRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<MetricUpdate>,
) -> Result<Json<MetricRecord>, ApiError> {
    let id = path.id("metric_id")?;
    Ok(Json(catalog.update_metric(caller.organization, id, &change, caller.now).await?))
}

/// Deletes a metric that no plan charges or ever charged.
#[utoipa::path(delete, path = "/v1/billable_metrics/{metric_id}", tag = "Billable Metrics", security(("api_key" = [])),
    params(("metric_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_metric(caller.organization, path.id("metric_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The plans that charge a metric.
#[utoipa::path(get, path = "/v1/billable_metrics/{metric_id}/plans", tag = "Billable Metrics",
    security(("api_key" = [])), params(("metric_id" = uuid::Uuid, Path)),
    responses((status = 200, body = [MetricPlan]), (status = 401), (status = 422)))]
async fn plans(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<MetricPlan>>, ApiError> {
    Ok(Json(catalog.plans_of_metric(caller.organization, path.id("metric_id")?).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, stats, plan_counts, read, update, remove, plans))]
pub(crate) struct Document;
