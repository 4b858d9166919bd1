//! `POST /v1/events/void`: takes an accepted event out of every bill not yet issued.

use super::accept::charge;
use crate::meters::{self, RequestTimer};
use crate::state::GatewayState;
use axum::Json;
use axum::extract::State;
use domain::event::MAX_NAME_CHARS;
use domain::identity::EventId;
use http_api::{ApiError, Authenticated, Checks, JsonBody};
use serde::{Deserialize, Serialize};

/// Room asked of the sink: a transaction_id and what stands around it.
const VOID_BYTES: usize = 1_024;

/// Which event.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(super) struct EventVoid {
    /// The client's own id of the event; it need not have arrived yet.
    #[schema(min_length = 1, max_length = 255)]
    transaction_id: String,
}

/// An event that is void.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct EventVoided {
    /// Id of the event.
    #[schema(value_type = String, format = Uuid)]
    id: EventId,
    /// The client's own id of it.
    transaction_id: String,
    /// `voided`.
    status: &'static str,
}

/// Void one usage event.
///
/// It counts on no bill not yet issued, and makes an adjustment where one was. Voiding twice is harmless; a void may
/// arrive before its event.
#[utoipa::path(
    post,
    path = "/v1/events/void",
    tag = "Events",
    request_body = EventVoid,
    responses(
        (status = 200, description = "the void is durable", body = EventVoided),
        (status = 401, description = "no valid credential", body = http_api::error::ErrorBody),
        (status = 422, description = "what is wrong with the body", body = http_api::error::ErrorBody),
        (status = 429, description = "over the limit of the organization or key", body = http_api::error::ErrorBody),
        (status = 503, description = "no capacity, or the store failed: sending again is safe", body = http_api::error::ErrorBody),
    )
)]
pub(super) async fn post_void(
    State(state): State<GatewayState>,
    caller: Authenticated,
    JsonBody(EventVoid { transaction_id }): JsonBody<EventVoid>,
) -> Result<Json<EventVoided>, ApiError> {
    let _timer = RequestTimer::start("/v1/events/void");
    let mut checks = Checks::new();
    checks.length("transaction_id", &transaction_id, 1, MAX_NAME_CHARS);
    checks.finish()?;
    let _permit = state.sink.admit(VOID_BYTES).inspect_err(|error| meters::refused_by_sink(error, 1))?;
    charge(&state, &caller, 1)?;
    state.sink.void(caller.organization, &transaction_id, caller.now).await?;
    metrics::counter!("tollgate_gateway_voids_accepted_total").increment(1);
    Ok(Json(EventVoided {
        id: EventId::derive(caller.organization, &transaction_id),
        transaction_id,
        status: "voided",
    }))
}
