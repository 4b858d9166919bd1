//! The gateway's routes. Listing, reading and counting events is not here: that is the rater's, which reads the store.

mod accept;
mod batch;
mod document;
mod foreign;
mod single;
mod stream;
mod void;

pub use document::openapi;

use crate::state::GatewayState;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use http_api::idempotency::idempotent;
use http_api::{IdempotencyState, collection};

/// `POST /v1/events`, `/v1/events/batch`, `/v1/events/void`, `/api/v1/events`, `/api/v1/events/batch`, each with and without a
/// final slash.
pub fn router(state: GatewayState) -> Router {
    let keys = IdempotencyState { auth: state.auth.clone(), store: state.idempotency.clone() };
    let single = post(single::post_event).layer(from_fn_with_state(keys, idempotent));
    let router = collection(Router::new(), "/v1/events", single);
    let router = collection(router, "/v1/events/batch", post(batch::post_batch));
    let router = collection(router, "/v1/events/void", post(void::post_void));
    let router = collection(router, "/api/v1/events", post(foreign::post_event));
    collection(router, "/api/v1/events/batch", post(foreign::post_batch)).with_state(state)
}
