//! The price of one more event, without sending it.

use super::usage::{period_at, stretch_of};
use super::{RaterState, unanswered};
use crate::estimate::{Estimate, EstimateError};
use crate::rated::RatingItem;
use crate::usage::UsageEvent;
use crate::view::RatingView;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use catalog::BillingScope;
use domain::catalog::{ChargeModel, Subscription, SubscriptionStatus};
use domain::identity::EventId;
use domain::ids::{ChargeId, SubscriptionId};
use domain::money::Currency;
use domain::quantity::Quantity;
use http_api::{ApiError, Authenticated, JsonBody};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

#[derive(utoipa::OpenApi)]
#[openapi(paths(estimate))]
pub(super) struct Document;

pub(super) fn routes() -> Router<RaterState> {
    Router::new().route("/v1/events/estimate_fees", post(estimate)).route("/v1/events/estimate_fees/", post(estimate))
}

/// An imagined event.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct EstimateFeesRequest {
    /// Whose usage it would be.
    #[schema(value_type = uuid::Uuid)]
    pub subscription_id: SubscriptionId,
    /// Code of the metric.
    pub code: String,
    /// As an event's.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: Map<String, Value>,
    /// As an event's.
    #[serde(default)]
    pub precise_total_amount_cents: String,
}

/// The fee that the imagined event would be part of, at the end of the running period.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EstimateFeesResponse {
    /// Code of the metric.
    pub metric_code: String,
    /// How it is charged.
    #[schema(value_type = Option<String>)]
    pub charge_model: Option<ChargeModel>,
    /// Units of the fee with the event.
    pub units: String,
    /// The fee with the event, in minor units.
    pub amount_cents: String,
    /// Per unit, in minor units, exact.
    pub unit_amount_cents: String,
    /// What of it the event alone adds, in minor units, exact and not rounded.
    pub event_amount_cents: String,
    /// Units that the event alone adds.
    pub event_units: String,
}

/// The price of one more imagined event on top of the usage of the running period.
#[utoipa::path(post, path = "/v1/events/estimate_fees", tag = "Events", security(("api_key" = [])),
    request_body = EstimateFeesRequest,
    responses((status = 200, body = EstimateFeesResponse), (status = 400), (status = 401), (status = 404), (status = 422),
        (status = 503)))]
async fn estimate(
    caller: Authenticated,
    State(state): State<RaterState>,
    JsonBody(asked): JsonBody<EstimateFeesRequest>,
) -> Result<Json<EstimateFeesResponse>, ApiError> {
    let record = state.catalog.subscription(caller.organization, asked.subscription_id).await?;
    let view = state.view(BillingScope::Customer(caller.organization, record.customer_id)).await?;
    let subscription = view.subscription(asked.subscription_id)?.clone();
    if subscription.status != SubscriptionStatus::Active {
        return Err(ApiError::bad_request("subscription_not_active", "Subscription is not active"));
    }
    if !view.has_code(&asked.code) {
        let shown: String = asked.code.chars().take(64).collect();
        let detail = format!("there is no billable metric with code '{shown}'");
        return Err(ApiError::unprocessable("unknown_code", detail));
    }
    let item = stretch_of(&subscription, period_at(&view, &subscription, caller.now)?);
    let (charge, currency) = charge_of(&view, &subscription, &item, &asked.code)?;
    let event = UsageEvent {
        timestamp: caller.now.clamp(item.from, domain::time::Timestamp(item.to.0 - 1)),
        // After every event of its instant, as if it came last.
        id: EventId(u128::MAX),
        term: 0,
        properties: Value::Object(asked.properties).to_string(),
        precise_total: asked.precise_total_amount_cents,
    };
    let cut = state.rater.store().committed_cut().await.map_err(unanswered)?;
    let found = state.rater.estimate(&view, &item, charge, &event, &cut).await?;
    Ok(Json(answer(asked.code, &found, currency)))
}

/// The first charge on the metric in the plan that rates the period.
fn charge_of(
    view: &RatingView,
    subscription: &Subscription,
    item: &RatingItem,
    code: &str,
) -> Result<(ChargeId, Currency), ApiError> {
    let instant = RatingView::versions_at(subscription, &item.period);
    let plan = &view.plan_at(subscription.plan_id, instant)?.plan;
    let charge = plan.charges.iter().find(|charge| view.code_of(charge) == Some(code));
    charge.map(|charge| (charge.id, plan.currency)).ok_or_else(|| ApiError::not_found("Charge for this metric"))
}

fn answer(code: String, found: &Estimate, currency: Currency) -> EstimateFeesResponse {
    let hundred = Quantity::from(currency.minor_units_in_one());
    let (now, with) = (&found.now, &found.with);
    EstimateFeesResponse {
        metric_code: code,
        charge_model: Some(with.charge.model),
        units: with.units.to_string(),
        amount_cents: with.amount_cents.to_string(),
        unit_amount_cents: (&with.unit_amount * &hundred).to_string(),
        event_amount_cents: (&(&with.amount - &now.amount) * &hundred).to_string(),
        event_units: (&with.units - &now.units).to_string(),
    }
}

impl From<EstimateError> for ApiError {
    fn from(error: EstimateError) -> Self {
        match error {
            EstimateError::Rate(error) => error.into(),
            EstimateError::Problem(problem) => ApiError::unprocessable("not_ratable", problem.to_string()),
            error @ EstimateError::NoCharge(_) => ApiError::internal(error),
        }
    }
}
