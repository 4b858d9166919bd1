//! What a made-up number of units would cost under each charge of a plan, by the same price models that bill.
//!
//! Amounts are integers of the currency's minor unit, each rounded once, half away from zero (I5); behaviour W6 cut them off. The
//! charge's minimum holds; filters do not, because made-up units have no properties.

use crate::plan::document::PlanRow;
use bigdecimal::num_bigint::Sign;
use domain::catalog::{Charge, ChargeModel};
use domain::ids::{ChargeId, MetricId, PlanId};
use domain::money::{Currency, MinorUnits};
use domain::pricing::{PriceModel, UsageToPrice};
use domain::quantity::Quantity;
use http_api::{ApiError, ExactDecimal};
use serde::Serialize;
use serde_json::{Number, Value};
use utoipa::ToSchema;

/// The price of made-up usage.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct PlanSimulateResponse {
    /// Which plan.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// ISO 4217.
    pub currency: String,
    /// The plan's flat fee.
    pub base_amount_cents: i64,
    /// Each charge.
    pub charges: Vec<ChargeSimulationResult>,
    /// All together.
    pub total_amount_cents: i64,
}

/// The price of made-up usage under one charge.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ChargeSimulationResult {
    /// Which charge.
    #[schema(value_type = uuid::Uuid)]
    pub charge_id: ChargeId,
    /// What is charged.
    #[schema(value_type = uuid::Uuid)]
    pub billable_metric_id: MetricId,
    /// How.
    #[schema(value_type = String)]
    pub charge_model: ChargeModel,
    /// The units that were made up, as a number.
    #[schema(value_type = f64)]
    pub units: Number,
    /// Their price.
    pub amount_cents: i64,
    /// The charge's prices.
    #[schema(value_type = Object)]
    pub properties: Value,
}

/// Prices `units` of each charge.
///
/// # Errors
/// 422 when units are negative or have too many digits, or an amount passes 64 bits.
pub(crate) fn simulate(plan: PlanRow, units: &ExactDecimal) -> Result<PlanSimulateResponse, ApiError> {
    let plan = plan.document.plan;
    let text = units.to_string();
    let too_long = |reason: String| ApiError::invalid_field("units", reason, &Value::from(text.as_str()));
    if units.0.sign() == Sign::Minus {
        return Err(too_long("Input should be greater than or equal to 0".into()));
    }
    let quantity: Quantity =
        text.parse().map_err(|reason: domain::quantity::QuantityError| too_long(reason.to_string()))?;
    let shown: Number = text.parse().map_err(ApiError::internal)?;
    let mut total = plan.amount;
    let mut charges = Vec::with_capacity(plan.charges.len());
    for charge in plan.charges {
        let amount = price(&charge, &quantity, plan.currency)?;
        total = total.plus(amount).map_err(amount_too_large)?;
        charges.push(ChargeSimulationResult {
            charge_id: charge.id,
            billable_metric_id: charge.metric_id,
            charge_model: charge.model,
            units: shown.clone(),
            amount_cents: amount.0,
            properties: charge.properties,
        });
    }
    Ok(PlanSimulateResponse {
        plan_id: plan.id,
        currency: plan.currency.code().to_string(),
        base_amount_cents: plan.amount.0,
        charges,
        total_amount_cents: total.0,
    })
}

fn price(charge: &Charge, units: &Quantity, currency: Currency) -> Result<MinorUnits, ApiError> {
    let unreadable = |faults: Vec<domain::pricing::PropertyError>| {
        let reasons = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        ApiError::internal(format!("charge {} was stored with prices that cannot be read: {reasons}", charge.id))
    };
    let model = PriceModel::parse(charge.model, &charge.properties).map_err(unreadable)?;
    let priced = model.price(&UsageToPrice::simulated(units.clone())).map_err(ApiError::internal)?;
    let rounded = currency.to_minor_units(&priced.amount.to_big()).map_err(amount_too_large)?;
    Ok(rounded.max(charge.min_amount))
}

fn amount_too_large(fault: domain::money::MoneyError) -> ApiError {
    ApiError::unprocessable("amount_too_large", fault.to_string())
}
