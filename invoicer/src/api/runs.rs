//! Routes of billing runs.

use super::InvoicerState;
use super::wire::{BillingRunRecord, BillingRunRequest};
use crate::due::Reach;
use crate::ledger::invoices::PageOf;
use crate::ledger::runs::RunScope;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::json_body::OptionalJsonBody;
use http_api::{ApiError, Caller, ListParams, Order, PathArguments, collection, total_count};

pub(super) fn routes() -> Router<InvoicerState> {
    let one = get(read);
    let all = collection(Router::new(), "/v1/billing_runs", get(list).post(start));
    collection(all, "/v1/billing_runs/{billing_run_id}", one)
}

/// Bills everything due up to `as_of` and not billed yet, in the background. While a run of the same `as_of` goes on, answers
/// with that one. With the admin secret and no organization: all organizations.
#[utoipa::path(post, path = "/v1/billing_runs", tag = "Billing Runs", security(("api_key" = []), ("admin_secret" = [])),
    request_body = Option<BillingRunRequest>,
    responses((status = 202, body = BillingRunRecord), (status = 401), (status = 422)))]
async fn start(
    caller: Caller,
    State(state): State<InvoicerState>,
    OptionalJsonBody(request): OptionalJsonBody<BillingRunRequest>,
) -> Result<impl IntoResponse, ApiError> {
    let request = request.unwrap_or_default();
    let (organization, now) = scope_of(&caller, &state);
    let as_of = request.as_of.unwrap_or(now);
    if as_of > now {
        // Billing a period that still runs would leave its later events to adjustments.
        let msg = format!("lies in the future: the clock shows {now}");
        return Err(ApiError::invalid_field("as_of", msg, &as_of.to_string().into()));
    }
    let scope = RunScope { organization, as_of, dry_run: request.dry_run, reach: Reach::Everything };
    let run = state.runs.start(scope).await?;
    Ok((StatusCode::ACCEPTED, Json(BillingRunRecord::from(&run))))
}

/// A page of billing runs, newest first.
#[utoipa::path(get, path = "/v1/billing_runs", tag = "Billing Runs", security(("api_key" = []), ("admin_secret" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query)),
    responses((status = 200, body = [BillingRunRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Caller,
    State(state): State<InvoicerState>,
    params: ListParams,
) -> Result<impl IntoResponse, ApiError> {
    let order = params.order(&["created_at", "started_at", "finished_at", "as_of", "status"])?;
    let (organization, _) = scope_of(&caller, &state);
    let page = PageOf { order: runs_order(order), skip: params.skip, limit: params.limit };
    let (found, total) = state.runs.list(organization, &page).await?;
    Ok((total_count(total), Json(found.iter().map(BillingRunRecord::from).collect::<Vec<_>>())))
}

/// One billing run.
#[utoipa::path(get, path = "/v1/billing_runs/{billing_run_id}", tag = "Billing Runs",
    security(("api_key" = []), ("admin_secret" = [])), params(("billing_run_id" = uuid::Uuid, Path)),
    responses((status = 200, body = BillingRunRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Caller,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<BillingRunRecord>, ApiError> {
    let (organization, _) = scope_of(&caller, &state);
    let found = state.runs.get(organization, path.id("billing_run_id")?).await?;
    let run = found.ok_or_else(|| ApiError::not_found("Billing run"))?;
    Ok(Json(BillingRunRecord::from(&run)))
}

/// Whose runs the caller may start and see, and what "now" is for it.
fn scope_of(caller: &Caller, state: &InvoicerState) -> (Option<OrganizationId>, Timestamp) {
    match caller {
        Caller::Organization(caller) => (Some(caller.organization), caller.now),
        Caller::Admin => (None, state.auth.clock.now()),
    }
}

/// A run is made when it is started.
fn runs_order(order: Order) -> String {
    let column = if order.column == "created_at" { "started_at" } else { order.column };
    Order { column, ..order }.sql()
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(start, list, read))]
pub(super) struct Document;
