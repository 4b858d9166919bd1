//! Routes of coupons.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{AppliedCouponRecord, ApplyCouponRequest, CouponAnalytics, CouponCreate, CouponRecord, CouponUpdate};
use crate::ledger::coupons;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use domain::ids::{OrganizationId, PlanId};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, collection, total_count};

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/coupons", get(list).post(create))
        .route("/v1/coupons/apply", post(apply))
        .route("/v1/coupons/applied/{applied_coupon_id}", delete(end_applied))
        .route("/v1/coupons/{code}", get(read).put(update).delete(terminate))
        .route("/v1/coupons/{code}/analytics", get(analytics))
        .route("/v1/coupons/{code}/duplicate", post(duplicate))
        .route("/v1/customers/{customer_id}/applied_coupons", get(of_customer))
}

const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("code", "code"),
    ("name", "name"),
    ("coupon_type", "coupon_type"),
    ("frequency", "frequency"),
    ("amount_cents", "amount_cents"),
    ("expiration_at", "expires_at"),
];

/// A new coupon.
#[utoipa::path(post, path = "/v1/coupons/", tag = "Coupons", security(("api_key" = [])), request_body = CouponCreate,
    responses((status = 201, body = CouponRecord), (status = 401), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<CouponCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let plans = plans_named(&state, caller.organization, &request.limited_to_plan_codes).await?;
    known_metrics(&state, caller.organization, &request.limited_to_metric_codes).await?;
    let coupon = request.coupon(plans, caller.now)?;
    let made = state.runs.create_coupon(caller.organization, coupon, caller.now).await?;
    Ok((StatusCode::CREATED, Json(CouponRecord::of(&made, caller.now))))
}

async fn plans_named(
    state: &InvoicerState,
    organization: OrganizationId,
    codes: &[String],
) -> Result<Vec<PlanId>, ApiError> {
    let mut plans = Vec::with_capacity(codes.len());
    for code in codes {
        let found = state.prover.catalog().plan_named(organization, code).await;
        plans.push(found.map_err(|fault| match fault.status() {
            StatusCode::NOT_FOUND => unknown("limited_to_plan_codes", "plan", code),
            _ => fault,
        })?);
    }
    Ok(plans)
}

/// Refuses codes of metrics that the organization has not.
pub(super) async fn known_metrics(
    state: &InvoicerState,
    organization: OrganizationId,
    codes: &[String],
) -> Result<(), ApiError> {
    if codes.is_empty() {
        return Ok(());
    }
    let known = state.prover.catalog().metric_names(organization).await?;
    match codes.iter().find(|code| !known.contains_key(*code)) {
        Some(code) => Err(unknown("limited_to_metric_codes", "metric", code)),
        None => Ok(()),
    }
}

fn unknown(field: &'static str, what: &str, code: &str) -> ApiError {
    ApiError::invalid_field(field, format!("there is no {what} of code '{code}'"), &code.into())
}

/// A page of coupons.
#[utoipa::path(get, path = "/v1/coupons/", tag = "Coupons", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [CouponRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let page = page_of(&params, ORDERS)?;
    let mut connection = state.connection().await?;
    let (found, total) = coupons::list(&mut connection, caller.organization, &page).await?;
    let records: Vec<CouponRecord> = found.iter().map(|coupon| CouponRecord::of(coupon, caller.now)).collect();
    Ok((total_count(total), Json(records)))
}

/// One coupon.
#[utoipa::path(get, path = "/v1/coupons/{code}", tag = "Coupons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = CouponRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<CouponRecord>, ApiError> {
    let coupon = state.runs.coupon(caller.organization, path.text("code")?).await?;
    Ok(Json(CouponRecord::of(&coupon, caller.now)))
}

/// Changes text, expiry or status; what was applied before goes on as it was.
#[utoipa::path(put, path = "/v1/coupons/{code}", tag = "Coupons", security(("api_key" = [])),
    params(("code" = String, Path)), request_body = CouponUpdate,
    responses((status = 200, body = CouponRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(request): JsonBody<CouponUpdate>,
) -> Result<Json<CouponRecord>, ApiError> {
    let change = request.change()?;
    let coupon = state.runs.update_coupon(caller.organization, path.text("code")?, change, caller.now).await?;
    Ok(Json(CouponRecord::of(&coupon, caller.now)))
}

/// Ends a coupon: nobody gets it any more, who has it keeps it.
#[utoipa::path(delete, path = "/v1/coupons/{code}", tag = "Coupons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn terminate(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.terminate_coupon(caller.organization, path.text("code")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Applies a coupon to a customer: the next invoices of subscriptions use it, those applied before it first.
#[utoipa::path(post, path = "/v1/coupons/apply", tag = "Coupons", security(("api_key" = [])),
    request_body = ApplyCouponRequest,
    responses((status = 201, body = AppliedCouponRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn apply(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<ApplyCouponRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let applied = state.runs.apply_coupon(caller.organization, request.application()?, caller.now).await?;
    Ok((StatusCode::CREATED, Json(AppliedCouponRecord::of(&applied))))
}

/// Takes a coupon from a customer.
#[utoipa::path(delete, path = "/v1/coupons/applied/{applied_coupon_id}", tag = "Coupons", security(("api_key" = [])),
    params(("applied_coupon_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 401), (status = 404), (status = 422)))]
async fn end_applied(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.end_applied_coupon(caller.organization, path.id("applied_coupon_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How often it was applied, and what it took off.
#[utoipa::path(get, path = "/v1/coupons/{code}/analytics", tag = "Coupons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 200, body = CouponAnalytics), (status = 401), (status = 404), (status = 422)))]
async fn analytics(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<CouponAnalytics>, ApiError> {
    let (coupon, found) = state.runs.coupon_use(caller.organization, path.text("code")?).await?;
    Ok(Json(CouponAnalytics::of(&coupon, &found)))
}

/// The same coupon under `<code>_copy`.
#[utoipa::path(post, path = "/v1/coupons/{code}/duplicate", tag = "Coupons", security(("api_key" = [])),
    params(("code" = String, Path)),
    responses((status = 201, body = CouponRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn duplicate(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<impl IntoResponse, ApiError> {
    let copy = state.runs.duplicate_coupon(caller.organization, path.text("code")?, caller.now).await?;
    Ok((StatusCode::CREATED, Json(CouponRecord::of(&copy, caller.now))))
}

/// What a customer got, in the order in which it was applied.
#[utoipa::path(get, path = "/v1/customers/{customer_id}/applied_coupons", tag = "Customers",
    security(("api_key" = [])), params(("customer_id" = uuid::Uuid, Path)),
    responses((status = 200, body = [AppliedCouponRecord]), (status = 401), (status = 404), (status = 422)))]
async fn of_customer(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<Vec<AppliedCouponRecord>>, ApiError> {
    let customer = state.prover.catalog().customer(caller.organization, path.id("customer_id")?).await?;
    let mut connection = state.connection().await?;
    let applied = coupons::of_customer(&mut connection, caller.organization, customer.id).await?;
    Ok(Json(applied.iter().map(AppliedCouponRecord::of).collect()))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(create, list, read, update, terminate, apply, end_applied, analytics, duplicate, of_customer))]
pub(super) struct Document;
