//! Usage thresholds: amounts of usage that are billed as soon as they are reached, of a plan or of one subscription.
//!
//! Those of a plan stand in its versions ([`crate::plan::document`]), so adding one is a new version; their ids follow from plan,
//! amount and kind, so that one which is taken out and put in again is the same. Those of a subscription are rows. What a
//! crossing bills is the invoicer's part.

pub(crate) mod api;
mod storage;

use crate::billing::Threshold;
use crate::columns::Columns;
use crate::database::DatabaseError;
use crate::plan::document::PlanThreshold;
use domain::ids::{PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A threshold as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UsageThresholdResponse)]
pub struct UsageThresholdRecord {
    /// Its id.
    pub id: Uuid,
    /// Of which plan; or
    #[schema(value_type = Option<Uuid>)]
    pub plan_id: Option<PlanId>,
    /// of which subscription.
    #[schema(value_type = Option<Uuid>)]
    pub subscription_id: Option<SubscriptionId>,
    /// How much usage, in minor units, as text.
    pub amount_cents: String,
    /// That of the plan, ISO 4217.
    pub currency: String,
    /// Whether each such amount above the highest that is not recurring is billed, over lifetime usage.
    pub recurring: bool,
    /// Title for people.
    pub threshold_display_name: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// The same: a threshold is not changed, but taken away and made anew.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A new threshold.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct UsageThresholdCreateAPI {
    /// At least 1.
    pub amount_cents: ExactDecimal,
    /// Refused when it is not the plan's.
    pub currency: Option<String>,
    /// Whether it repeats.
    #[serde(default)]
    pub recurring: bool,
    /// At most 255 characters.
    pub threshold_display_name: Option<String>,
}

impl UsageThresholdCreateAPI {
    /// The amount in minor units.
    ///
    /// # Errors
    /// 422 with every fault.
    fn check(&self, currency: Currency) -> Result<i64, ApiError> {
        let mut checks = Checks::new();
        let cents = crate::add_on::wire::whole_cents(&mut checks, "amount_cents", &self.amount_cents);
        if cents < 1 {
            checks.broken("amount_cents", "a threshold is at least 1", self.amount_cents.to_string());
        }
        if let Some(other) = self.currency.as_ref().filter(|sent| *sent != currency.code()) {
            checks.broken("currency", format!("the plan is in {}", currency.code()), other.as_str());
        }
        if let Some(name) = &self.threshold_display_name {
            checks.length("threshold_display_name", name, 0, 255);
        }
        checks.finish()?;
        Ok(cents)
    }
}

impl UsageThresholdRecord {
    pub(crate) fn read(row: &AnyRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.parsed("id")?,
            plan_id: None,
            subscription_id: Some(row.parsed("subscription_id")?),
            amount_cents: row.integer("amount_cents")?.to_string(),
            currency: row.text("currency")?,
            recurring: row.flag("recurring")?,
            threshold_display_name: row.optional_text("threshold_display_name")?,
            created_at: row.instant("created_at")?,
            updated_at: row.instant("updated_at")?,
        })
    }
}

/// Set apart from a plan's own id and its commitment's; any constant does that leaves the last nine bytes to kind and amount.
const PATTERN: u128 = u128::from_be_bytes(*b"thresho\0\0\0\0\0\0\0\0\0");

/// A plan's threshold with its id.
pub(crate) struct ThresholdOfPlan<'a> {
    pub(crate) id: Uuid,
    plan: PlanId,
    kept: &'a PlanThreshold,
}

pub(crate) fn of_plan(plan: PlanId, kept: &PlanThreshold) -> ThresholdOfPlan<'_> {
    let (recurring, amount) =
        (u128::from(kept.threshold.recurring) << 64, u128::from(kept.threshold.amount_cents.unsigned_abs()));
    ThresholdOfPlan { id: Uuid::from_u128(plan.0.as_u128() ^ PATTERN ^ recurring ^ amount), plan, kept }
}

impl ThresholdOfPlan<'_> {
    /// As billing needs it.
    pub(crate) fn terms(&self) -> Threshold {
        let threshold = &self.kept.threshold;
        Threshold { id: self.id, amount: MinorUnits(threshold.amount_cents), recurring: threshold.recurring }
    }

    fn shown(&self, currency: Currency, plan_created_at: Timestamp) -> UsageThresholdRecord {
        let created_at = self.kept.created_at.unwrap_or(plan_created_at);
        UsageThresholdRecord {
            id: self.id,
            plan_id: Some(self.plan),
            subscription_id: None,
            amount_cents: self.kept.threshold.amount_cents.to_string(),
            currency: currency.code().into(),
            recurring: self.kept.threshold.recurring,
            threshold_display_name: self.kept.threshold.threshold_display_name.clone(),
            created_at,
            updated_at: created_at,
        }
    }
}
