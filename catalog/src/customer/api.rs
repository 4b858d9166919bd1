//! Routes of customers. Usage routes are the rater's; portal, health, coupons and mappings are not built yet.

use crate::catalog::Catalog;
use crate::customer::wire::{CustomerCreate, CustomerRecord, CustomerUpdate};
use crate::state::CatalogState;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::idempotency::idempotent;
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};

pub(crate) fn routes(state: &CatalogState) -> Router<CatalogState> {
    let root = post(create).layer(from_fn_with_state(state.idempotency(), idempotent)).get(list);
    collection(Router::new(), "/v1/customers", root)
        .route("/v1/customers/{customer_id}", get(read).put(update).delete(remove))
}

/// A page of customers.
#[utoipa::path(get, path = "/v1/customers/", tag = "Customers", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [CustomerRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (customers, total) = catalog.customers(caller.organization, &params).await?;
    Ok((total_count(total), Json(customers)))
}

/// A new customer. Honours `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/customers/", tag = "Customers", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = CustomerCreate,
    responses((status = 201, body = CustomerRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<CustomerCreate>,
) -> Result<impl IntoResponse, ApiError> {
    new.check()?;
    let customer = catalog.create_customer(caller.organization, &new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(customer)))
}

/// One customer.
#[utoipa::path(get, path = "/v1/customers/{customer_id}", tag = "Customers", security(("api_key" = [])),
    params(("customer_id" = uuid::Uuid, Path)),
    responses((status = 200, body = CustomerRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<CustomerRecord>, ApiError> {
    Ok(Json(catalog.customer(caller.organization, path.id("customer_id")?).await?))
}

/// Changes the sent fields.
#[utoipa::path(put, path = "/v1/customers/{customer_id}", tag = "Customers", security(("api_key" = [])),
    params(("customer_id" = uuid::Uuid, Path)), request_body = CustomerUpdate,
    responses((status = 200, body = CustomerRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<CustomerUpdate>,
) -> Result<Json<CustomerRecord>, ApiError> {
    change.check()?;
    let id = path.id("customer_id")?;
    Ok(Json(catalog.update_customer(caller.organization, id, &change, caller.now).await?))
}

/// Deletes a customer whom nothing references.
#[utoipa::path(delete, path = "/v1/customers/{customer_id}", tag = "Customers", security(("api_key" = [])),
    params(("customer_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_customer(caller.organization, path.id("customer_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, read, update, remove))]
pub(crate) struct Document;
