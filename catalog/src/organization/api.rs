//! Routes of organizations and of the sandbox clock.

use crate::catalog::Catalog;
use crate::organization::clock::move_clock;
use crate::organization::wire::{
    OrganizationCreate, OrganizationCreateResponse, OrganizationRecord, OrganizationUpdate, SandboxClock,
};
use crate::state::{CatalogState, Done};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get};
use axum::{Json, Router};
use domain::time::Timestamp;
use http_api::{Admin, ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/organizations", get(list).post(create))
        .route("/v1/organizations/{org_id}", delete(wipe))
        .route("/v1/organizations/current", get(current).put(update))
        .route("/v1/organizations/current/clock", get(clock).put(set_clock))
}

/// All organizations.
#[utoipa::path(get, path = "/v1/organizations/", tag = "Organizations", security(("admin_secret" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [OrganizationRecord]), (status = 401), (status = 422)))]
async fn list(_: Admin, State(catalog): State<Catalog>, params: ListParams) -> Result<impl IntoResponse, ApiError> {
    let (organizations, total) = catalog.organizations(&params).await?;
    Ok((total_count(total), Json(organizations)))
}

/// A new organization with its first API key.
#[utoipa::path(post, path = "/v1/organizations/", tag = "Organizations", security(("admin_secret" = [])),
    request_body = OrganizationCreate,
    responses((status = 201, body = OrganizationCreateResponse), (status = 401), (status = 422)))]
async fn create(
    _: Admin,
    State(state): State<CatalogState>,
    JsonBody(new): JsonBody<OrganizationCreate>,
) -> Result<impl IntoResponse, ApiError> {
    new.check()?;
    let (organization, api_key) = state.catalog.create_organization(&new, state.auth.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(OrganizationCreateResponse { organization, api_key })))
}

/// Wipes an organization and its data.
#[utoipa::path(delete, path = "/v1/organizations/{org_id}", tag = "Organizations", security(("admin_secret" = [])),
    params(("org_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn wipe(_: Admin, State(state): State<CatalogState>, path: PathArguments) -> Result<StatusCode, ApiError> {
    state.catalog.wipe_organization(path.id("org_id")?, &state.wiped).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's organization.
#[utoipa::path(get, path = "/v1/organizations/current", tag = "Organizations", security(("api_key" = [])),
    responses((status = 200, body = OrganizationRecord), (status = 401), (status = 404)))]
async fn current(caller: Authenticated, State(catalog): State<Catalog>) -> Result<Json<OrganizationRecord>, ApiError> {
    Ok(Json(catalog.organization(caller.organization).await?))
}

/// Changes the caller's organization.
#[utoipa::path(put, path = "/v1/organizations/current", tag = "Organizations", security(("api_key" = [])),
    request_body = OrganizationUpdate,
    responses((status = 200, body = OrganizationRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(change): JsonBody<OrganizationUpdate>,
) -> Result<Json<OrganizationRecord>, ApiError> {
    change.check()?;
    let now = state.auth.clock.now();
    Ok(Json(state.catalog.update_organization(caller.organization, &change, now).await?))
}

/// What the sandbox's clock shows.
#[utoipa::path(get, path = "/v1/organizations/current/clock", tag = "Organizations", security(("api_key" = [])),
    responses((status = 200, body = SandboxClock), (status = 401), (status = 403)))]
async fn clock(caller: Authenticated, State(state): State<CatalogState>) -> Result<Json<SandboxClock>, ApiError> {
    Ok(Json(state.catalog.sandbox_clock(caller.organization, state.auth.clock.now()).await?))
}

/// What the clock shows now, and all that was done on the way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClockMovedResponse {
    #[schema(value_type = String, format = DateTime)]
    now: Timestamp,
    done: Vec<Done>,
}

/// Moves the sandbox's clock forward and does everything that falls due.
#[utoipa::path(put, path = "/v1/organizations/current/clock", tag = "Organizations", security(("api_key" = [])),
    request_body = SandboxClock,
    responses((status = 200, body = ClockMovedResponse), (status = 401), (status = 403), (status = 422)))]
async fn set_clock(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(clock): JsonBody<SandboxClock>,
) -> Result<Json<ClockMovedResponse>, ApiError> {
    let done = move_clock(&state, caller.organization, clock.now).await?;
    Ok(Json(ClockMovedResponse { now: clock.now, done }))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, wipe, current, update, clock, set_clock))]
pub(crate) struct Document;
