//! Routes of payments by hand.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{ManualPaymentCreate, PaymentRecord, PaymentStatus, RefundRequest};
use crate::ledger::payments::{self, PaymentFilter};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::json_body::OptionalJsonBody;
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/payments", get(list))
        .route("/v1/payments/record", post(record))
        .route("/v1/payments/{payment_id}", get(read).delete(remove))
        .route("/v1/payments/{payment_id}/mark-paid", post(mark_paid))
        .route("/v1/payments/{payment_id}/refund", post(refund))
        .route("/v1/payments/{payment_id}/retry", post(retry))
}

const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("completed_at", "completed_at"),
    ("amount_cents", "amount_cents"),
    ("currency", "currency"),
    ("status", "status"),
];

/// A page of payments.
#[utoipa::path(get, path = "/v1/payments/", tag = "Payments", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("invoice_id" = Option<uuid::Uuid>, Query), ("customer_id" = Option<uuid::Uuid>, Query),
        ("status" = Option<PaymentStatus>, Query), ("provider" = Option<String>, Query)),
    responses((status = 200, body = [PaymentRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let status: Option<PaymentStatus> = query.choice("status")?;
    let provider = query.text("provider")?;
    let filter = PaymentFilter {
        customer: query.id("customer_id")?,
        invoice: query.id("invoice_id")?,
        state: status.and_then(PaymentStatus::state),
    };
    let page = page_of(&params, ORDERS)?;
    // No payment is of another provider, and none is being processed.
    if provider.is_some_and(|provider| provider != "manual") || (status.is_some() && filter.state.is_none()) {
        return Ok((total_count(0), Json(Vec::new())));
    }
    let mut connection = state.connection().await?;
    let (found, total) = payments::list(&mut connection, caller.organization, &filter, &page).await?;
    Ok((total_count(total), Json(found.iter().map(PaymentRecord::of).collect::<Vec<_>>())))
}

/// One payment.
#[utoipa::path(get, path = "/v1/payments/{payment_id}", tag = "Payments", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<PaymentRecord>, ApiError> {
    Ok(Json(PaymentRecord::of(&state.runs.payment(caller.organization, path.id("payment_id")?).await?)))
}

/// Money came for an invoice, or is announced.
#[utoipa::path(post, path = "/v1/payments/record", tag = "Payments", security(("api_key" = [])),
    request_body = ManualPaymentCreate,
    responses((status = 200, body = PaymentRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn record(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<ManualPaymentCreate>,
) -> Result<Json<PaymentRecord>, ApiError> {
    let payment = state.runs.record_payment(caller.organization, request.payment()?, caller.now).await?;
    Ok(Json(PaymentRecord::of(&payment)))
}

/// The money of an announced payment came.
#[utoipa::path(post, path = "/v1/payments/{payment_id}/mark-paid", tag = "Payments", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn mark_paid(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<PaymentRecord>, ApiError> {
    let payment = state.runs.mark_payment_paid(caller.organization, path.id("payment_id")?, caller.now).await?;
    Ok(Json(PaymentRecord::of(&payment)))
}

/// Money was paid back; without a body all that is left of the payment.
#[utoipa::path(post, path = "/v1/payments/{payment_id}/refund", tag = "Payments", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)), request_body = Option<RefundRequest>,
    responses((status = 200, body = PaymentRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn refund(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    OptionalJsonBody(request): OptionalJsonBody<RefundRequest>,
) -> Result<Json<PaymentRecord>, ApiError> {
    let refund = request.unwrap_or_default().refund()?;
    let payment = state.runs.refund_payment(caller.organization, path.id("payment_id")?, refund, caller.now).await?;
    Ok(Json(PaymentRecord::of(&payment)))
}

/// A payment that failed is announced again.
#[utoipa::path(post, path = "/v1/payments/{payment_id}/retry", tag = "Payments", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentRecord), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn retry(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<PaymentRecord>, ApiError> {
    let payment = state.runs.retry_payment(caller.organization, path.id("payment_id")?, caller.now).await?;
    Ok(Json(PaymentRecord::of(&payment)))
}

/// Takes back the announcement of a payment.
#[utoipa::path(delete, path = "/v1/payments/{payment_id}", tag = "Payments", security(("api_key" = [])),
    params(("payment_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.delete_payment(caller.organization, path.id("payment_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, read, record, mark_paid, refund, retry, remove), components(schemas(PaymentStatus)))]
pub(super) struct Document;
