//! Routes of wallets.

use super::InvoicerState;
use super::coupons::known_metrics;
use super::invoices::page_of;
use super::wire::{
    BalanceTimelineResponse, DepletionForecastResponse, OngoingBalanceResponse, WalletCreate, WalletRecord,
    WalletTopUp, WalletTransactionRecord, WalletTransferRequest, WalletTransferResponse, WalletUpdate,
};
use crate::ledger::invoices::PageOf;
use crate::ledger::wallet_statement;
use crate::ledger::wallets::{self, WalletFilter};
use crate::wallets::ongoing::ongoing_usage;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use catalog::subscription::storage::SubscriptionFilter;
use domain::catalog::SubscriptionStatus;
use domain::ids::SubscriptionId;
use domain::time::Timestamp;
use http_api::list_params::MAX_LIMIT;
use http_api::{ApiError, Authenticated, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count};
use serde::Deserialize;

pub(super) fn routes() -> Router<InvoicerState> {
    collection(Router::new(), "/v1/wallets", get(list).post(create))
        .route("/v1/wallets/transfer", post(transfer))
        .route("/v1/wallets/{wallet_id}", get(read).put(update).delete(terminate))
        .route("/v1/wallets/{wallet_id}/top_up", post(top_up))
        .route("/v1/wallets/{wallet_id}/transactions", get(transactions))
        .route("/v1/wallets/{wallet_id}/balance_timeline", get(timeline))
        .route("/v1/wallets/{wallet_id}/depletion_forecast", get(forecast))
        .route("/v1/wallets/{wallet_id}/ongoing_balance", get(ongoing))
}

const ORDERS: &[(&str, &str)] = &[
    ("created_at", "created_at"),
    ("updated_at", "updated_at"),
    ("name", "name"),
    ("code", "code"),
    ("priority", "priority"),
    ("currency", "currency"),
    ("expiration_at", "expires_at"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum WalletStatus {
    Active,
    Terminated,
}

/// A new wallet; credits that are given are there at once.
#[utoipa::path(post, path = "/v1/wallets/", tag = "Wallets", security(("api_key" = [])), request_body = WalletCreate,
    responses((status = 201, body = WalletRecord), (status = 400), (status = 401), (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<WalletCreate>,
) -> Result<impl IntoResponse, ApiError> {
    known_metrics(&state, caller.organization, &request.limited_to_metric_codes).await?;
    let new = request.wallet(caller.organization, caller.now)?;
    let wallet = state.runs.open_wallet(caller.organization, new, caller.now).await?;
    Ok((StatusCode::CREATED, Json(WalletRecord::of(&wallet, caller.now))))
}

/// A page of wallets.
#[utoipa::path(get, path = "/v1/wallets/", tag = "Wallets", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("customer_id" = Option<uuid::Uuid>, Query), ("status" = Option<String>, Query)),
    responses((status = 200, body = [WalletRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let status: Option<WalletStatus> = query.choice("status")?;
    let active = status.map(|status| (status == WalletStatus::Active, caller.now));
    let filter = WalletFilter { customer: query.id("customer_id")?, active };
    let page = page_of(&params, ORDERS)?;
    let mut connection = state.connection().await?;
    let (found, total) = wallets::list(&mut connection, caller.organization, &filter, &page).await?;
    let records: Vec<WalletRecord> = found.iter().map(|wallet| WalletRecord::of(wallet, caller.now)).collect();
    Ok((total_count(total), Json(records)))
}

/// One wallet.
#[utoipa::path(get, path = "/v1/wallets/{wallet_id}", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path)),
    responses((status = 200, body = WalletRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<WalletRecord>, ApiError> {
    let wallet = state.runs.wallet(caller.organization, path.id("wallet_id")?).await?;
    Ok(Json(WalletRecord::of(&wallet, caller.now)))
}

/// Changes name, expiry, priority, rules.
#[utoipa::path(put, path = "/v1/wallets/{wallet_id}", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path)), request_body = WalletUpdate,
    responses((status = 200, body = WalletRecord), (status = 401), (status = 404), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(request): JsonBody<WalletUpdate>,
) -> Result<Json<WalletRecord>, ApiError> {
    let id = path.id("wallet_id")?;
    let wallet = state.runs.wallet(caller.organization, id).await?;
    let change = request.change(&wallet, caller.now)?;
    let wallet = state.runs.update_wallet(caller.organization, id, change, caller.now).await?;
    Ok(Json(WalletRecord::of(&wallet, caller.now)))
}

/// Ends a wallet: what was left is withdrawn.
#[utoipa::path(delete, path = "/v1/wallets/{wallet_id}", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path)),
    responses((status = 204), (status = 400), (status = 401), (status = 404), (status = 422)))]
async fn terminate(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<StatusCode, ApiError> {
    state.runs.terminate_wallet(caller.organization, path.id("wallet_id")?, caller.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds credits: given at once, or, `paid`, as the invoice for them is paid.
#[utoipa::path(post, path = "/v1/wallets/{wallet_id}/top_up", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path)), request_body = WalletTopUp,
    responses((status = 200, body = WalletRecord), (status = 400), (status = 401), (status = 422)))]
async fn top_up(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    JsonBody(request): JsonBody<WalletTopUp>,
) -> Result<Json<WalletRecord>, ApiError> {
    let id = path.id("wallet_id")?;
    let mut connection = state.connection().await?;
    let found = wallets::get(&mut connection, caller.organization, id).await?;
    drop(connection);
    let found = found.ok_or_else(|| ApiError::bad_request("unknown_wallet", "Wallet not found"))?;
    let top_up = request.top_up(&found.rate)?;
    let wallet = state.runs.top_up_wallet(caller.organization, id, top_up, caller.now).await?;
    Ok(Json(WalletRecord::of(&wallet, caller.now)))
}

/// Moves credits to another wallet of the same customer.
#[utoipa::path(post, path = "/v1/wallets/transfer", tag = "Wallets", security(("api_key" = [])),
    request_body = WalletTransferRequest,
    responses((status = 200, body = WalletTransferResponse), (status = 400), (status = 401), (status = 422)))]
async fn transfer(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    JsonBody(request): JsonBody<WalletTransferRequest>,
) -> Result<Json<WalletTransferResponse>, ApiError> {
    let credits = request.credits()?;
    let between = (request.source_wallet_id, request.target_wallet_id);
    let (source, target) = state.runs.transfer_credits(caller.organization, between, &credits, caller.now).await?;
    Ok(Json(WalletTransferResponse {
        source_wallet: WalletRecord::of(&source, caller.now),
        target_wallet: WalletRecord::of(&target, caller.now),
        credits_transferred: credits.to_string(),
    }))
}

/// What went in and out, newest first.
#[utoipa::path(get, path = "/v1/wallets/{wallet_id}/transactions", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path), ("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = [WalletTransactionRecord]), (status = 401), (status = 404), (status = 422)))]
async fn transactions(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    params: ListParams,
) -> Result<Json<Vec<WalletTransactionRecord>>, ApiError> {
    let wallet = state.runs.wallet(caller.organization, path.id("wallet_id")?).await?;
    let mut connection = state.connection().await?;
    let movements = wallet_statement::movements(&mut connection, wallet.id, (params.skip, params.limit)).await?;
    Ok(Json(movements.iter().map(|movement| WalletTransactionRecord::of(&wallet, movement)).collect()))
}

/// What went in and out by days of UTC, with what was left; from its opening until now when no bounds are sent.
#[utoipa::path(get, path = "/v1/wallets/{wallet_id}/balance_timeline", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path), ("start_date" = Option<String>, Query),
        ("end_date" = Option<String>, Query)),
    responses((status = 200, body = BalanceTimelineResponse), (status = 401), (status = 404), (status = 422)))]
async fn timeline(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<BalanceTimelineResponse>, ApiError> {
    let wallet = state.runs.wallet(caller.organization, path.id("wallet_id")?).await?;
    // Entries of invoices that were issued for an earlier instant may lie before its opening.
    let from = query.instant("start_date")?.unwrap_or(Timestamp::EARLIEST);
    let to = query.instant("end_date")?.unwrap_or(caller.now);
    let mut connection = state.connection().await?;
    let days = wallet_statement::days(&mut connection, wallet.id, (from, to)).await?;
    Ok(Json(BalanceTimelineResponse::of(wallet.id, &days)))
}

/// When a wallet will be empty, if it is used as in the last `days`.
#[utoipa::path(get, path = "/v1/wallets/{wallet_id}/depletion_forecast", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path), ("days" = Option<i64>, Query)),
    responses((status = 200, body = DepletionForecastResponse), (status = 401), (status = 404), (status = 422)))]
async fn forecast(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<DepletionForecastResponse>, ApiError> {
    let wallet = state.runs.wallet(caller.organization, path.id("wallet_id")?).await?;
    let days = query.integer("days", 1, 365)?.unwrap_or(30);
    let from = Timestamp(caller.now.0 - days * 86_400_000_000);
    let mut connection = state.connection().await?;
    let paid = wallet_statement::paid_since(&mut connection, wallet.id, from).await?;
    Ok(Json(DepletionForecastResponse::of(&wallet, paid, days, caller.now)))
}

/// What is left once usage that is not billed yet will have been paid.
#[utoipa::path(get, path = "/v1/wallets/{wallet_id}/ongoing_balance", tag = "Wallets", security(("api_key" = [])),
    params(("wallet_id" = uuid::Uuid, Path)),
    responses((status = 200, body = OngoingBalanceResponse), (status = 401), (status = 404), (status = 422),
        (status = 503)))]
async fn ongoing(
    caller: Authenticated,
    State(state): State<InvoicerState>,
    path: PathArguments,
) -> Result<Json<OngoingBalanceResponse>, ApiError> {
    let wallet = state.runs.wallet(caller.organization, path.id("wallet_id")?).await?;
    let most = QueryArguments::of(&[("limit", "1000")]);
    let filter = SubscriptionFilter { customer_id: Some(wallet.customer), external_id: None };
    let catalog = state.prover.catalog();
    let (found, _) = catalog.subscriptions(caller.organization, &filter, &ListParams::read(&most)?).await?;
    let active = found.iter().filter(|one| one.status == SubscriptionStatus::Active);
    let subscriptions: Vec<SubscriptionId> = active.map(|one| one.id).collect();
    let filter = WalletFilter { customer: Some(wallet.customer), active: Some((true, caller.now)) };
    let page = PageOf { order: "priority ASC, created_at ASC, id ASC".into(), skip: 0, limit: MAX_LIMIT };
    let mut connection = state.connection().await?;
    let (wallets, _) = wallets::list(&mut connection, caller.organization, &filter, &page).await?;
    drop(connection);
    let from = (catalog, state.prover.rater());
    let usage = ongoing_usage(from, &wallet, &wallets, &subscriptions, caller.now).await?;
    Ok(Json(OngoingBalanceResponse::of(&wallet, usage)))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(create, list, read, update, terminate, top_up, transfer, transactions, timeline, forecast, ongoing))]
pub(super) struct Document;
