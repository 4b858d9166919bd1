//! Routes of fees, and of what proves them.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{EventRecord, FeeRecord, FeeUpdate, ProofRecord};
use crate::ledger::fees::{self, FeeFilter, StoredFee};
use aggregator::reads::PageRequest;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use catalog::audit::{Change, written_down};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};

pub(super) fn routes() -> Router<InvoicerState> {
    let router = collection(Router::new(), "/v1/fees", get(list)).route("/v1/fees/{fee_id}", get(read).put(update));
    let router = collection(router, "/v1/fees/{fee_id}/proof", get(proof));
    collection(router, "/v1/fees/{fee_id}/events", get(events))
}

/// Fields a list may be ordered by, with their columns.
const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("amount_cents", "amount_cents"),
    ("total_amount_cents", "amount_cents"),
    ("events_count", "events_count"),
    ("fee_type", "fee_type"),
    ("payment_status", "payment_status"),
    ("metric_code", "metric_code"),
    ("period_start", "period_start"),
    ("period_end", "period_end"),
];

/// A page of fees.
#[utoipa::path(get, path = "/v1/fees/", tag = "Fees", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("invoice_id" = Option<uuid::Uuid>, Query), ("customer_id" = Option<uuid::Uuid>, Query),
        ("subscription_id" = Option<uuid::Uuid>, Query), ("fee_type" = Option<crate::model::FeeKind>, Query),
        ("payment_status" = Option<crate::model::FeePayment>, Query)),
    responses((status = 200, body = [FeeRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let filter = FeeFilter {
        invoice: query.id("invoice_id")?,
        customer: query.id("customer_id")?,
        subscription: query.id("subscription_id")?,
        kind: query.choice("fee_type")?,
        payment: query.choice("payment_status")?,
    };
    let page = page_of(&params, ORDERS)?;
    let mut connection = state.connection().await?;
    let (found, total) = fees::list(&mut connection, caller.organization, &filter, &page).await?;
    let records = found.iter().map(FeeRecord::read).collect::<Result<Vec<_>, _>>()?;
    Ok((total_count(total), Json(records)))
}

/// One fee.
#[utoipa::path(get, path = "/v1/fees/{fee_id}", tag = "Fees", security(("api_key" = [])),
    params(("fee_id" = uuid::Uuid, Path)),
    responses((status = 200, body = FeeRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<FeeRecord>, ApiError> {
    Ok(Json(FeeRecord::read(&find(&caller, &state, &path).await?)?))
}

/// Changes text and payment state of a fee. What it and its taxes amount to is Tollgate's alone.
#[utoipa::path(put, path = "/v1/fees/{fee_id}", tag = "Fees", security(("api_key" = [])),
    params(("fee_id" = uuid::Uuid, Path)), request_body = FeeUpdate,
    responses((status = 200, body = FeeRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(change): JsonBody<FeeUpdate>,
) -> Result<Json<FeeRecord>, ApiError> {
    change.check()?;
    let id = path.id("fee_id")?;
    let mut write = state.runs.database().write().await?;
    let before = fees::get(write.connection(), caller.organization, id).await?;
    let before = FeeRecord::read(&before.ok_or_else(|| ApiError::not_found("Fee"))?)?;
    let description = change.description.as_deref();
    fees::update(write.connection(), id, description, change.payment_status, caller.now).await?;
    let after = fees::get(write.connection(), caller.organization, id).await?;
    let after = FeeRecord::read(&after.ok_or_else(|| ApiError::not_found("Fee"))?)?;
    let logged = Change { resource: "fee", before: Some(&before), after: Some(&after) };
    written_down(&mut write, caller.organization, id, logged, caller.now).await?;
    write.commit().await?;
    Ok(Json(after))
}

/// Counts the fee again, event by event, at the cut it was rated at.
#[utoipa::path(get, path = "/v1/fees/{fee_id}/proof", tag = "Fees", security(("api_key" = [])),
    params(("fee_id" = uuid::Uuid, Path)),
    responses((status = 200, body = ProofRecord), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn proof(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<ProofRecord>, ApiError> {
    let fee = find(&caller, &state, &path).await?;
    let proof = state.prover.prove(&fee).await?;
    Ok(Json(ProofRecord::of(&fee, &proof)))
}

/// A page of exactly the events billed by the fee, by timestamp and id.
#[utoipa::path(get, path = "/v1/fees/{fee_id}/events", tag = "Fees", security(("api_key" = [])),
    params(("fee_id" = uuid::Uuid, Path), ("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = [EventRecord]), (status = 401), (status = 404), (status = 422), (status = 503)))]
async fn events(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let fee = find(&caller, &state, &path).await?;
    // ListParams holds both within 0 and its limits.
    let page = PageRequest { skip: params.skip.unsigned_abs(), limit: params.limit.unsigned_abs() };
    let found = state.prover.events(&fee, page).await?;
    let records = found.iter().map(EventRecord::read).collect::<Result<Vec<_>, _>>()?;
    Ok((total_count(i64::try_from(fee.events_count).unwrap_or(i64::MAX)), Json(records)))
}

async fn find(caller: &Authenticated, state: &InvoicerState, path: &PathArguments) -> Result<StoredFee, ApiError> {
    let id = path.id("fee_id")?;
    let found = fees::get(&mut *state.connection().await?, caller.organization, id).await?;
    found.ok_or_else(|| ApiError::not_found("Fee"))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, read, update, proof, events))]
pub(super) struct Document;
