//! A JSON body from its bytes to a durable batch: read, parse, limits, sink. All or nothing.
//!
//! Order matters: everything that refuses comes before the sink is asked to accept, so that a 4xx or 429 stored nothing (I1).

use crate::answer::Known;
use crate::body::encoding::Encoding;
use crate::body::whole::{Room, read_whole};
use crate::codes::CodeBook;
use crate::meters;
use crate::parse::{KnowsCode, ParseLimits, Problems};
use crate::rate::Limits;
use crate::sink::SinkError;
use crate::state::GatewayState;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::event_batch::EventBatch;
use http_api::{ApiError, Authenticated};
use std::sync::Arc;
use std::time::Duration;

/// Bodies up to this size are parsed where they are; longer ones (3 ms and more) on a thread that may block, so that they do
/// not hold up the requests that share the executor's thread.
const PARSED_IN_PLACE: usize = 1 << 20;

/// [`crate::parse::parse_event`] and its like: it may run twice, and on another thread.
pub(super) trait Parse:
    Fn(&[u8], ParseLimits, KnowsCode<'_>, &mut EventBatch) -> Result<(), Problems> + Clone + Send + 'static
{
}

impl<F> Parse for F where
    F: Fn(&[u8], ParseLimits, KnowsCode<'_>, &mut EventBatch) -> Result<(), Problems> + Clone + Send + 'static
{
}

/// A batch that is durable.
pub(super) struct Stored {
    /// Every row that was sent; none when an empty list was.
    pub(super) batch: Arc<EventBatch>,
    /// Rows whose id was known.
    pub(super) duplicates: Vec<u32>,
}

/// Takes the events of a JSON request.
pub(super) async fn take_json(
    state: &GatewayState,
    caller: &Authenticated,
    request: Request,
    parse: impl Parse,
) -> Result<Stored, ApiError> {
    let (parts, body) = request.into_parts();
    let encoding = Encoding::of(&parts.headers).inspect_err(|_| meters::refused("media_type", 1))?;
    let read = read_whole(&parts.headers, body, encoding, &state.limits, state.sink.as_ref()).await;
    let (bytes, room) = read.inspect_err(meters::refused_body)?;
    meters::body_bytes(bytes.len());
    let batch = parsed(state, caller, bytes, parse).await?;
    stored(state, caller, batch, room).await
}

async fn parsed(
    state: &GatewayState,
    caller: &Authenticated,
    body: Bytes,
    parse: impl Parse,
) -> Result<EventBatch, ApiError> {
    let mut codes = CodeBook::of(state, caller);
    let mut outcome = parsed_with(state, caller, &codes, body.clone(), parse.clone()).await?;
    if outcome.as_ref().is_err_and(Problems::has_unknown_code) && codes.refresh().await {
        outcome = parsed_with(state, caller, &codes, body, parse).await?;
    }
    outcome.inspect_err(meters::refused_problems).map_err(ApiError::from)
}

async fn parsed_with(
    state: &GatewayState,
    caller: &Authenticated,
    codes: &CodeBook,
    body: Bytes,
    parse: impl Parse,
) -> Result<Result<EventBatch, Problems>, ApiError> {
    let entry = codes.entry();
    let (limits, mut batch) = (state.limits.parse(), EventBatch::new(caller.organization, codes.now()));
    let is_long = body.len() > PARSED_IN_PLACE;
    let work = move || parse(&body, limits, &|code| entry.metrics.contains_key(code), &mut batch).map(|()| batch);
    if !is_long {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

/// Charges the limits and hands the batch to the sink; `_room` is held until then.
async fn stored(
    state: &GatewayState,
    caller: &Authenticated,
    batch: EventBatch,
    _room: Room<'_>,
) -> Result<Stored, ApiError> {
    let events = batch.len();
    if events == 0 {
        return Ok(Stored { batch: Arc::new(batch), duplicates: Vec::new() });
    }
    charge(state, caller, events)?;
    let batch = Arc::new(batch);
    let accepted = state.sink.accept(batch.clone()).await;
    let accepted = accepted.inspect_err(|error| meters::refused_by_sink(error, events))?;
    meters::accepted(events, accepted.duplicates.len());
    Ok(Stored { batch, duplicates: accepted.duplicates })
}

/// Charges `events` to the limits of the caller.
///
/// # Errors
/// 429.
pub(super) fn charge(state: &GatewayState, caller: &Authenticated, events: usize) -> Result<(), ApiError> {
    state.limiter.charge(&Limits::of(caller), events).map_err(|wait| {
        meters::refused("rate_limited", events);
        ApiError::too_many_requests("more events than the limit of this organization or API key allows", wait)
    })
}

/// The stored versions of the duplicates, for an answer that shows events.
///
/// # Errors
/// 503 when they cannot be read: the events are durable, and sending them again is safe.
pub(super) async fn known(state: &GatewayState, stored: &Stored) -> Result<Known, ApiError> {
    if stored.duplicates.is_empty() {
        return Ok(Known::new());
    }
    let ids: Vec<_> = stored.duplicates.iter().filter_map(|row| stored.batch.ids.get(*row as usize)).copied().collect();
    let events = state.sink.stored(stored.batch.organization, &ids).await.map_err(|error| {
        // "Nothing was kept" would be wrong here: everything was.
        let reason = format!("the events are stored, but the answer could not be read: {error}");
        SinkError::MaybeKept { reason, retry_after: Duration::from_secs(1) }
    })?;
    Ok(events.into_iter().map(|event| (event.id, event)).collect())
}

/// Whether the client asked for an answer without the events (RFC 7240).
pub(super) fn wants_minimal(headers: &HeaderMap) -> bool {
    headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(
        |preference| {
            preference.split(';').next().is_some_and(|head| head.trim().eq_ignore_ascii_case("return=minimal"))
        },
    )
}

const PREFER: HeaderName = HeaderName::from_static("prefer");
pub(super) const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// 201 with a JSON body.
pub(super) fn created(json: Vec<u8>, is_minimal: bool) -> Response {
    let mut response = (StatusCode::CREATED, json).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if is_minimal {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
    }
    response
}
