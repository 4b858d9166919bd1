//! What the gateway's routes share.

use crate::limits::GatewayLimits;
use crate::rate::RateLimiter;
use crate::sink::EventSink;
use axum::extract::FromRef;
use http_api::{AuthState, IdempotencyStore};
use std::sync::Arc;

/// Everything a request needs: who may ask, where events go, how much is too much.
#[derive(Clone)]
pub struct GatewayState {
    /// Keys, organizations and the clock.
    pub auth: AuthState,
    /// Where events go.
    pub sink: Arc<dyn EventSink>,
    /// Where answers under an `Idempotency-Key` are kept.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Bounds of one request.
    pub limits: GatewayLimits,
    /// Events a second of organizations and keys.
    pub(crate) limiter: Arc<RateLimiter>,
}

impl GatewayState {
    /// State over its parts.
    #[must_use]
    pub fn new(
        auth: AuthState,
        sink: Arc<dyn EventSink>,
        idempotency: Arc<dyn IdempotencyStore>,
        limits: GatewayLimits,
    ) -> Self {
        let limiter = Arc::new(RateLimiter::new(limits.max_batch_events));
        Self { auth, sink, idempotency, limits, limiter }
    }
}

impl FromRef<GatewayState> for AuthState {
    fn from_ref(state: &GatewayState) -> Self {
        state.auth.clone()
    }
}
