//! Routes of credit notes.

use super::InvoicerState;
use super::invoices::page_of;
use super::wire::{
    CreditNoteCreate, CreditNoteEstimate, CreditNoteEstimateRequest, CreditNoteRecord, CreditNoteUpdate,
};
use crate::ledger::credit_notes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};
use std::collections::BTreeMap;

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/credit_notes", get(list).post(create))
        .route("/v1/credit_notes/estimate", post(estimate))
        .route("/v1/credit_notes/{credit_note_id}", get(read).put(update))
        .route("/v1/credit_notes/{credit_note_id}/finalize", post(finalize))
        .route("/v1/credit_notes/{credit_note_id}/void", post(void))
        .route("/v1/credit_notes/{credit_note_id}/send_email", post(send_email))
}

const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("issued_at", "issued_at"),
    ("number", "number"),
    ("status", "status"),
    ("total_amount_cents", "total_cents"),
];

/// A draft over fees of an issued invoice.
#[utoipa::path(post, path = "/v1/credit_notes/", tag = "Credit Notes", security(("api_key" = [])),
    request_body = CreditNoteCreate,
    responses((status = 201, body = CreditNoteRecord), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<CreditNoteCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let note = state.runs.create_credit_note(caller.organization, request.note()?, caller.now).await?;
    Ok((StatusCode::CREATED, Json(CreditNoteRecord::of(&note))))
}

/// What a note would come to; nothing is stored.
#[utoipa::path(post, path = "/v1/credit_notes/estimate", tag = "Credit Notes", security(("api_key" = [])),
    request_body = CreditNoteEstimateRequest,
    responses((status = 200, body = CreditNoteEstimate), (status = 401), (status = 404), (status = 422)))]
async fn estimate(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<CreditNoteEstimateRequest>,
) -> Result<Json<CreditNoteEstimate>, ApiError> {
    let credited = request.credited()?;
    let estimate = state.runs.estimate_credit_note(caller.organization, request.invoice_id, credited).await?;
    Ok(Json(CreditNoteEstimate::of(&estimate)))
}

/// A page of notes.
#[utoipa::path(get, path = "/v1/credit_notes/", tag = "Credit Notes", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("customer_id" = Option<uuid::Uuid>, Query), ("invoice_id" = Option<uuid::Uuid>, Query)),
    responses((status = 200, body = [CreditNoteRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let filter = (query.id("customer_id")?, query.id("invoice_id")?);
    let page = page_of(&params, ORDERS)?;
    let mut connection = state.connection().await?;
    let (notes, total) = credit_notes::list(&mut connection, caller.organization, filter, &page).await?;
    Ok((total_count(total), Json(notes.iter().map(CreditNoteRecord::of).collect::<Vec<_>>())))
}

/// One note.
#[utoipa::path(get, path = "/v1/credit_notes/{credit_note_id}", tag = "Credit Notes", security(("api_key" = [])),
    params(("credit_note_id" = uuid::Uuid, Path)),
    responses((status = 200, body = CreditNoteRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<CreditNoteRecord>, ApiError> {
    let note = state.runs.credit_note(caller.organization, path.id("credit_note_id")?).await?;
    Ok(Json(CreditNoteRecord::of(&note)))
}

/// Changes a draft; of an issued note what became of its refund.
#[utoipa::path(put, path = "/v1/credit_notes/{credit_note_id}", tag = "Credit Notes", security(("api_key" = [])),
    params(("credit_note_id" = uuid::Uuid, Path)), request_body = CreditNoteUpdate,
    responses((status = 200, body = CreditNoteRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(request): JsonBody<CreditNoteUpdate>,
) -> Result<Json<CreditNoteRecord>, ApiError> {
    let (id, change) = (path.id("credit_note_id")?, request.change()?);
    let note = state.runs.update_credit_note(caller.organization, id, change, caller.now).await?;
    Ok(Json(CreditNoteRecord::of(&note)))
}

/// Issues a draft: its credit is spent by the next invoices, its refund is to be paid, its offset is taken off.
#[utoipa::path(post, path = "/v1/credit_notes/{credit_note_id}/finalize", tag = "Credit Notes",
    security(("api_key" = [])), params(("credit_note_id" = uuid::Uuid, Path)),
    responses((status = 200, body = CreditNoteRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn finalize(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<CreditNoteRecord>, ApiError> {
    let id = path.id("credit_note_id")?;
    Ok(Json(CreditNoteRecord::of(&state.runs.finalize_credit_note(caller.organization, id, caller.now).await?)))
}

/// Withdraws what is left of an issued note.
#[utoipa::path(post, path = "/v1/credit_notes/{credit_note_id}/void", tag = "Credit Notes", security(("api_key" = [])),
    params(("credit_note_id" = uuid::Uuid, Path)),
    responses((status = 200, body = CreditNoteRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn void(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<CreditNoteRecord>, ApiError> {
    let id = path.id("credit_note_id")?;
    Ok(Json(CreditNoteRecord::of(&state.runs.void_credit_note(caller.organization, id, caller.now).await?)))
}

/// Mails are not sent yet: `sent` says so.
#[utoipa::path(post, path = "/v1/credit_notes/{credit_note_id}/send_email", tag = "Credit Notes",
    security(("api_key" = [])), params(("credit_note_id" = uuid::Uuid, Path)),
    responses((status = 200, body = BTreeMap<String, bool>), (status = 400), (status = 401), (status = 404),
        (status = 422)))]
async fn send_email(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<BTreeMap<&'static str, bool>>, ApiError> {
    let note = state.runs.credit_note(caller.organization, path.id("credit_note_id")?).await?;
    if !note.finalized {
        return Err(ApiError::bad_request("wrong_credit_note_state", "Only finalized credit notes are mailed"));
    }
    Ok(Json(BTreeMap::from([("sent", false)])))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(create, estimate, list, read, update, finalize, void, send_email))]
pub(super) struct Document;
