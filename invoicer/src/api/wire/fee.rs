//! Fees on the wire.

use super::tax::AppliedTaxRecord;
use crate::ledger::LedgerError;
use crate::ledger::fees::StoredFee;
use crate::model::{FeeKind, FeePayment, FeeVersions};
use bigdecimal::BigDecimal;
use domain::ids::{ChargeId, CustomerId, FeeId, InvoiceId, PlanId, SubscriptionId};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// A fee.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeeResponse)]
pub struct FeeRecord {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: FeeId,
    /// On which invoice.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub invoice_id: Option<InvoiceId>,
    /// By which charge.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub charge_id: Option<ChargeId>,
    /// By which plan.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub plan_id: Option<PlanId>,
    /// For which subscription.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub subscription_id: Option<SubscriptionId>,
    /// By which commitment.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub commitment_id: Option<uuid::Uuid>,
    /// The fee of a closed period that it corrects.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub adjusted_fee_id: Option<FeeId>,
    /// Who owes it.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// Why it is owed.
    pub fee_type: FeeKind,
    /// ISO 4217.
    pub currency: String,
    /// Rounded once to minor units.
    pub amount_cents: String,
    /// The same before rounding.
    pub precise_amount_cents: String,
    /// Its share of the invoice's coupons: exact to thirty places.
    pub precise_coupons_amount_cents: String,
    /// Taxes, rounded for this fee alone: an invoice's need not be the sum of them.
    pub taxes_amount_cents: String,
    /// The taxes on the amount before rounding; for showing: what is owed is the tax on the rounded amount (I5).
    pub taxes_precise_amount_cents: String,
    /// Sum of the rates.
    pub taxes_rate: String,
    /// Each tax with its base and amount.
    pub applied_taxes: Vec<AppliedTaxRecord>,
    /// With taxes, before coupons and credits.
    pub total_amount_cents: String,
    /// Quantity.
    pub units: String,
    /// Events in it.
    pub events_count: u64,
    /// 128-bit sum over exactly these events, 32 hexadecimal digits; null for a fee without usage.
    pub event_fingerprint: Option<String>,
    /// Price of a unit.
    pub unit_amount_cents: String,
    /// Whether it is paid.
    pub payment_status: FeePayment,
    /// Title.
    pub description: String,
    /// Code of the metric.
    pub metric_code: Option<String>,
    /// The prices used, and what else explains the amount.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
    /// First instant it covers.
    #[schema(value_type = String, format = DateTime)]
    pub period_start: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub period_end: Timestamp,
    /// Up to which position of each partition events were in; null for a fee without usage.
    #[schema(value_type = Option<Vec<Object>>)]
    pub cut: Option<Cut>,
    /// Versions of plan and metric it was rated from.
    #[schema(value_type = Object)]
    pub versions: FeeVersions,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl FeeRecord {
    /// As the contract spells a stored fee.
    ///
    /// # Errors
    /// When the ledger holds what cannot be read.
    pub fn read(fee: &StoredFee) -> Result<Self, LedgerError> {
        Ok(Self {
            id: fee.id,
            invoice_id: fee.invoice,
            charge_id: fee.charge,
            plan_id: fee.plan,
            subscription_id: fee.subscription,
            commitment_id: (fee.kind == FeeKind::Commitment)
                .then(|| fee.plan.map(catalog::plan::commitment::commitment_id))
                .flatten(),
            adjusted_fee_id: fee.adjusts,
            customer_id: fee.customer,
            fee_type: fee.kind,
            currency: fee.currency.to_string(),
            amount_cents: fee.amount.to_string(),
            precise_amount_cents: fee.precise_amount.clone(),
            precise_coupons_amount_cents: fee.coupons.to_string(),
            taxes_amount_cents: fee.tax.to_string(),
            taxes_precise_amount_cents: tax_on_precise(fee)?,
            taxes_rate: fee.taxes.iter().map(|tax| &tax.tax_rate).sum::<Quantity>().to_string(),
            applied_taxes: fee.taxes.iter().map(|tax| AppliedTaxRecord::of(tax, &fee.taxable())).collect(),
            total_amount_cents: fee.amount.plus(fee.tax)?.to_string(),
            units: fee.units.clone(),
            events_count: fee.events_count,
            event_fingerprint: fee.fingerprint.clone(),
            unit_amount_cents: fee.unit_amount.clone(),
            payment_status: fee.payment,
            description: fee.description.clone(),
            metric_code: fee.metric_code.clone(),
            properties: RawValue::from_string(fee.properties.clone())?,
            period_start: fee.from,
            period_end: fee.to,
            cut: fee.cut.clone(),
            versions: fee.versions,
            created_at: fee.created_at,
            updated_at: fee.updated_at,
        })
    }
}

fn tax_on_precise(fee: &StoredFee) -> Result<String, LedgerError> {
    if fee.taxes.is_empty() {
        return Ok("0".into());
    }
    let precise: BigDecimal = fee.precise_amount.parse().map_err(|_| LedgerError::Corrupt {
        column: "fees.precise_amount_cents".into(),
        value: fee.precise_amount.clone(),
    })?;
    let rate: Quantity = fee.taxes.iter().map(|tax| &tax.tax_rate).sum();
    Ok((&Quantity::from(precise) * &rate).to_string())
}

/// Changes of a fee: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct FeeUpdate {
    /// Whether it is paid.
    pub payment_status: Option<FeePayment>,
    /// Title.
    pub description: Option<String>,
    /// Refused: worked out by Tollgate.
    pub taxes_amount_cents: Option<ExactDecimal>,
    /// Refused: worked out by Tollgate.
    pub total_amount_cents: Option<ExactDecimal>,
}

impl FeeUpdate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        for (field, sent) in
            [("taxes_amount_cents", &self.taxes_amount_cents), ("total_amount_cents", &self.total_amount_cents)]
        {
            if let Some(sent) = sent {
                checks.broken(field, "is worked out by Tollgate alone", sent.to_string());
            }
        }
        if let Some(description) = &self.description {
            checks.length("description", description, 1, 1000);
        }
        checks.finish()
    }
}
