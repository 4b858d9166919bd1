//! Routes of what is done to invoices by hand.

use super::InvoicerState;
use super::wire::{
    BulkFinalizeResponse, BulkInvoices, BulkVoidResponse, InvoiceRecord, InvoiceUpdate, OneOffInvoiceCreate,
    SendReminderResponse, SettlementRecord, outcome_of,
};
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::states::{self, Letter};
use crate::model::InvoiceStatus;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use domain::ids::InvoiceId;
use http_api::idempotency::{IdempotencyState, idempotent};
use http_api::{ApiError, Authenticated, JsonBody, PathArguments};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes(state: &InvoicerState) -> Router<InvoicerState> {
    let store = Arc::new(state.prover.catalog().clone());
    let idempotency = IdempotencyState { auth: state.auth.clone(), store };
    let finalize = post(finalize).layer(from_fn_with_state(idempotency, idempotent));
    Router::new()
        .route("/v1/invoices/one_off", post(one_off))
        .route("/v1/invoices/bulk_finalize", post(bulk_finalize))
        .route("/v1/invoices/bulk_void", post(bulk_void))
        .route("/v1/invoices/{invoice_id}", put(update).delete(remove))
        .route("/v1/invoices/{invoice_id}/finalize", finalize)
        .route("/v1/invoices/{invoice_id}/refresh", post(refresh))
        .route("/v1/invoices/{invoice_id}/pay", post(pay))
        .route("/v1/invoices/{invoice_id}/void", post(void))
        .route("/v1/invoices/{invoice_id}/regenerate", post(regenerate))
        .route("/v1/invoices/{invoice_id}/settlements", get(settlements))
        .route("/v1/invoices/{invoice_id}/send_reminder", post(send_reminder))
        .route("/v1/invoices/{invoice_id}/send_email", post(send_email))
}

fn shown(invoice: &StoredInvoice) -> Result<Json<InvoiceRecord>, ApiError> {
    Ok(Json(InvoiceRecord::read(invoice)?))
}

/// A draft of lines given by hand.
#[utoipa::path(post, path = "/v1/invoices/one_off", tag = "Invoices", security(("api_key" = [])),
    request_body = OneOffInvoiceCreate,
    responses((status = 200, body = InvoiceRecord), (status = 401), (status = 404), (status = 422)))]
async fn one_off(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<OneOffInvoiceCreate>,
) -> Result<Json<InvoiceRecord>, ApiError> {
    let catalog = state.prover.catalog();
    let customer = catalog.customer(caller.organization, request.customer_id).await?;
    if let Some(entity) = request.billing_entity_id {
        let known = catalog.billing_entity_by_id(caller.organization, entity).await?;
        known.ok_or_else(|| ApiError::not_found("Billing entity"))?;
    }
    let handmade = request.handmade(caller.organization, &customer.currency)?;
    shown(&state.runs.make_by_hand(handmade, caller.now).await?)
}

/// Issues a draft: its usage is rated once more, it gets its number. Honours `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/finalize", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422), (status = 503)))]
async fn finalize(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    let id = path.id("invoice_id")?;
    shown(&state.runs.finalize_invoice(caller.organization, id, caller.now).await?)
}

/// Rates a draft again, with the events that arrived meanwhile.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/refresh", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422), (status = 503)))]
async fn refresh(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    let id = path.id("invoice_id")?;
    shown(&state.runs.refresh_invoice(caller.organization, id, caller.now).await?)
}

/// Settles a finalized invoice by hand.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/pay", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn pay(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    shown(&state.runs.pay_invoice(caller.organization, path.id("invoice_id")?, caller.now).await?)
}

/// Takes an unpaid invoice back.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/void", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn void(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    shown(&state.runs.void_invoice(caller.organization, path.id("invoice_id")?, caller.now).await?)
}

/// Makes a voided invoice again, as a draft with the same lines; once.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/regenerate", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn regenerate(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    shown(&state.runs.regenerate_invoice(caller.organization, path.id("invoice_id")?, caller.now).await?)
}

/// Changes dates of an unpaid invoice; a sent status does what its action does.
#[utoipa::path(put, path = "/v1/invoices/{invoice_id}", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)), request_body = InvoiceUpdate,
    responses((status = 200, body = InvoiceRecord), (status = 400), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(change): JsonBody<InvoiceUpdate>,
) -> Result<Json<InvoiceRecord>, ApiError> {
    let id: InvoiceId = path.id("invoice_id")?;
    change.check()?;
    let (runs, organization, now) = (&state.runs, caller.organization, caller.now);
    let mut invoice = runs.invoice(organization, id).await?;
    if change.issued_at.is_some() || change.due_date.is_some() {
        invoice = runs.date_invoice(organization, id, change.issued_at, change.due_date, now).await?;
    }
    invoice = match change.status.filter(|wanted| *wanted != invoice.status) {
        None => invoice,
        Some(InvoiceStatus::Finalized) => runs.finalize_invoice(organization, id, now).await?,
        Some(InvoiceStatus::Paid) => runs.pay_invoice(organization, id, now).await?,
        Some(InvoiceStatus::Voided) => runs.void_invoice(organization, id, now).await?,
        Some(InvoiceStatus::Draft) => {
            return Err(ApiError::bad_request("wrong_invoice_state", "no invoice becomes a draft again"));
        }
    };
    shown(&invoice)
}

/// Deletes a draft of lines given by hand.
#[utoipa::path(delete, path = "/v1/invoices/{invoice_id}", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 400), (status = 401), (status = 404), (status = 409), (status = 422)))]
async fn remove(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.delete_invoice(caller.organization, path.id("invoice_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Issues several drafts; the result tells of each.
#[utoipa::path(post, path = "/v1/invoices/bulk_finalize", tag = "Invoices", security(("api_key" = [])),
    request_body = BulkInvoices,
    responses((status = 200, body = BulkFinalizeResponse), (status = 401), (status = 422)))]
async fn bulk_finalize(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(bulk): JsonBody<BulkInvoices>,
) -> Result<Json<BulkFinalizeResponse>, ApiError> {
    bulk.check()?;
    let mut results = Vec::with_capacity(bulk.invoice_ids.len());
    for id in &bulk.invoice_ids {
        let done = state.runs.finalize_invoice(caller.organization, *id, caller.now).await;
        results.push(outcome_of(*id, done.map(|_| ()).map_err(ApiError::from))?);
    }
    Ok(Json(BulkFinalizeResponse::of(results)))
}

/// Takes several unpaid invoices back; the result tells of each.
#[utoipa::path(post, path = "/v1/invoices/bulk_void", tag = "Invoices", security(("api_key" = [])),
    request_body = BulkInvoices,
    responses((status = 200, body = BulkVoidResponse), (status = 401), (status = 422)))]
async fn bulk_void(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(bulk): JsonBody<BulkInvoices>,
) -> Result<Json<BulkVoidResponse>, ApiError> {
    bulk.check()?;
    let mut results = Vec::with_capacity(bulk.invoice_ids.len());
    for id in &bulk.invoice_ids {
        let done = state.runs.void_invoice(caller.organization, *id, caller.now).await;
        results.push(outcome_of(*id, done.map(|_| ()).map_err(ApiError::from))?);
    }
    Ok(Json(BulkVoidResponse::of(results)))
}

/// What paid an invoice, oldest first.
#[utoipa::path(get, path = "/v1/invoices/{invoice_id}/settlements", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = [SettlementRecord]), (status = 401), (status = 404), (status = 422)))]
async fn settlements(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<Vec<SettlementRecord>>, ApiError> {
    let invoice = state.runs.invoice(caller.organization, path.id("invoice_id")?).await?;
    let found = states::settlements(&mut *state.connection().await?, caller.organization, invoice.id).await?;
    Ok(Json(found.into_iter().map(|settlement| SettlementRecord::of(invoice.id, settlement)).collect()))
}

/// Writes down that the customer was reminded of a finalized invoice. No mail is sent: `sent` says so.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/send_reminder", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SendReminderResponse), (status = 400), (status = 401), (status = 404),
        (status = 422)))]
async fn send_reminder(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<SendReminderResponse>, ApiError> {
    let invoice = state.runs.invoice(caller.organization, path.id("invoice_id")?).await?;
    if invoice.status != InvoiceStatus::Finalized {
        let detail = format!("Only finalized invoices are reminded of; this one is {}", invoice.status);
        return Err(ApiError::bad_request("wrong_invoice_state", detail));
    }
    write_to_customer(&caller, &state, &invoice, Letter::Reminder).await?;
    Ok(Json(SendReminderResponse { sent: false, invoice_id: invoice.id }))
}

/// Writes down that an issued invoice is to be mailed to the customer. No mail is sent: `sent` says so.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/send_email", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = BTreeMap<String, bool>), (status = 400), (status = 401), (status = 404),
        (status = 422)))]
async fn send_email(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<BTreeMap<&'static str, bool>>, ApiError> {
    let invoice = state.runs.invoice(caller.organization, path.id("invoice_id")?).await?;
    if !matches!(invoice.status, InvoiceStatus::Finalized | InvoiceStatus::Paid) {
        let detail = format!("Only finalized and paid invoices are mailed; this one is {}", invoice.status);
        return Err(ApiError::bad_request("wrong_invoice_state", detail));
    }
    write_to_customer(&caller, &state, &invoice, Letter::Invoice).await?;
    Ok(Json(BTreeMap::from([("sent", false)])))
}

async fn write_to_customer(
    caller: &Authenticated,
    state: &InvoicerState,
    invoice: &StoredInvoice,
    letter: Letter,
) -> Result<(), ApiError> {
    let customer = state.prover.catalog().customer(caller.organization, invoice.customer).await?;
    let Some(email) = customer.email else {
        return Err(ApiError::bad_request("customer_without_email", "the customer has no email address"));
    };
    let mut write = state.runs.database().write().await?;
    states::write_to(write.connection(), caller.organization, invoice.id, letter, &email, caller.now).await?;
    Ok(write.commit().await?)
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    one_off,
    finalize,
    refresh,
    pay,
    void,
    regenerate,
    update,
    remove,
    bulk_finalize,
    bulk_void,
    settlements,
    send_reminder,
    send_email
))]
pub(super) struct Document;
