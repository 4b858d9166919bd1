//! Routes of billing entities.

use crate::billing_entity::wire::{BillingEntityCreate, BillingEntityRecord, BillingEntityUpdate};
use crate::catalog::Catalog;
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::idempotency::idempotent;
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};
use std::collections::BTreeMap;

pub(crate) fn routes(state: &CatalogState) -> Router<CatalogState> {
    let root = post(create).layer(from_fn_with_state(state.idempotency(), idempotent)).get(list);
    collection(Router::new(), "/v1/billing_entities", root)
        .route("/v1/billing_entities/customer_counts", get(customer_counts))
        .route("/v1/billing_entities/{code}", get(read).patch(update).delete(remove))
}

/// A page of billing entities.
#[utoipa::path(get, path = "/v1/billing_entities/", tag = "Billing Entities", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [BillingEntityRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (entities, total) = catalog.billing_entities(caller.organization, &params).await?;
    Ok((total_count(total), Json(entities)))
}

/// A new billing entity. Honours `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/billing_entities/", tag = "Billing Entities", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = BillingEntityCreate,
    responses((status = 201, body = BillingEntityRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<BillingEntityCreate>,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::CREATED, Json(catalog.create_billing_entity(caller.organization, &new, caller.now).await?)))
}

/// Entity id → number of customers that name it.
#[utoipa::path(get, path = "/v1/billing_entities/customer_counts", tag = "Billing Entities",
    security(("api_key" = [])), responses((status = 200, body = BTreeMap<String, i64>), (status = 401)))]
async fn customer_counts(
    caller: Authenticated,
    State(catalog): State<Catalog>,
) -> Result<Json<BTreeMap<String, i64>>, ApiError> {
    Ok(Json(catalog.billing_entity_customer_counts(caller.organization).await?))
}

/// One billing entity.
#[utoipa::path(get, path = "/v1/billing_entities/{code}", tag = "Billing Entities", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = BillingEntityRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<BillingEntityRecord>, ApiError> {
    Ok(Json(catalog.billing_entity(caller.organization, path.text("code")?).await?))
}

/// Changes the sent fields.
#[utoipa::path(patch, path = "/v1/billing_entities/{code}", tag = "Billing Entities", security(("api_key" = [])),
    params(("code" = String, Path)), request_body = BillingEntityUpdate,
    responses((status = 200, body = BillingEntityRecord), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<BillingEntityUpdate>,
) -> Result<Json<BillingEntityRecord>, ApiError> {
    let code = path.text("code")?;
    Ok(Json(catalog.update_billing_entity(caller.organization, code, &change, caller.now).await?))
}

/// Deletes an entity that has issued nothing.
#[utoipa::path(delete, path = "/v1/billing_entities/{code}", tag = "Billing Entities", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 204), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_billing_entity(caller.organization, path.text("code")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, customer_counts, read, update, remove))]
pub(crate) struct Document;
