//! Routes of payment requests.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{
    BatchPaymentRequestResponse, PaymentAttemptHistoryResponse, PaymentRequestCreate, PaymentRequestRecord,
    PaymentRequestStatus,
};
use crate::ledger::payment_requests::{self, RequestFilter};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};
use std::collections::BTreeMap;

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/payment_requests", get(list).post(create))
        .route("/v1/payment_requests/batch", post(batch))
        .route("/v1/payment_requests/{request_id}", get(read))
        .route("/v1/payment_requests/{request_id}/attempts", get(attempts))
}

const ORDERS: &[(&str, &str)] =
    &[("created_at", "created_at"), ("amount_cents", "amount_cents"), ("amount_currency", "currency")];

/// Asks a customer for several invoices together.
#[utoipa::path(post, path = "/v1/payment_requests/", tag = "Payment Requests", security(("api_key" = [])),
    request_body = PaymentRequestCreate,
    responses((status = 201, body = PaymentRequestRecord), (status = 400), (status = 401), (status = 404),
        (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<PaymentRequestCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let invoices = request.invoices()?;
    let asked = state.runs.request_payment(caller.organization, request.customer_id, &invoices, caller.now).await?;
    Ok((StatusCode::CREATED, Json(PaymentRequestRecord::of(&asked))))
}

/// Asks every customer for what is overdue, one request for each currency; what was asked for already is left out.
#[utoipa::path(post, path = "/v1/payment_requests/batch", tag = "Payment Requests", security(("api_key" = [])),
    responses((status = 201, body = BatchPaymentRequestResponse), (status = 401)))]
async fn batch(caller: Authenticated, State(state): State<InvoicerState>) -> Result<impl IntoResponse, ApiError> {
    let made = state.runs.request_overdue(caller.organization, caller.now).await?;
    let mut names = BTreeMap::new();
    for request in &made {
        let customer = state.prover.catalog().customer(caller.organization, request.customer).await?;
        names.insert(request.customer, customer.name);
    }
    Ok((StatusCode::CREATED, Json(BatchPaymentRequestResponse::of(&made, &names))))
}

/// A page of requests.
#[utoipa::path(get, path = "/v1/payment_requests/", tag = "Payment Requests", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("customer_id" = Option<uuid::Uuid>, Query), ("payment_status" = Option<PaymentRequestStatus>, Query)),
    responses((status = 200, body = [PaymentRequestRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let status: Option<PaymentRequestStatus> = query.choice("payment_status")?;
    let customer = query.id("customer_id")?;
    let page = page_of(&params, ORDERS)?;
    if status == Some(PaymentRequestStatus::Failed) {
        return Ok((total_count(0), Json(Vec::new())));
    }
    let answered = status.map(|status| status == PaymentRequestStatus::Succeeded);
    let mut connection = state.connection().await?;
    let filter = RequestFilter { customer, answered };
    let (found, total) = payment_requests::list(&mut connection, caller.organization, &filter, &page).await?;
    Ok((total_count(total), Json(found.iter().map(PaymentRequestRecord::of).collect::<Vec<_>>())))
}

/// One request.
#[utoipa::path(get, path = "/v1/payment_requests/{request_id}", tag = "Payment Requests", security(("api_key" = [])),
    params(("request_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentRequestRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<PaymentRequestRecord>, ApiError> {
    let request = state.runs.payment_request(caller.organization, path.id("request_id")?).await?;
    Ok(Json(PaymentRequestRecord::of(&request)))
}

/// What was settled of its invoices since it was made.
#[utoipa::path(get, path = "/v1/payment_requests/{request_id}/attempts", tag = "Payment Requests",
    security(("api_key" = [])), params(("request_id" = uuid::Uuid, Path)),
    responses((status = 200, body = PaymentAttemptHistoryResponse), (status = 401), (status = 404), (status = 422)))]
async fn attempts(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<PaymentAttemptHistoryResponse>, ApiError> {
    let request = state.runs.payment_request(caller.organization, path.id("request_id")?).await?;
    let mut connection = state.connection().await?;
    let found = payment_requests::attempts(&mut connection, &request).await?;
    Ok(Json(PaymentAttemptHistoryResponse::of(&request, &found)))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(create, batch, list, read, attempts), components(schemas(PaymentRequestStatus)))]
pub(super) struct Document;
