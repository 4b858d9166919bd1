//! Routes of taxes.

use crate::catalog::Catalog;
use crate::state::CatalogState;
use crate::tax::wire::{
    AppliedTaxRecord, ApplyTaxRequest, TaxApplicationCountsResponse, TaxAppliedEntitiesResponse, TaxCreate, TaxRecord,
    TaxUpdate, Taxable,
};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use http_api::{
    ApiError, Authenticated, FieldError, JsonBody, ListParams, Loc, PathArguments, QueryArguments, collection,
    total_count,
};

pub(crate) fn routes() -> Router<CatalogState> {
    collection(Router::new(), "/v1/taxes", get(list).post(create))
        .route("/v1/taxes/applied", get(applied))
        .route("/v1/taxes/apply", post(apply))
        .route("/v1/taxes/applied/{applied_tax_id}", delete(detach))
        .route("/v1/taxes/application_counts", get(counts))
        .route("/v1/taxes/{code}", get(read).put(update).delete(remove))
        .route("/v1/taxes/{code}/applied_entities", get(entities))
}

/// A page of taxes.
#[utoipa::path(get, path = "/v1/taxes/", tag = "Taxes", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [TaxRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let (taxes, total) = catalog.taxes(caller.organization, &params).await?;
    Ok((total_count(total), Json(taxes)))
}

/// A new tax.
#[utoipa::path(post, path = "/v1/taxes/", tag = "Taxes", security(("api_key" = [])), request_body = TaxCreate,
    responses((status = 201, body = TaxRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(new): JsonBody<TaxCreate>,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::CREATED, Json(catalog.create_tax(caller.organization, &new, caller.now).await?)))
}

/// One tax.
#[utoipa::path(get, path = "/v1/taxes/{code}", tag = "Taxes", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = TaxRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<TaxRecord>, ApiError> {
    Ok(Json(catalog.tax(caller.organization, path.text("code")?).await?))
}

/// Changes the sent fields, for invoices made from now on.
#[utoipa::path(put, path = "/v1/taxes/{code}", tag = "Taxes", security(("api_key" = [])),
    params(("code" = String, Path)), request_body = TaxUpdate,
    responses((status = 200, body = TaxRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(change): JsonBody<TaxUpdate>,
) -> Result<Json<TaxRecord>, ApiError> {
    Ok(Json(catalog.update_tax(caller.organization, path.text("code")?, &change, caller.now).await?))
}

/// Deletes a tax that nothing uses.
#[utoipa::path(delete, path = "/v1/taxes/{code}", tag = "Taxes", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.delete_tax(caller.organization, path.text("code")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Attaches a tax to a charge, plan, customer or billing entity.
#[utoipa::path(post, path = "/v1/taxes/apply", tag = "Taxes", security(("api_key" = [])),
    request_body = ApplyTaxRequest,
    responses((status = 201, body = AppliedTaxRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn apply(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    JsonBody(request): JsonBody<ApplyTaxRequest>,
) -> Result<impl IntoResponse, ApiError> {
    Ok((StatusCode::CREATED, Json(catalog.apply_tax(caller.organization, &request, caller.now).await?)))
}

/// The taxes attached to one thing.
#[utoipa::path(get, path = "/v1/taxes/applied", tag = "Taxes", security(("api_key" = [])),
    params(("taxable_type" = Taxable, Query), ("taxable_id" = uuid::Uuid, Query)),
    responses((status = 200, body = [AppliedTaxRecord]), (status = 401), (status = 422)))]
async fn applied(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    query: QueryArguments,
) -> Result<Json<Vec<AppliedTaxRecord>>, ApiError> {
    let taxable: Taxable = query.choice("taxable_type")?.ok_or_else(|| missing("taxable_type"))?;
    let id = query.id("taxable_id")?.ok_or_else(|| missing("taxable_id"))?;
    Ok(Json(catalog.applied_taxes(caller.organization, taxable, id).await?))
}

fn missing(name: &'static str) -> ApiError {
    let loc = [Loc::from("query"), Loc::from(name)];
    ApiError::validation(vec![FieldError::new("missing", loc, "Field required", &serde_json::Value::Null)])
}

/// Detaches a tax.
#[utoipa::path(delete, path = "/v1/taxes/applied/{applied_tax_id}", tag = "Taxes", security(("api_key" = [])),
    params(("applied_tax_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn detach(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    catalog.detach_tax(caller.organization, path.id("applied_tax_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tax id → number of attachments, in the caller's organization.
#[utoipa::path(get, path = "/v1/taxes/application_counts", tag = "Taxes", security(("api_key" = [])),
    responses((status = 200, body = TaxApplicationCountsResponse), (status = 401)))]
async fn counts(
    caller: Authenticated,
    State(catalog): State<Catalog>,
) -> Result<Json<TaxApplicationCountsResponse>, ApiError> {
    Ok(Json(catalog.tax_application_counts(caller.organization).await?))
}

/// What a tax is attached to.
#[utoipa::path(get, path = "/v1/taxes/{code}/applied_entities", tag = "Taxes", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = TaxAppliedEntitiesResponse), (status = 401), (status = 404), (status = 422)))]
async fn entities(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<TaxAppliedEntitiesResponse>, ApiError> {
    Ok(Json(catalog.tax_applied_entities(caller.organization, path.text("code")?).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, read, update, remove, apply, applied, detach, counts, entities))]
pub(crate) struct Document;
