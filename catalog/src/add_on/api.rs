//! Routes of add-ons.

use crate::add_on::wire::{
    AddOnCreate, AddOnRecord, AddOnUpdate, AppliedAddOnDetail, AppliedAddOnRecord, ApplyAddOnRequest,
};
use crate::catalog::Catalog;
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};
use std::collections::BTreeMap;

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/add_ons", get(list).post(create))
        .route("/v1/add_ons/application_counts", get(counts))
        .route("/v1/add_ons/apply", post(apply))
        .route("/v1/add_ons/{code}", get(read).put(update).delete(remove))
        .route("/v1/add_ons/{code}/applications", get(applications))
        .route("/v1/customers/{customer_id}/applied_add_ons", get(of_customer))
}

/// A page of add-ons.
#[utoipa::path(get, path = "/v1/add_ons/", tag = "Add-ons", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [AddOnRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (add_ons, total) = catalog.add_ons(caller.organization, &params).await?;
    Ok((total_count(total), Json(add_ons)))
}

/// A new add-on.
#[utoipa::path(post, path = "/v1/add_ons/", tag = "Add-ons", security(("api_key" = [])), request_body = AddOnCreate,
    responses((status = 201, body = AddOnRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<AddOnCreate>,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::CREATED, Json(catalog.create_add_on(caller.organization, &new, caller.now).await?)))
}

/// Add-on id → times applied.
#[utoipa::path(get, path = "/v1/add_ons/application_counts", tag = "Add-ons", security(("api_key" = [])),
    responses((status = 200, body = BTreeMap<String, i64>), (status = 401)))]
async fn counts(
    caller: Authenticated,
    State(catalog): State<Catalog>,
) -> Result<Json<BTreeMap<String, i64>>, ApiError> {
    Ok(Json(catalog.add_on_application_counts(caller.organization).await?))
}

/// Applies an add-on to a customer: an invoice for it is issued.
#[utoipa::path(post, path = "/v1/add_ons/apply", tag = "Add-ons", security(("api_key" = [])),
    request_body = ApplyAddOnRequest,
    responses((status = 201, body = AppliedAddOnRecord), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn apply(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(request): JsonBody<ApplyAddOnRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let invoicing = state.add_on_applied.as_ref();
    let applied = state.catalog.apply_add_on(caller.organization, &request, invoicing, caller.now).await?;
    Ok((StatusCode::CREATED, Json(applied)))
}

/// One add-on.
#[utoipa::path(get, path = "/v1/add_ons/{code}", tag = "Add-ons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = AddOnRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<AddOnRecord>, ApiError> {
    Ok(Json(catalog.add_on(caller.organization, path.text("code")?).await?))
}

/// Changes the sent fields.
#[utoipa::path(put, path = "/v1/add_ons/{code}", tag = "Add-ons", security(("api_key" = [])),
    params(("code" = String, Path)), request_body = AddOnUpdate,
    responses((status = 200, body = AddOnRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<AddOnUpdate>,
) -> Result<Json<AddOnRecord>, ApiError> {
    Ok(Json(catalog.update_add_on(caller.organization, path.text("code")?, &change, caller.now).await?))
}

/// Deletes an add-on that nobody got.
#[utoipa::path(delete, path = "/v1/add_ons/{code}", tag = "Add-ons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_add_on(caller.organization, path.text("code")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who got an add-on, newest first.
#[utoipa::path(get, path = "/v1/add_ons/{code}/applications", tag = "Add-ons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = [AppliedAddOnDetail]), (status = 401), (status = 404), (status = 422)))]
async fn applications(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<AppliedAddOnDetail>>, ApiError> {
    Ok(Json(catalog.add_on_applications(caller.organization, path.text("code")?).await?))
}

/// What a customer got, newest first.
#[utoipa::path(get, path = "/v1/customers/{customer_id}/applied_add_ons", tag = "Customers",
    security(("api_key" = [])), params(("customer_id" = uuid::Uuid, Path)),
    responses((status = 200, body = [AppliedAddOnDetail]), (status = 401), (status = 404), (status = 422)))]
async fn of_customer(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<Vec<AppliedAddOnDetail>>, ApiError> {
    Ok(Json(catalog.customer_add_ons(caller.organization, path.id("customer_id")?).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, counts, apply, read, update, remove, applications, of_customer))]
pub(crate) struct Document;
