//! Previews on the wire.

use crate::model::Fee;
use crate::preview::Preview;
use domain::ids::SubscriptionId;
use domain::time::Timestamp;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Asks for a preview.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub struct InvoicePreviewRequest {
    /// Of which subscription.
    #[schema(value_type = uuid::Uuid)]
    pub subscription_id: SubscriptionId,
    /// With an end: usage between the two only.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub billing_period_start: Option<Timestamp>,
    /// The first instant after it; now when only a start is sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub billing_period_end: Option<Timestamp>,
}

impl InvoicePreviewRequest {
    /// The bounds sent, if any.
    ///
    /// # Errors
    /// 422 when they are no stretch of time.
    pub fn bounds(&self, now: Timestamp) -> Result<Option<(Timestamp, Timestamp)>, ApiError> {
        let (from, to) = match (self.billing_period_start, self.billing_period_end) {
            (None, None) => return Ok(None),
            (Some(from), to) => (from, to.unwrap_or(now)),
            (None, Some(to)) => {
                let mut checks = Checks::new();
                checks.broken("billing_period_start", "must be sent beside billing_period_end", to.to_string());
                return checks.finish().map(|()| None);
            }
        };
        let mut checks = Checks::new();
        checks.instant("billing_period_start", from);
        checks.instant("billing_period_end", to);
        if from >= to {
            checks.broken("billing_period_end", "must be later than billing_period_start", to.to_string());
        }
        checks.finish().map(|()| Some((from, to)))
    }
}

/// One line of a preview.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FeePreview {
    /// Title.
    pub description: String,
    /// Quantity.
    pub units: String,
    /// Price of a unit in minor units.
    pub unit_amount_cents: String,
    /// What is owed.
    pub amount_cents: String,
    /// How a charge prices; null for a flat fee.
    pub charge_model: Option<String>,
    /// Code of the metric.
    pub metric_code: Option<String>,
}

/// A preview.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvoicePreviewResponse)]
pub struct InvoicePreviewRecord {
    /// Sum of the lines.
    pub subtotal_cents: String,
    /// Taxes.
    pub tax_amount_cents: String,
    /// Taken off by coupons.
    pub coupons_amount_cents: String,
    /// Billed before, as thresholds were crossed. Wallets are not asked.
    pub prepaid_credit_amount_cents: String,
    /// What would be due.
    pub total_cents: String,
    /// ISO 4217.
    pub currency: String,
    /// Lines, in order.
    pub fees: Vec<FeePreview>,
}

impl InvoicePreviewRecord {
    /// As the contract spells a preview.
    #[must_use]
    pub fn of(preview: &Preview) -> Self {
        Self {
            subtotal_cents: preview.subtotal.to_string(),
            tax_amount_cents: preview.tax.to_string(),
            coupons_amount_cents: preview.coupons.to_string(),
            prepaid_credit_amount_cents: preview.progressive.to_string(),
            total_cents: preview.total.to_string(),
            currency: preview.currency.to_string(),
            fees: preview.fees.iter().map(FeePreview::of).collect(),
        }
    }
}

impl FeePreview {
    fn of(fee: &Fee) -> Self {
        let properties: Option<Value> = serde_json::from_str(&fee.properties).ok();
        let model = properties.and_then(|all| all.get("charge_model")?.as_str().map(str::to_owned));
        Self {
            description: fee.description.clone(),
            units: fee.units.to_string(),
            unit_amount_cents: fee.unit_amount.to_string(),
            amount_cents: fee.amount.to_string(),
            charge_model: model,
            metric_code: fee.metric_code.clone(),
        }
    }
}
