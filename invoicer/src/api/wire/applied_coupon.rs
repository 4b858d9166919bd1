//! Coupons of customers on the wire.

use super::checked;
use super::coupon::{amount_of, rate_of, status};
use crate::coupons::Application;
use crate::ledger::coupons::{AppliedCoupon, CouponUse, StoredCoupon};
use domain::ids::CustomerId;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A coupon for a customer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ApplyCouponRequest {
    /// Which.
    pub coupon_code: String,
    /// To whom.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// Another amount than the coupon's, of a fixed one.
    pub amount_cents: Option<ExactDecimal>,
    /// Its currency: the customer's.
    pub amount_currency: Option<String>,
    /// Another percentage than the coupon's, of a percentage.
    pub percentage_rate: Option<ExactDecimal>,
}

impl ApplyCouponRequest {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn application(self) -> Result<Application, ApiError> {
        let mut checks = Checks::new();
        let amount = self.amount_cents.as_ref().and_then(|sent| checked::amount(&mut checks, "amount_cents", sent));
        let currency =
            self.amount_currency.as_ref().and_then(|code| checked::currency(&mut checks, "amount_currency", code));
        let share =
            self.percentage_rate.as_ref().and_then(|sent| checked::percentage(&mut checks, "percentage_rate", sent));
        checks.finish()?;
        Ok(Application { coupon: self.coupon_code, customer: self.customer_id, amount, currency, share })
    }
}

/// A coupon that a customer got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = AppliedCouponResponse)]
pub struct AppliedCouponRecord {
    /// Its id.
    pub id: Uuid,
    /// Which.
    pub coupon_id: Uuid,
    /// Code of the coupon.
    pub coupon_code: String,
    /// Whose.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// Of a fixed amount: minor units, as text.
    pub amount_cents: Option<String>,
    /// Of a fixed amount: ISO 4217.
    pub amount_currency: Option<String>,
    /// Of a percentage.
    pub percentage_rate: Option<String>,
    /// `once`, `recurring` or `forever`.
    pub frequency: &'static str,
    /// Invoices that a recurring coupon is used on; null: all.
    pub frequency_duration: Option<i64>,
    /// Of those, the ones to come.
    pub frequency_duration_remaining: Option<i64>,
    /// `active`, or `terminated` by hand or as it was used up.
    pub status: &'static str,
    /// When it was ended or used up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub terminated_at: Option<Timestamp>,
    /// When the customer got it.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed or used.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl AppliedCouponRecord {
    /// As the contract spells it.
    #[must_use]
    pub fn of(applied: &AppliedCoupon) -> Self {
        Self {
            id: applied.id,
            coupon_id: applied.coupon,
            coupon_code: applied.coupon_code.clone(),
            customer_id: applied.customer,
            amount_cents: amount_of(&applied.discount),
            amount_currency: applied.currency.map(|currency| currency.to_string()),
            percentage_rate: rate_of(&applied.discount),
            frequency: applied.frequency.as_str(),
            frequency_duration: applied.frequency.times(),
            frequency_duration_remaining: applied.frequency.times().map(|_| applied.uses_left),
            status: status(applied.active),
            terminated_at: applied.terminated_at,
            created_at: applied.created_at,
            updated_at: applied.updated_at,
        }
    }
}

/// What became of a coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CouponAnalyticsResponse)]
pub struct CouponAnalytics {
    /// How often it was applied to a customer.
    pub times_applied: i64,
    /// Of these, the ones that later invoices use.
    pub active_applications: i64,
    /// The others.
    pub terminated_applications: i64,
    /// What it took off invoices that were not voided: exact, in minor units.
    pub total_discount_cents: String,
    /// Uses left of all active applications; null where uses are not counted.
    pub remaining_uses: Option<i64>,
}

impl CouponAnalytics {
    /// Of a coupon.
    #[must_use]
    pub fn of(coupon: &StoredCoupon, found: &CouponUse) -> Self {
        Self {
            times_applied: found.applied,
            active_applications: found.active,
            terminated_applications: found.applied - found.active,
            total_discount_cents: found.discount.to_string(),
            remaining_uses: coupon.counts_uses().then_some(found.uses_left),
        }
    }
}
