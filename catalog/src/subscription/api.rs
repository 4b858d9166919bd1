//! Routes of subscriptions.

use crate::catalog::Catalog;
use crate::state::CatalogState;
use crate::subscription::change_plan::ChangePlanRequest;
use crate::subscription::change_preview::{ChangePlanPreviewRequest, ChangePlanPreviewResponse};
use crate::subscription::storage::SubscriptionFilter;
use crate::subscription::transitions::Action;
use crate::subscription::wire::{
    BulkSubscriptionRequest, BulkSubscriptionResponse, BulkSubscriptionResult, BulkTerminateRequest,
    NextBillingDateResponse, SubscriptionCreate, SubscriptionRecord, SubscriptionUpdate, Termination,
    TerminationAction,
};
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use domain::ids::SubscriptionId;
use http_api::idempotency::idempotent;
use http_api::{
    ApiError, Authenticated, FieldError, JsonBody, ListParams, PathArguments, QueryArguments, collection, total_count,
};

pub(crate) fn routes(state: &CatalogState) -> Router<CatalogState> {
    let root = post(create).layer(from_fn_with_state(state.idempotency(), idempotent)).get(list);
    collection(Router::new(), "/v1/subscriptions", root)
        .route("/v1/subscriptions/bulk_pause", post(bulk_pause))
        .route("/v1/subscriptions/bulk_resume", post(bulk_resume))
        .route("/v1/subscriptions/bulk_terminate", post(bulk_terminate))
        .route("/v1/subscriptions/{subscription_id}", get(read).put(update).delete(terminate))
        .route("/v1/subscriptions/{subscription_id}/activate", post(activate))
        .route("/v1/subscriptions/{subscription_id}/pause", post(pause))
        .route("/v1/subscriptions/{subscription_id}/resume", post(resume))
        .route("/v1/subscriptions/{subscription_id}/cancel", post(cancel))
        .route("/v1/subscriptions/{subscription_id}/next_billing_date", get(next_billing_date))
        .route("/v1/subscriptions/{subscription_id}/change_plan", post(change_plan))
        .route("/v1/subscriptions/{subscription_id}/change_plan_preview", post(change_plan_preview))
}

/// Has what fell due by a change billed at once, in a sandbox.
async fn changed(state: &CatalogState, caller: &Authenticated) -> Result<(), ApiError> {
    match &state.subscriptions_changed {
        Some(billing) => billing.subscriptions_changed(caller.organization, caller.now).await,
        None => Ok(()),
    }
}

/// A page of subscriptions.
#[utoipa::path(get, path = "/v1/subscriptions/", tag = "Subscriptions", security(("api_key" = [])),
    params(("skip" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("order_by" = Option<String>, Query),
        ("customer_id" = Option<uuid::Uuid>, Query), ("external_id" = Option<String>, Query)),
    responses((status = 200, body = [SubscriptionRecord]), (status = 401), (status = 422)))]
async fn list(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    params: ListParams,
    query: QueryArguments,
) -> Result<impl IntoResponse, ApiError> {
    let filter = SubscriptionFilter {
        customer_id: query.id("customer_id")?,
        external_id: query.text("external_id")?.map(str::to_string),
    };
    let (subscriptions, total) = catalog.subscriptions(caller.organization, &filter, &params).await?;
    Ok((total_count(total), Json(subscriptions)))
}

/// Subscribes a customer to a plan. Honours `Idempotency-Key`.
#[utoipa::path(post, path = "/v1/subscriptions/", tag = "Subscriptions", security(("api_key" = [])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = SubscriptionCreate,
    responses((status = 201, body = SubscriptionRecord), (status = 400), (status = 401), (status = 409),
        (status = 422)))]
async fn create(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(new): JsonBody<SubscriptionCreate>,
) -> Result<impl IntoResponse, ApiError> {
    let subscription = state.catalog.create_subscription(caller.organization, &new, caller.now).await?;
    changed(&state, &caller).await?;
    Ok((StatusCode::CREATED, Json(subscription)))
}

/// One subscription.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}", tag = "Subscriptions", security(("api_key" = [])),
    params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionRecord), (status = 401), (status = 404), (status = 422)))]
async fn read(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    Ok(Json(catalog.subscription(caller.organization, path.id("subscription_id")?).await?))
}

/// Changes the sent fields. Plan, anchor, advance and trial only while pending; a status does what its action does.
#[utoipa::path(put, path = "/v1/subscriptions/{subscription_id}", tag = "Subscriptions", security(("api_key" = [])),
    params(("subscription_id" = uuid::Uuid, Path)), request_body = SubscriptionUpdate,
    responses((status = 200, body = SubscriptionRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn update(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
    JsonBody(change): JsonBody<SubscriptionUpdate>,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    let id = path.id("subscription_id")?;
    let subscription = state.catalog.update_subscription(caller.organization, id, &change, caller.now).await?;
    changed(&state, &caller).await?;
    Ok(Json(subscription))
}

async fn act(
    caller: &Authenticated,
    state: &CatalogState,
    path: &PathArguments,
    action: Action,
) -> Result<SubscriptionRecord, ApiError> {
    let id = path.id("subscription_id")?;
    let subscription = state.catalog.act_on_subscription(caller.organization, id, action, caller.now).await?;
    changed(state, caller).await?;
    Ok(subscription)
}

/// Changes the plan of an active subscription: it ends, and the one that goes on from it, with the new plan, is answered.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/change_plan", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)), request_body = ChangePlanRequest,
    responses((status = 200, body = SubscriptionRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn change_plan(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
    JsonBody(request): JsonBody<ChangePlanRequest>,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    let id = path.id("subscription_id")?;
    let next = state.catalog.change_plan(caller.organization, id, &request, caller.now).await?;
    changed(&state, &caller).await?;
    Ok(Json(next))
}

/// What changing the plan would cost; nothing is stored.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/change_plan_preview", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    request_body = ChangePlanPreviewRequest,
    responses((status = 200, body = ChangePlanPreviewResponse), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn change_plan_preview(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
    JsonBody(request): JsonBody<ChangePlanPreviewRequest>,
) -> Result<Json<ChangePlanPreviewResponse>, ApiError> {
    let id = path.id("subscription_id")?;
    Ok(Json(catalog.change_plan_preview(caller.organization, id, &request, caller.now).await?))
}

fn money(query: &QueryArguments) -> Result<Termination, ApiError> {
    Ok(Termination {
        action: query.choice("on_termination_action")?.unwrap_or_default(),
        credit_note: query.choice("on_termination_credit_note")?.unwrap_or_default(),
    })
}

/// Ends a subscription now.
#[utoipa::path(delete, path = "/v1/subscriptions/{subscription_id}", tag = "Subscriptions",
    security(("api_key" = [])),
    params(("subscription_id" = uuid::Uuid, Path), ("on_termination_action" = Option<TerminationAction>, Query),
        ("on_termination_credit_note" = Option<String>, Query)),
    responses((status = 204), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn terminate(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<StatusCode, ApiError> {
    act(&caller, &state, &path, Action::Terminate(money(&query)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cancels a subscription now.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/cancel", tag = "Subscriptions",
    security(("api_key" = [])),
    params(("subscription_id" = uuid::Uuid, Path), ("on_termination_action" = Option<TerminationAction>, Query),
        ("on_termination_credit_note" = Option<String>, Query)),
    responses((status = 200, body = SubscriptionRecord), (status = 401), (status = 404), (status = 409),
        (status = 422)))]
async fn cancel(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
    query: QueryArguments,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    Ok(Json(act(&caller, &state, &path, Action::Cancel(money(&query)?)).await?))
}

/// Starts a pending subscription now.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/activate", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn activate(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    Ok(Json(act(&caller, &state, &path, Action::Activate).await?))
}

/// Suspends an active subscription; its periods run on.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/pause", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn pause(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    Ok(Json(act(&caller, &state, &path, Action::Pause).await?))
}

/// Lets a paused subscription go on.
#[utoipa::path(post, path = "/v1/subscriptions/{subscription_id}/resume", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = SubscriptionRecord), (status = 400), (status = 401), (status = 404),
        (status = 409), (status = 422)))]
async fn resume(
    caller: Authenticated,
    State(state): State<CatalogState>,
    path: PathArguments,
) -> Result<Json<SubscriptionRecord>, ApiError> {
    Ok(Json(act(&caller, &state, &path, Action::Resume).await?))
}

/// Most subscriptions of one bulk request: each is a durable write of about a millisecond, and a request should end in seconds.
const MAX_BULK: usize = 1_000;

fn check_number(ids: &[SubscriptionId]) -> Result<(), ApiError> {
    let (kind, msg) = match ids.len() {
        0 => ("too_short", "List should have at least 1 item".to_string()),
        count if count > MAX_BULK => ("too_long", format!("List should have at most {MAX_BULK} items")),
        _ => return Ok(()),
    };
    let place = ["subscription_ids".into()];
    Err(ApiError::validation(vec![FieldError::in_body(kind, place, msg, &serde_json::Value::Null)]))
}

async fn act_on_each(
    caller: &Authenticated,
    state: &CatalogState,
    ids: &[SubscriptionId],
    action: Action,
) -> Result<BulkSubscriptionResponse, ApiError> {
    check_number(ids)?;
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        // Contract: each in a transaction of its own.
        let outcome = state.catalog.act_on_subscription(caller.organization, *id, action, caller.now).await;
        let error = match outcome {
            Ok(_) => None,
            Err(fault) if fault.status().is_server_error() => return Err(fault),
            Err(fault) => Some(fault.detail_text()),
        };
        results.push(BulkSubscriptionResult { subscription_id: *id, success: error.is_none(), error });
    }
    changed(state, caller).await?;
    let succeeded_count = results.iter().filter(|result| result.success).count();
    let failed_count = results.len() - succeeded_count;
    Ok(BulkSubscriptionResponse { results, succeeded_count, failed_count })
}

/// Suspends several subscriptions; the result tells of each.
#[utoipa::path(post, path = "/v1/subscriptions/bulk_pause", tag = "Subscriptions", security(("api_key" = [])),
    request_body = BulkSubscriptionRequest,
    responses((status = 200, body = BulkSubscriptionResponse), (status = 401), (status = 422)))]
async fn bulk_pause(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(bulk): JsonBody<BulkSubscriptionRequest>,
) -> Result<Json<BulkSubscriptionResponse>, ApiError> {
    Ok(Json(act_on_each(&caller, &state, &bulk.subscription_ids, Action::Pause).await?))
}

/// Lets several paused subscriptions go on; the result tells of each.
#[utoipa::path(post, path = "/v1/subscriptions/bulk_resume", tag = "Subscriptions", security(("api_key" = [])),
    request_body = BulkSubscriptionRequest,
    responses((status = 200, body = BulkSubscriptionResponse), (status = 401), (status = 422)))]
async fn bulk_resume(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(bulk): JsonBody<BulkSubscriptionRequest>,
) -> Result<Json<BulkSubscriptionResponse>, ApiError> {
    Ok(Json(act_on_each(&caller, &state, &bulk.subscription_ids, Action::Resume).await?))
}

/// Ends several subscriptions; the result tells of each.
#[utoipa::path(post, path = "/v1/subscriptions/bulk_terminate", tag = "Subscriptions", security(("api_key" = [])),
    request_body = BulkTerminateRequest,
    responses((status = 200, body = BulkSubscriptionResponse), (status = 401), (status = 422)))]
async fn bulk_terminate(
    caller: Authenticated,
    State(state): State<CatalogState>,
    JsonBody(bulk): JsonBody<BulkTerminateRequest>,
) -> Result<Json<BulkSubscriptionResponse>, ApiError> {
    let action = Action::Terminate(Termination {
        action: bulk.on_termination_action,
        credit_note: bulk.on_termination_credit_note,
    });
    Ok(Json(act_on_each(&caller, &state, &bulk.subscription_ids, action).await?))
}

/// When a subscription is billed next, by its own periods.
#[utoipa::path(get, path = "/v1/subscriptions/{subscription_id}/next_billing_date", tag = "Subscriptions",
    security(("api_key" = [])), params(("subscription_id" = uuid::Uuid, Path)),
    responses((status = 200, body = NextBillingDateResponse), (status = 400), (status = 401), (status = 404),
        (status = 422)))]
async fn next_billing_date(
    caller: Authenticated,
    State(catalog): State<Catalog>,
    path: PathArguments,
) -> Result<Json<NextBillingDateResponse>, ApiError> {
    let id = path.id("subscription_id")?;
    Ok(Json(catalog.next_billing_date(caller.organization, id, caller.now).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    list,
    create,
    read,
    update,
    terminate,
    cancel,
    activate,
    pause,
    resume,
    bulk_pause,
    bulk_resume,
    bulk_terminate,
    next_billing_date,
    change_plan,
    change_plan_preview
))]
pub(crate) struct Document;
