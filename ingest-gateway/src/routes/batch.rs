//! `POST /v1/events/batch`: many events, as JSON (all or nothing) or as a stream of lines (good lines are kept).

use super::accept::{created, known, take_json, wants_minimal};
use super::stream::take_stream;
use crate::answer;
use crate::body::encoding::BatchForm;
use crate::meters::{self, RequestTimer};
use crate::parse::parse_batch;
use crate::state::GatewayState;
use axum::extract::{Request, State};
use axum::response::Response;
use http_api::{ApiError, Authenticated};

/// Accept many usage events.
///
/// `application/json`: 1–10,000 events, all or nothing. `application/x-ndjson`: an event a line, any number; bad lines are
/// rejected and listed, good ones kept; a stream that breaks off after lines were stored says from which line on
/// nothing is certain (`aborted`). 201 means that every event it counts is durable.
#[utoipa::path(
    post,
    path = "/v1/events/batch",
    tag = "Events",
    request_body(content(
        (super::document::EventBatchCreate = "application/json"),
        (String = "application/x-ndjson"),
    )),
    params(("Prefer" = Option<String>, Header, description = "`return=minimal` leaves the events out of the answer")),
    responses(
        (status = 201, description = "durable", content(
            (super::document::EventBatchResponse = "application/json"),
            (super::stream::StreamAnswer = "application/json; form=stream"),
        )),
        (status = 401, description = "no valid credential", body = http_api::error::ErrorBody),
        (status = 408, description = "the body took too long", body = http_api::error::ErrorBody),
        (status = 413, description = "the body is too large", body = http_api::error::ErrorBody),
        (status = 415, description = "unknown Content-Type or Content-Encoding", body = http_api::error::ErrorBody),
        (status = 422, description = "which events and fields are wrong, and why; nothing is stored", body = http_api::error::ErrorBody),
        (status = 429, description = "over the limit of the organization or key", body = http_api::error::ErrorBody),
        (status = 503, description = "no capacity, or the store failed: sending again is safe", body = http_api::error::ErrorBody),
    )
)]
pub(super) async fn post_batch(
    State(state): State<GatewayState>,
    caller: Authenticated,
    request: Request,
) -> Result<Response, ApiError> {
    let _timer = RequestTimer::start("/v1/events/batch");
    let form = BatchForm::of(request.headers()).inspect_err(|_| meters::refused("media_type", 1))?;
    if form == BatchForm::Ndjson {
        return take_stream(&state, &caller, request).await;
    }
    let is_minimal = wants_minimal(request.headers());
    let stored = take_json(&state, &caller, request, parse_batch).await?;
    let known = if is_minimal { None } else { Some(known(&state, &stored).await?) };
    Ok(created(answer::batch(&stored.batch, stored.duplicates.len(), known.as_ref()), is_minimal))
}
