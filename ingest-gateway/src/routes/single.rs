//! `POST /v1/events/`: one event.

use super::accept::{created, known, take_json, wants_minimal};
use crate::answer;
use crate::meters::RequestTimer;
use crate::parse::parse_event;
use crate::state::GatewayState;
use axum::extract::{Request, State};
use axum::response::Response;
use http_api::json_body::require_json;
use http_api::{ApiError, Authenticated};

/// Accept one usage event.
///
/// 201 means that it is durable. A `transaction_id` that is known is answered with the event stored first.
#[utoipa::path(
    post,
    path = "/v1/events/",
    tag = "Events",
    request_body = super::document::EventCreate,
    params(
        ("Prefer" = Option<String>, Header, description = "`return=minimal` leaves the event out of the answer"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body get the same answer for 24 hours"),
    ),
    responses(
        (status = 201, description = "durable", body = super::document::EventResponse),
        (status = 401, description = "no valid credential", body = http_api::error::ErrorBody),
        (status = 408, description = "the body took too long", body = http_api::error::ErrorBody),
        (status = 413, description = "the body is too large", body = http_api::error::ErrorBody),
        (status = 415, description = "unknown Content-Type or Content-Encoding", body = http_api::error::ErrorBody),
        (status = 422, description = "which field is wrong, and why; nothing is stored", body = http_api::error::ErrorBody),
        (status = 429, description = "over the limit of the organization or key", body = http_api::error::ErrorBody),
        (status = 503, description = "no capacity, or the store failed: sending again is safe", body = http_api::error::ErrorBody),
    )
)]
pub(super) async fn post_event(
    State(state): State<GatewayState>,
    caller: Authenticated,
    request: Request,
) -> Result<Response, ApiError> {
    let _timer = RequestTimer::start("/v1/events");
    require_json(request.headers())?;
    let is_minimal = wants_minimal(request.headers());
    let stored = take_json(&state, &caller, request, parse_event).await?;
    let json = if is_minimal {
        answer::batch(&stored.batch, stored.duplicates.len(), None)
    } else {
        answer::event(&stored.batch, 0, &known(&state, &stored).await?)
    };
    Ok(created(json, is_minimal))
}
