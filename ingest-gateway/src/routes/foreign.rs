//! `POST /api/v1/events` and `/api/v1/events/batch`: where clients of Lago and senders of CloudEvents come when only their base
//! URL is changed.
//!
//! Unlike the contract's routes these accept a code that no metric has: such clients send first and define later. Their events
//! are unmatched (I9) until a metric of that code exists, then they count. A repeated `transaction_id` is answered like the
//! first, where Lago refuses it: clients retry (I2).

use super::accept::{PREFERENCE_APPLIED, Stored, known, take_json, wants_minimal};
use crate::answer::lago;
use crate::body::dialect::Dialect;
use crate::meters::{self, RequestTimer};
use crate::parse::{
    Attributes, KnowsCode, ParseLimits, parse_binary_cloud_event, parse_cloud_event, parse_cloud_events,
    parse_lago_batch, parse_lago_event,
};
use crate::state::GatewayState;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::event_batch::EventBatch;
use http_api::json_body::require_json;
use http_api::{ApiError, Authenticated};

/// Who asks, or why that is not known: said in the form of the dialect.
type Caller = Result<Authenticated, ApiError>;

/// Accept one usage event of a Lago client, or CloudEvents.
///
/// `application/json`: Lago's `{"event": {…}}`, answered in Lago's form. `application/cloudevents+json`,
/// `application/cloudevents-batch+json`, or `ce-` headers: CloudEvents 1.0, answered 204. `source` and `id` make the
/// transaction_id, `subject` is the customer, `type` the code, `time` the timestamp (absent: now), `data` the properties.
/// 2xx means that every event is durable.
#[utoipa::path(
    post,
    path = "/api/v1/events",
    tag = "Events",
    request_body(content(
        (super::document::LagoEvent = "application/json"),
        (super::document::CloudEvent = "application/cloudevents+json"),
        (Vec<super::document::CloudEvent> = "application/cloudevents-batch+json"),
    )),
    responses(
        (status = 200, description = "durable", body = super::document::LagoEventAnswer),
        (status = 204, description = "durable (CloudEvents)"),
        (status = 400, description = "no JSON, or no event in it (Lago)"),
        (status = 401, description = "no valid credential"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "unknown Content-Type or Content-Encoding"),
        (status = 422, description = "which field is wrong, and why; nothing is stored"),
        (status = 429, description = "over the limit of the organization or key"),
        (status = 503, description = "no capacity, or the store failed: sending again is safe"),
    )
)]
pub(super) async fn post_event(State(state): State<GatewayState>, caller: Caller, request: Request) -> Response {
    let _timer = RequestTimer::start("/api/v1/events");
    let dialect = match Dialect::of(request.headers()) {
        Ok(dialect) => dialect,
        Err(refused) => {
            meters::refused("media_type", 1);
            return lago::refusal(refused);
        }
    };
    match dialect {
        Dialect::Lago => take_lago_event(&state, caller, request).await.unwrap_or_else(lago::refusal),
        Dialect::CloudEvent => cloud_answer(take_cloud_event(&state, caller, request).await),
        Dialect::CloudEvents => cloud_answer(take_cloud_events(&state, caller, request).await),
        Dialect::BinaryCloudEvent(attributes) => {
            cloud_answer(take_binary_cloud_event(&state, caller, request, attributes).await)
        }
    }
}

/// Accept many usage events of a Lago client.
///
/// All are stored, or none. 200 means that every event is durable.
#[utoipa::path(
    post,
    path = "/api/v1/events/batch",
    tag = "Events",
    request_body = super::document::LagoBatch,
    responses(
        (status = 200, description = "durable", body = super::document::LagoBatchAnswer),
        (status = 400, description = "no JSON"),
        (status = 401, description = "no valid credential"),
        (status = 413, description = "the body is too large"),
        (status = 415, description = "unknown Content-Type or Content-Encoding"),
        (status = 422, description = "which events and fields are wrong, and why; nothing is stored"),
        (status = 429, description = "over the limit of the organization or key"),
        (status = 503, description = "no capacity, or the store failed: sending again is safe"),
    )
)]
pub(super) async fn post_batch(State(state): State<GatewayState>, caller: Caller, request: Request) -> Response {
    let _timer = RequestTimer::start("/api/v1/events/batch");
    take_lago_batch(&state, caller, request).await.unwrap_or_else(lago::refusal)
}

async fn take_lago_event(state: &GatewayState, caller: Caller, request: Request) -> Result<Response, ApiError> {
    let is_minimal = wants_minimal(request.headers());
    let stored = take_json(state, &caller?, request, parse_lago_event).await?;
    lago_answer(state, &stored, is_minimal, |known| lago::event(&stored.batch, known)).await
}

async fn take_lago_batch(state: &GatewayState, caller: Caller, request: Request) -> Result<Response, ApiError> {
    let caller = caller?;
    require_json(request.headers()).inspect_err(|_| meters::refused("media_type", 1))?;
    let is_minimal = wants_minimal(request.headers());
    let stored = take_json(state, &caller, request, parse_lago_batch).await?;
    lago_answer(state, &stored, is_minimal, |known| lago::events(&stored.batch, known)).await
}

/// 200 with what was stored; 204 when the client prefers no more than that.
async fn lago_answer(
    state: &GatewayState,
    stored: &Stored,
    is_minimal: bool,
    write: impl FnOnce(&crate::answer::Known) -> Vec<u8>,
) -> Result<Response, ApiError> {
    if is_minimal {
        let applied = [(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"))];
        return Ok((StatusCode::NO_CONTENT, applied).into_response());
    }
    let json = write(&known(state, stored).await?);
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok((StatusCode::OK, headers, json).into_response())
}

async fn take_cloud_event(state: &GatewayState, caller: Caller, request: Request) -> Result<Stored, ApiError> {
    take_json(state, &caller?, request, parse_cloud_event).await
}

async fn take_cloud_events(state: &GatewayState, caller: Caller, request: Request) -> Result<Stored, ApiError> {
    take_json(state, &caller?, request, parse_cloud_events).await
}

async fn take_binary_cloud_event(
    state: &GatewayState,
    caller: Caller,
    request: Request,
    attributes: Attributes,
) -> Result<Stored, ApiError> {
    let parse = move |body: &[u8], limits: ParseLimits, knows_code: KnowsCode<'_>, batch: &mut EventBatch| {
        parse_binary_cloud_event(&attributes, body, limits, knows_code, batch)
    };
    take_json(state, &caller?, request, parse).await
}

fn cloud_answer(stored: Result<Stored, ApiError>) -> Response {
    match stored {
        Ok(_) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error.into_response(),
    }
}
