//! What a change of plan would cost, by the same days that bill: unused days of an advance payment back, days of the new plan's
//! period from that day on. A day of change belongs to the new plan.

use crate::catalog::Catalog;
use crate::columns::name_of;
use crate::plan::document::PlanDocument;
use crate::subscription::change_plan::check_change;
use crate::subscription::wire::SubscriptionRecord;
use domain::catalog::SubscriptionStatus;
use domain::ids::{OrganizationId, PlanId, SubscriptionId};
use domain::money::MinorUnits;
use domain::period::{BillingCalendar, Timezones};
use domain::time::Timestamp;
use http_api::{ApiError, Checks};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks what a change would cost.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub struct ChangePlanPreviewRequest {
    /// To which plan.
    #[schema(value_type = uuid::Uuid)]
    pub new_plan_id: PlanId,
    /// When; now when not sent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub effective_date: Option<Timestamp>,
}

/// A plan in few words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PlanSummary {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub id: PlanId,
    /// Shown.
    pub name: String,
    /// Unique in the organization.
    pub code: String,
    /// Period length.
    pub interval: String,
    /// Flat fee per period.
    pub amount_cents: i64,
    /// ISO 4217.
    pub currency: String,
}

/// The money of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProrationDetail {
    /// Days of the new plan's period from the change on.
    pub days_remaining: u32,
    /// Days of that period.
    pub total_days: u32,
    /// Unused part of what was paid in advance.
    pub current_plan_credit_cents: i64,
    /// What the new plan takes in advance for the rest of its period.
    pub new_plan_charge_cents: i64,
    /// Charge less credit.
    pub net_amount_cents: i64,
}

/// What a change would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChangePlanPreviewResponse {
    /// From.
    pub current_plan: PlanSummary,
    /// To.
    pub new_plan: PlanSummary,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub effective_date: Timestamp,
    /// The money.
    pub proration: ProrationDetail,
}

fn summary(document: &PlanDocument) -> Result<PlanSummary, ApiError> {
    let plan = &document.plan;
    Ok(PlanSummary {
        id: plan.id,
        name: plan.name.clone(),
        code: plan.code.clone(),
        interval: name_of(plan.interval)?,
        amount_cents: plan.amount.0,
        currency: plan.currency.code().to_string(),
    })
}

impl Catalog {
    /// What changing the plan at an instant would cost; nothing is stored.
    ///
    /// # Errors
    /// As [`Catalog::change_plan`], but 400 when the subscription is not active; 422 for an instant before the subscription started.
    pub async fn change_plan_preview(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        request: &ChangePlanPreviewRequest,
        now: Timestamp,
    ) -> Result<ChangePlanPreviewResponse, ApiError> {
        let subscription = self.subscription(organization, id).await?;
        let old = self.plan_row(organization, subscription.plan_id).await?.document;
        let new = self.plan_row(organization, request.new_plan_id).await?.document;
        if subscription.status != SubscriptionStatus::Active {
            // Nothing else changes it at the same instant: no conflict, as a change would have it.
            let detail =
                format!("only an active subscription changes its plan; this one is {}", name_of(subscription.status)?);
            return Err(ApiError::bad_request("wrong_subscription_state", detail));
        }
        check_change(&subscription, &old, &new)?;
        let at = request.effective_date.unwrap_or(now);
        let mut checks = Checks::new();
        checks.instant("effective_date", at);
        if subscription.started_at.is_none_or(|started_at| at < started_at) {
            checks.broken("effective_date", "lies before the start of the subscription", at.to_string());
        }
        checks.finish()?;
        let zones = self.timezones(subscription.customer_id.to_string()).await?;
        Ok(ChangePlanPreviewResponse {
            current_plan: summary(&old)?,
            new_plan: summary(&new)?,
            effective_date: at,
            proration: proration(&subscription, &old, &new, &zones, at),
        })
    }
}

fn proration(
    subscription: &SubscriptionRecord,
    old: &PlanDocument,
    new: &PlanDocument,
    zones: &Timezones,
    at: Timestamp,
) -> ProrationDetail {
    let anchor = subscription.anchor_at.or(subscription.started_at).unwrap_or(at);
    let rest = |document: &PlanDocument| {
        let calendar = BillingCalendar::new(document.plan.interval, subscription.billing_time, anchor, zones.clone());
        let period = calendar.period_containing(at);
        period.proration_by_days(period.day_of(at), period.end_day)
    };
    let (unused, coming) = (rest(old), rest(new));
    let credit = if subscription.pay_in_advance { unused.of_minor_units(old.plan.amount) } else { MinorUnits::ZERO };
    let charge = if new.plan.pay_in_advance { coming.of_minor_units(new.plan.amount) } else { MinorUnits::ZERO };
    ProrationDetail {
        days_remaining: coming.days,
        total_days: coming.of,
        current_plan_credit_cents: credit.0,
        new_plan_charge_cents: charge.0,
        net_amount_cents: charge.0.saturating_sub(credit.0),
    }
}
