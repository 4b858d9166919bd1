//! The operator's look at the whole ledger.

use super::InvoicerState;
use crate::check_ledger::{LedgerReport, check_ledger};
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use http_api::{Admin, ApiError, collection};

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/ledger/check", get(check))
}

/// Verifies every sum and balance of the ledger, of all organizations. Takes a scan of it. `/metrics` tells the outcome from then on.
#[utoipa::path(get, path = "/v1/ledger/check", tag = "Operations", security(("admin_secret" = [])),
    responses((status = 200, body = LedgerReport), (status = 401)))]
async fn check(_: Admin, State(state): State<InvoicerState>) -> Result<Json<LedgerReport>, ApiError> {
    let report = check_ledger(state.runs.database()).await?;
    metrics::gauge!("tollgate_ledger_problems").set(report.problems_total as f64);
    let checked_at = Timestamp::now().0 / MICROS_PER_SECOND;
    metrics::gauge!("tollgate_ledger_checked_timestamp_seconds").set(checked_at as f64);
    Ok(Json(report))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(check))]
pub(super) struct Document;
