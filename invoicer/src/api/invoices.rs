//! Routes of invoices.

use super::InvoicerState;
use super::wire::{InvoicePreviewRecord, InvoicePreviewRequest, InvoiceRecord};
use crate::ledger::invoices::{self, InvoiceFilter, PageOf};
use crate::preview::{PreviewOf, preview};
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::catalog::SubscriptionStatus;
use http_api::{
    ApiError, Authenticated, JsonBody, ListParams, Order, PathArguments, QueryArguments, collection, total_count,
};
use serde::Deserialize;

pub(super) fn routes() -> Router<InvoicerState> {
    let router = collection(Router::new(), "/v1/invoices", get(list));
    let router = collection(router, "/v1/invoices/preview", post(show_preview));
    router.route("/v1/invoices/{invoice_id}", get(read))
}

/// Fields a list may be ordered by, with their columns.
const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("invoice_number", "number"),
    ("issued_at", "issued_at"),
    ("due_date", "due_date"),
    ("paid_at", "paid_at"),
    ("billing_period_start", "period_start"),
    ("billing_period_end", "period_end"),
    ("subtotal_cents", "subtotal_cents"),
    ("total_cents", "total_cents"),
    ("currency", "currency"),
    ("status", "status"),
    ("invoice_type", "invoice_type"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum YesOrNo {
    #[serde(rename = "true")]
    Yes,
    #[serde(rename = "false")]
    No,
}

/// A page of invoices with their lines; overdue by the organization's clock.
#[utoipa::path(get, path = "/v1/invoices/", tag = "Invoices", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("customer_id" = Option<uuid::Uuid>, Query), ("subscription_id" = Option<uuid::Uuid>, Query),
        ("status" = Option<crate::model::InvoiceStatus>, Query), ("payment_overdue" = Option<bool>, Query)),
    responses((status = 200, body = [InvoiceRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let overdue: Option<YesOrNo> = query.choice("payment_overdue")?;
    let filter = InvoiceFilter {
        customer: query.id("customer_id")?,
        subscription: query.id("subscription_id")?,
        status: query.choice("status")?,
        overdue: overdue.map(|overdue| (overdue == YesOrNo::Yes, caller.now)),
    };
    let page = page_of(&params, ORDERS)?;
    let mut connection = state.connection().await?;
    let (found, total) = invoices::list(&mut connection, caller.organization, &filter, &page).await?;
    let records = found.iter().map(InvoiceRecord::read).collect::<Result<Vec<_>, _>>()?;
    Ok((total_count(total), Json(records)))
}

/// One invoice with its lines.
#[utoipa::path(get, path = "/v1/invoices/{invoice_id}", tag = "Invoices", security(("api_key" = [])),
    params(("invoice_id" = uuid::Uuid, Path)),
    responses((status = 200, body = InvoiceRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<InvoiceRecord>, ApiError> {
    let id = path.id("invoice_id")?;
    let found = invoices::get(&mut *state.connection().await?, caller.organization, id).await?;
    let invoice = found.ok_or_else(|| ApiError::not_found("Invoice"))?;
    Ok(Json(InvoiceRecord::read(&invoice)?))
}

/// What the open period of a subscription comes to so far, as it will be billed; nothing is stored. With both bounds: usage
/// between them only.
#[utoipa::path(post, path = "/v1/invoices/preview", tag = "Invoices", security(("api_key" = [])),
    request_body = InvoicePreviewRequest,
    responses((status = 200, body = InvoicePreviewRecord), (status = 400), (status = 401), (status = 404), (status = 422),
        (status = 503)))]
async fn show_preview(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<InvoicePreviewRequest>,
) -> Result<Json<InvoicePreviewRecord>, ApiError> {
    let bounds = request.bounds(caller.now)?;
    let catalog = state.prover.catalog();
    let subscription = catalog.subscription(caller.organization, request.subscription_id).await?;
    if subscription.status != SubscriptionStatus::Active {
        return Err(ApiError::bad_request("subscription_not_active", "Only active subscriptions have a preview"));
    }
    let of = PreviewOf {
        organization: caller.organization,
        customer: subscription.customer_id,
        subscription: subscription.id,
        now: caller.now,
        bounds,
    };
    let shown = preview(catalog, state.prover.rater(), of).await?;
    Ok(Json(InvoicePreviewRecord::of(&shown)))
}

/// The page asked for, ordered by the column of one of `orders`' fields.
pub(super) fn page_of(params: &ListParams, orders: &[(&'static str, &'static str)]) -> Result<PageOf, ApiError> {
    let fields: Vec<&'static str> = orders.iter().map(|(field, _)| *field).collect();
    let order = params.order(&fields)?;
    let column = orders.iter().find(|(field, _)| *field == order.column).map_or(order.column, |(_, column)| column);
    Ok(PageOf { order: Order { column, ..order }.sql(), skip: params.skip, limit: params.limit })
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, read, show_preview))]
pub(super) struct Document;
