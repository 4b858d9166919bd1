//! Coupons on the wire. A percentage is 0–100, as in the contract; the ledger keeps the fraction.

use super::checked;
use crate::coupons::CouponChange;
use crate::credits::fund::Discount;
use crate::ledger::coupons::{Frequency, StoredCoupon};
use domain::ids::PlanId;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most plans or metrics that a coupon is limited to.
const MAX_LIMITS: usize = 100;

/// A coupon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CouponResponse)]
pub struct CouponRecord {
    /// Its id.
    pub id: Uuid,
    /// Unique in the organization.
    pub code: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `fixed_amount` or `percentage`.
    pub coupon_type: &'static str,
    /// Of a fixed amount: minor units, as text.
    pub amount_cents: Option<String>,
    /// Of a fixed amount: ISO 4217.
    pub amount_currency: Option<String>,
    /// Of a percentage: more than 0, at most 100.
    pub percentage_rate: Option<String>,
    /// `once`, `recurring` or `forever`.
    pub frequency: &'static str,
    /// Invoices that a recurring coupon is used on; null: all.
    pub frequency_duration: Option<i64>,
    /// Whether a customer may get it more than once.
    pub reusable: bool,
    /// `no_expiration` or `time_limit`.
    pub expiration: &'static str,
    /// From when on nobody gets it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
    /// `active`, or `terminated` by hand or by its expiry.
    pub status: &'static str,
    /// Codes of the plans whose fees it discounts; none: all.
    pub limited_to_plan_codes: Vec<String>,
    /// Codes of the metrics whose fees it discounts; none: all.
    pub limited_to_metric_codes: Vec<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

pub(super) fn amount_of(discount: &Discount) -> Option<String> {
    match discount {
        Discount::Fixed(amount) => Some(amount.to_string()),
        Discount::Share(_) => None,
    }
}

pub(super) fn rate_of(discount: &Discount) -> Option<String> {
    match discount {
        Discount::Fixed(_) => None,
        Discount::Share(share) => Some((share * &Quantity::from(100_i64)).to_string()),
    }
}

pub(super) fn status(active: bool) -> &'static str {
    if active { "active" } else { "terminated" }
}

impl CouponRecord {
    /// As the contract spells a coupon; its status is that at `now`.
    #[must_use]
    pub fn of(coupon: &StoredCoupon, now: Timestamp) -> Self {
        let amount_cents = amount_of(&coupon.discount);
        Self {
            id: coupon.id,
            code: coupon.code.clone(),
            name: coupon.name.clone(),
            description: coupon.description.clone(),
            coupon_type: if amount_cents.is_some() { "fixed_amount" } else { "percentage" },
            amount_cents,
            amount_currency: coupon.currency.map(|currency| currency.to_string()),
            percentage_rate: rate_of(&coupon.discount),
            frequency: coupon.frequency.as_str(),
            frequency_duration: coupon.frequency.times(),
            reusable: coupon.reusable,
            expiration: if coupon.expires_at.is_some() { "time_limit" } else { "no_expiration" },
            expiration_at: coupon.expires_at,
            status: status(coupon.is_active(now)),
            limited_to_plan_codes: coupon.plan_codes.clone(),
            limited_to_metric_codes: coupon.metrics.clone(),
            created_at: coupon.created_at,
            updated_at: coupon.updated_at,
        }
    }
}

/// What kind of discount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponType {
    /// An amount of a currency.
    FixedAmount,
    /// A share.
    Percentage,
}

/// How often it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponFrequency {
    /// On one invoice.
    Once,
    /// On `frequency_duration` invoices.
    Recurring,
    /// On all.
    Forever,
}

/// Whether it expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponExpiration {
    /// Never.
    #[default]
    NoExpiration,
    /// At `expiration_at`.
    TimeLimit,
}

/// Whether customers get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponStatus {
    /// They do.
    Active,
    /// They do not.
    Terminated,
}

/// A coupon to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CouponCreate {
    /// 1–255 characters, unique in the organization; never changes.
    pub code: String,
    /// 1–255 characters.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// Of which kind.
    pub coupon_type: CouponType,
    /// Of a fixed amount: whole minor units, more than 0.
    pub amount_cents: Option<ExactDecimal>,
    /// Of a fixed amount: ISO 4217.
    pub amount_currency: Option<String>,
    /// Of a percentage: more than 0, at most 100.
    pub percentage_rate: Option<ExactDecimal>,
    /// How often.
    pub frequency: CouponFrequency,
    /// Of a recurring one, at least 1; absent: for ever.
    pub frequency_duration: Option<i64>,
    /// Whether a customer may get it more than once.
    #[serde(default = "yes")]
    pub reusable: bool,
    /// Whether it expires.
    #[serde(default)]
    pub expiration: CouponExpiration,
    /// When; later than now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
    /// Codes of plans: only their fees are discounted.
    #[serde(default)]
    pub limited_to_plan_codes: Vec<String>,
    /// Codes of metrics: only their fees are discounted.
    #[serde(default)]
    pub limited_to_metric_codes: Vec<String>,
}

fn yes() -> bool {
    true
}

impl CouponCreate {
    /// What to store; `plans` are those of `limited_to_plan_codes`.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn coupon(self, plans: Vec<PlanId>, now: Timestamp) -> Result<StoredCoupon, ApiError> {
        let mut checks = Checks::new();
        checked::name(&mut checks, "code", &self.code);
        checked::name(&mut checks, "name", &self.name);
        checked::description(&mut checks, self.description.as_ref());
        for (field, list) in [
            ("limited_to_plan_codes", &self.limited_to_plan_codes),
            ("limited_to_metric_codes", &self.limited_to_metric_codes),
        ] {
            if list.len() > MAX_LIMITS {
                checks.broken(field, format!("should have at most {MAX_LIMITS} codes"), Value::Null);
            }
        }
        let currency =
            self.amount_currency.as_ref().and_then(|code| checked::currency(&mut checks, "amount_currency", code));
        let discount = self.discount(&mut checks);
        let frequency = self.frequency(&mut checks);
        let expires_at = self.expires_at(&mut checks, now);
        checks.finish()?;
        let discount = discount.ok_or_else(|| ApiError::internal("a discount without a fault is missing"))?;
        Ok(StoredCoupon {
            id: Uuid::now_v7(),
            code: self.code,
            name: self.name,
            description: self.description,
            discount,
            currency,
            frequency,
            reusable: self.reusable,
            expires_at,
            plan_codes: self.limited_to_plan_codes,
            plans,
            metrics: self.limited_to_metric_codes,
            terminated_at: None,
            created_at: now,
            updated_at: now,
        })
    }

    fn discount(&self, checks: &mut Checks) -> Option<Discount> {
        let needed = |checks: &mut Checks, field, is_sent: bool, wanted: bool| {
            if wanted && !is_sent {
                checks.fault("missing", [http_api::Loc::from(field)], "Field required", &Value::Null);
            } else if !wanted && is_sent {
                checks.broken(field, "belongs to the other type of coupon", Value::Null);
            }
        };
        let fixed = self.coupon_type == CouponType::FixedAmount;
        needed(checks, "amount_cents", self.amount_cents.is_some(), fixed);
        needed(checks, "amount_currency", self.amount_currency.is_some(), fixed);
        needed(checks, "percentage_rate", self.percentage_rate.is_some(), !fixed);
        if fixed {
            checked::amount(checks, "amount_cents", self.amount_cents.as_ref()?).map(Discount::Fixed)
        } else {
            checked::percentage(checks, "percentage_rate", self.percentage_rate.as_ref()?).map(Discount::Share)
        }
    }

    fn frequency(&self, checks: &mut Checks) -> Frequency {
        if let Some(times) = self.frequency_duration {
            checks.at_least("frequency_duration", times, 1);
            if self.frequency != CouponFrequency::Recurring {
                checks.broken("frequency_duration", "belongs to recurring coupons", times);
            }
        }
        match self.frequency {
            CouponFrequency::Once => Frequency::Once,
            CouponFrequency::Recurring => Frequency::Recurring(self.frequency_duration),
            CouponFrequency::Forever => Frequency::Forever,
        }
    }

    fn expires_at(&self, checks: &mut Checks, now: Timestamp) -> Option<Timestamp> {
        match (self.expiration, self.expiration_at) {
            (CouponExpiration::NoExpiration, Some(at)) => {
                checks.broken("expiration_at", "belongs to coupons of a time limit", at.to_string());
            }
            (CouponExpiration::TimeLimit, None) => {
                checks.fault("missing", [http_api::Loc::from("expiration_at")], "Field required", &Value::Null);
            }
            (CouponExpiration::TimeLimit, Some(at)) => {
                checks.instant("expiration_at", at);
                if at <= now {
                    checks.broken("expiration_at", "should be later than now", at.to_string());
                }
            }
            (CouponExpiration::NoExpiration, None) => {}
        }
        self.expiration_at
    }
}

/// Changes of a coupon: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct CouponUpdate {
    /// 1–255 characters.
    pub name: Option<String>,
    /// Null clears it.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// `no_expiration` clears `expiration_at`.
    pub expiration: Option<CouponExpiration>,
    /// When it expires; null: never.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Option<Timestamp>>,
    /// Ends it, or lets customers get it again.
    pub status: Option<CouponStatus>,
}

impl CouponUpdate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn change(self) -> Result<CouponChange, ApiError> {
        let mut checks = Checks::new();
        if let Some(name) = &self.name {
            checked::name(&mut checks, "name", name);
        }
        checked::description(&mut checks, self.description.as_ref().and_then(Option::as_ref));
        let sent_at = self.expiration_at.flatten();
        if let Some(at) = sent_at {
            checks.instant("expiration_at", at);
        }
        if self.expiration == Some(CouponExpiration::NoExpiration) && sent_at.is_some() {
            checks.broken("expiration_at", "belongs to coupons of a time limit", Value::Null);
        }
        if self.expiration == Some(CouponExpiration::TimeLimit) && sent_at.is_none() {
            checks.fault("missing", [http_api::Loc::from("expiration_at")], "Field required", &Value::Null);
        }
        checks.finish()?;
        let cleared = self.expiration == Some(CouponExpiration::NoExpiration);
        Ok(CouponChange {
            name: self.name,
            description: self.description,
            expires_at: if cleared { Some(None) } else { self.expiration_at },
            terminated: self.status.map(|status| status == CouponStatus::Terminated),
        })
    }
}
