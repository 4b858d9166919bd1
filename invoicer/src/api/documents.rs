//! Routes of the page to send: shown, or downloaded.

use super::InvoicerState;
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::{LedgerError, credit_notes};
use crate::model::InvoiceStatus;
use crate::printed::{Names, note_page_of, page_of};
use crate::run::RunError;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use domain::ids::OrganizationId;
use http_api::{ApiError, Authenticated, PathArguments};
use invoice_document::{Document as Page, DocumentError};

pub(super) fn routes() -> Router<InvoicerState> {
    Router::new()
        .route("/v1/invoices/{invoice_id}/pdf_preview", get(pdf_preview))
        .route("/v1/invoices/{invoice_id}/download_pdf", post(download_pdf))
        .route("/v1/credit_notes/{credit_note_id}/download_pdf", post(download_note))
}

/// The invoice as a PDF, to be shown.
#[utoipa::path(get, path = "/v1/invoices/{invoice_id}/pdf_preview", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, content_type = "application/pdf", body = Vec<u8>), (status = 400), (status = 401),
        (status = 404), (status = 422)))]
async fn pdf_preview(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Response, ApiError> {
    sent_as(&caller, &state, &path, "inline").await
}

/// The invoice as a PDF, to be kept.
#[utoipa::path(post, path = "/v1/invoices/{invoice_id}/download_pdf", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, content_type = "application/pdf", body = Vec<u8>), (status = 400), (status = 401),
        (status = 404), (status = 422)))]
async fn download_pdf(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Response, ApiError> {
    sent_as(&caller, &state, &path, "attachment").await
}

/// A credit note as a PDF.
#[utoipa::path(post, path = "/v1/credit_notes/{credit_note_id}/download_pdf", tag = "Credit Notes",
    security(("api_key" = [])), params(("credit_note_id" = uuid::Uuid, Path)),
    responses((status = 200, content_type = "application/pdf", body = Vec<u8>), (status = 400), (status = 401),
        (status = 404), (status = 422)))]
async fn download_note(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Response, ApiError> {
    let note = state.runs.credit_note(caller.organization, path.id("credit_note_id")?).await?;
    if note.issued_at.is_none() {
        let detail = "Only finalized credit notes; this one is a draft";
        return Err(ApiError::bad_request("wrong_credit_note_state", detail));
    }
    let invoice = state.runs.invoice(caller.organization, note.invoice).await?;
    let items = credit_notes::items(&mut *state.connection().await?, note.id).await?;
    let page = with_names(&state, caller.organization, &invoice, |names| note_page_of(&note, &items, &invoice, names));
    sent(page.await?, "attachment").await
}

/// An invoice that may leave the house: issued, and not taken back.
async fn issued(
    caller: &Authenticated,
    state: &InvoicerState,
    path: &PathArguments,
) -> Result<StoredInvoice, ApiError> {
    let invoice = state.runs.invoice(caller.organization, path.id("invoice_id")?).await?;
    if !matches!(invoice.status, InvoiceStatus::Finalized | InvoiceStatus::Paid) {
        let detail = format!("Only finalized and paid invoices; this one is {}", invoice.status);
        return Err(ApiError::bad_request("wrong_invoice_state", detail));
    }
    Ok(invoice)
}

async fn sent_as(
    caller: &Authenticated,
    state: &InvoicerState,
    path: &PathArguments,
    how: &str,
) -> Result<Response, ApiError> {
    let invoice = issued(caller, state, path).await?;
    let page = with_names(state, caller.organization, &invoice, |names| page_of(&invoice, names)).await?;
    sent(page, how).await
}

async fn sent(page: Page, how: &str) -> Result<Response, ApiError> {
    let name = file_name(&page.number);
    let set = tokio::task::spawn_blocking(move || typeset(page)).await.map_err(ApiError::internal)?;
    let pdf = set.map_err(ApiError::internal)?;
    let disposition = format!("{how}; filename=\"{name}.pdf\"");
    Ok(([(CONTENT_TYPE, "application/pdf".to_owned()), (CONTENT_DISPOSITION, disposition)], pdf).into_response())
}

/// A logo that begins like a picture and is none must not keep an invoice from being sent.
fn typeset(mut page: Page) -> Result<Vec<u8>, DocumentError> {
    let set = page.pdf();
    match (set, page.logo.take()) {
        (Err(fault), Some(_)) => {
            tracing::warn!(invoice = %page.number, %fault, "set once more without its logo");
            page.pdf()
        }
        (set, _) => set,
    }
}

/// A page over an invoice, with the names that the catalog says now.
async fn with_names(
    state: &InvoicerState,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    page: impl FnOnce(&Names<'_>) -> Result<Page, LedgerError>,
) -> Result<Page, ApiError> {
    let catalog = state.prover.catalog();
    let customer = catalog.customer(organization, invoice.customer).await?;
    let entity = match invoice.entity {
        Some(id) => catalog.billing_entity_by_id(organization, id).await?,
        None => None,
    };
    let owner = catalog.organization(organization).await?;
    let world = state.runs.inputs().customer_world(organization, invoice.customer).await.map_err(RunError::from)?;
    let names = Names { organization: &owner, entity: entity.as_ref(), customer: &customer, view: &world.view };
    Ok(page(&names)?)
}

/// A prefix is the client's text: what could end a header or a path is left out.
fn file_name(number: &str) -> String {
    number.chars().map(|one| if one.is_ascii_alphanumeric() || one == '-' { one } else { '_' }).collect()
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(pdf_preview, download_pdf, download_note))]
pub(super) struct Document;
