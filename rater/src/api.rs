//! The REST surface of usage: events as stored, what of them is not billed as sent, and what usage comes to.
//!
//! It refuses to write anything. Every answer is of the caller's organization (I8); "now" is the organization's clock.

mod busiest;
mod estimate;
mod events;
mod rejections;
mod subscription_usage;
mod usage;
mod what_if;
mod wire;

pub use wire::{
    ChargeUsageRecord, EventRecord, RejectionRecord, SubscriptionUsageRecord, TrendRecord, UsageRecord, VolumeRecord,
};

use crate::late_events::BilledUsage;
use crate::rate::{RateError, Rater};
use crate::view::{RatingView, ViewError};
use aggregator::StoreError;
use axum::Router;
use axum::extract::FromRef;
use catalog::{BillingScope, Catalog};
use http_api::{ApiError, AuthState, ListParams};
use std::sync::Arc;
use std::time::Duration;
use utoipa::OpenApi;

/// When to ask again while the event store is away: it is back in seconds after a restart.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// State of these routes.
#[derive(Clone)]
pub struct RaterState {
    /// Usage.
    pub rater: Rater,
    /// Whose.
    pub catalog: Catalog,
    /// Who is asking.
    pub auth: AuthState,
    /// What is billed for good; absent where nobody keeps bills: then nothing is late.
    pub bills: Option<Arc<dyn BilledUsage>>,
}

impl FromRef<RaterState> for AuthState {
    fn from_ref(state: &RaterState) -> Self {
        state.auth.clone()
    }
}

impl RaterState {
    /// The catalog of a scope in memory.
    async fn view(&self, scope: BillingScope) -> Result<Arc<RatingView>, ApiError> {
        let all = self.catalog.billing_catalog(scope).await?;
        let customers = all.customers.into_values().collect();
        let plans = all.plans.into_values().flatten().collect();
        let metrics = all.metrics.into_values().flatten().collect();
        Ok(Arc::new(RatingView::new(customers, all.subscriptions, plans, metrics)))
    }
}

/// The routes.
pub fn router(state: RaterState) -> Router {
    Router::new()
        .merge(events::routes())
        .merge(rejections::routes())
        .merge(usage::routes())
        .merge(estimate::routes())
        .merge(what_if::routes())
        .merge(busiest::routes())
        .merge(subscription_usage::routes())
        .with_state(state)
}

/// The description of the routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = events::Document::openapi();
    document.merge(rejections::Document::openapi());
    document.merge(usage::Document::openapi());
    document.merge(estimate::Document::openapi());
    document.merge(what_if::Document::openapi());
    document.merge(busiest::Document::openapi());
    document.merge(subscription_usage::Document::openapi());
    document
}

/// A page as the store takes it; `ListParams` has checked that neither is negative.
fn page_of(params: &ListParams) -> aggregator::reads::PageRequest {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    aggregator::reads::PageRequest { skip: count(params.skip), limit: count(params.limit) }
}

/// A count as the header takes it.
fn total_of(total: u64) -> i64 {
    i64::try_from(total).unwrap_or(i64::MAX)
}

fn store_away(cause: impl std::fmt::Display) -> ApiError {
    let detail = "the event store does not answer now; nothing was changed";
    ApiError::unavailable("event_store_unavailable", detail, STORE_RETRY).with_cause(cause)
}

impl From<RateError> for ApiError {
    fn from(error: RateError) -> Self {
        store_away(error)
    }
}

impl From<ViewError> for ApiError {
    fn from(error: ViewError) -> Self {
        ApiError::internal(error)
    }
}

/// A store's error as an answer.
fn unanswered(error: StoreError) -> ApiError {
    store_away(error)
}
