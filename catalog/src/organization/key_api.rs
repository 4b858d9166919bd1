//! Routes of API keys.

use crate::catalog::Catalog;
use crate::organization::wire::{ApiKeyCreate, ApiKeyCreateResponse, ApiKeyRecord};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/organizations/current/api_keys", get(list).post(create))
        .route("/v1/organizations/current/api_keys/{api_key_id}", delete(revoke))
        .route("/v1/organizations/current/api_keys/{api_key_id}/rotate", post(rotate))
}

/// The organization's keys, without the keys.
#[utoipa::path(get, path = "/v1/organizations/current/api_keys", tag = "Organizations", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [ApiKeyRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (keys, total) = catalog.api_keys(caller.organization, &params).await?;
    Ok((total_count(total), Json(keys)))
}

/// A new key; its raw value is shown once.
#[utoipa::path(post, path = "/v1/organizations/current/api_keys", tag = "Organizations", security(("api_key" = [])),
    request_body = ApiKeyCreate,
    responses((status = 201, body = ApiKeyCreateResponse), (status = 401), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(new): JsonBody<ApiKeyCreate>,
) -> Result<impl IntoResponse, ApiError> {
    new.check()?;
    // Credentials live by the machine's clock, whatever a sandbox's shows.
    let key = state.catalog.create_api_key(caller.organization, &new, state.auth.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(key)))
}

/// Revokes a key and makes one like it.
#[utoipa::path(post, path = "/v1/organizations/current/api_keys/{api_key_id}/rotate", tag = "Organizations",
    security(("api_key" = [])), params(("api_key_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ApiKeyCreateResponse), (status = 401), (status = 404), (status = 422)))]
async fn rotate(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
) -> Result<Json<ApiKeyCreateResponse>, ApiError> {
    let id = path.id("api_key_id")?;
    Ok(Json(state.catalog.rotate_api_key(caller.organization, id, state.auth.clock.now()).await?))
}

/// Revokes a key.
#[utoipa::path(delete, path = "/v1/organizations/current/api_keys/{api_key_id}", tag = "Organizations",
    security(("api_key" = [])), params(("api_key_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn revoke(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.catalog.revoke_api_key(caller.organization, path.id("api_key_id")?, state.auth.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, rotate, revoke))]
pub(crate) struct Document;
