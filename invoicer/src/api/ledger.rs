//! The operator's look at the whole ledger.

use super::InvoicerState;
use crate::check_ledger::{LedgerReport, check_ledger};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http_api::{Admin, ApiError, collection};

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/ledger/check", get(check))
}

/// Verifies every sum and balance of the ledger, of all organizations. Takes a scan of it.
#[utoipa::path(get, path = "/v1/ledger/check", tag = "Operations", security(("admin_secret" = [])),
    responses((status = 200, body = LedgerReport), (status = 401)))]
async fn check(_: Admin, State(state): State<InvoicerState>) -> Result<Json<LedgerReport>, ApiError> {
    Ok(Json(check_ledger(state.runs.database()).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(check))]
pub(super) struct Document;
