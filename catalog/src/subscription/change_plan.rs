//! Changing the plan of a running subscription: it ends, and the next one of the same external id goes on from it with the new plan.
//! What was rated and billed under the old plan stays as it is (I3), and no instant belongs to both (I6).
//!
//! | when | upgrade (not cheaper per day) | downgrade |
//! |---|---|---|
//! | auto | now | at the end of the plan's period |
//! | now | now | now |
//! | period_end | at the end of the plan's period | at the end of the plan's period |
//!
//! A change planned for the end of the period is a pending subscription; planning another one drops it.

use crate::catalog::Catalog;
use crate::columns::name_of;
use crate::database::{DatabaseError, WriteTransaction};
use crate::plan::document::{PlanDocument, PlanRow};
use crate::subscription::storage::{insert, logged, select};
use crate::subscription::wire::SubscriptionRecord;
use domain::catalog::{Interval, Plan, SubscriptionStatus};
use domain::ids::{OrganizationId, PlanId, SubscriptionId};
use domain::period::BillingCalendar;
use domain::time::Timestamp;
use http_api::ApiError;
use serde::Deserialize;
use sqlx::AssertSqlSafe;
use utoipa::ToSchema;

/// When a change of plan takes effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeWhen {
    /// An upgrade now, a downgrade at the end of the period.
    #[default]
    Auto,
    /// Now.
    Now,
    /// At the end of the plan's period.
    PeriodEnd,
}

/// Changes the plan.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub struct ChangePlanRequest {
    /// To which.
    #[schema(value_type = uuid::Uuid)]
    pub plan_id: PlanId,
    /// When.
    #[serde(default)]
    pub when: ChangeWhen,
}

/// Whether `new` costs at least as much a day as `old`. A year has 365 days here; multiplied by 7, it is whole for weeks.
pub(crate) fn is_upgrade(old: &Plan, new: &Plan) -> bool {
    let a_year = |plan: &Plan| {
        let periods_in_seven_years = match plan.interval {
            Interval::Weekly => 365,
            Interval::Monthly => 84,
            Interval::Quarterly => 28,
            Interval::Semiannual => 14,
            Interval::Yearly => 7,
        };
        i128::from(plan.amount.0) * periods_in_seven_years
    };
    a_year(new) >= a_year(old)
}

/// The refusals that a change and its preview share.
pub(crate) fn check_change(
    subscription: &SubscriptionRecord,
    old: &PlanDocument,
    new: &PlanDocument,
) -> Result<(), ApiError> {
    if old.plan.id == new.plan.id {
        return Err(ApiError::bad_request("same_plan", "the subscription is on this plan already"));
    }
    if old.plan.currency != new.plan.currency {
        let (from, to) = (old.plan.currency, new.plan.currency);
        return Err(ApiError::bad_request("currency_mismatch", format!("the plans are priced in {from} and {to}")));
    }
    if subscription.status != SubscriptionStatus::Active {
        let status = name_of(subscription.status)?;
        let detail = format!("only an active subscription changes its plan; this one is {status}");
        return Err(ApiError::conflict("wrong_subscription_state", detail));
    }
    Ok(())
}

impl Catalog {
    /// Changes the plan of an active subscription; answers the one that goes on from it: active, or pending until the period ends.
    ///
    /// # Errors
    /// 404 when the organization has no such subscription; 400 for an unknown or the same plan or another currency; 409 when the
    /// subscription is not active or ends before its period does.
    pub async fn change_plan(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        request: &ChangePlanRequest,
        now: Timestamp,
    ) -> Result<SubscriptionRecord, ApiError> {
        let new =
            self.plan_row(organization, request.plan_id).await.map_err(|fault| match fault.status().as_u16() {
                404 => ApiError::bad_request("unknown_plan", format!("Plan {} not found", request.plan_id)),
                _ => fault,
            })?;
        let calendar = self.plan_calendar(organization, id, now).await?;
        let mut write = self.write().await?;
        let subscription = select(&mut write, organization, id).await?;
        let old = plan_in(&mut write, organization, subscription.plan_id).await?;
        check_change(&subscription, &old, &new.document)?;
        let upgrade = is_upgrade(&old.plan, &new.document.plan);
        let at_once = match request.when {
            ChangeWhen::Auto => upgrade,
            ChangeWhen::Now => true,
            ChangeWhen::PeriodEnd => false,
        };
        let at = if at_once { now } else { calendar.period_containing(now).end };
        let final_end = own_end(&mut write, organization, &subscription).await?;
        if !at_once && final_end.is_some_and(|end| end <= at) {
            let detail = "the subscription ends before its period does: there is nothing to change to";
            return Err(ApiError::conflict("subscription_ends", detail));
        }
        drop_planned(&mut write, organization, id, now).await?;
        let ended = ended_by_change(&mut write, organization, &subscription, at, at_once, now).await?;
        logged(&mut write, organization, Some(&subscription), &ended, now).await?;
        let next = next_of(&subscription, &new.document.plan, (at, at_once), (upgrade, final_end), now);
        insert(&mut write, organization, &next).await?;
        logged(&mut write, organization, None, &next, now).await?;
        write.commit().await?;
        Ok(next)
    }

    /// The calendar of a subscription's plan periods.
    pub(crate) async fn plan_calendar(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<BillingCalendar, ApiError> {
        let subscription = self.subscription(organization, id).await?;
        let zones = self.timezones(subscription.customer_id.to_string()).await?;
        let plan = self.plan_row(organization, subscription.plan_id).await?.document.plan;
        let anchor = subscription.anchor_at.or(subscription.started_at).unwrap_or(now);
        Ok(BillingCalendar::new(plan.interval, subscription.billing_time, anchor, zones))
    }
}

async fn plan_in(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: PlanId,
) -> Result<PlanDocument, ApiError> {
    let row = sqlx::query("SELECT * FROM plans WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(PlanRow::read(&row.ok_or_else(|| ApiError::not_found("Plan"))?)?.document)
}

/// When the subscription ends by its own wish: what a planned change has put in that place stands on the planned one.
async fn own_end(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    subscription: &SubscriptionRecord,
) -> Result<Option<Timestamp>, ApiError> {
    if !subscription.ended_by_change {
        return Ok(subscription.ending_at);
    }
    Ok(planned(write, organization, subscription.id).await?.and_then(|planned| planned.ending_at))
}

async fn planned(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<Option<SubscriptionRecord>, ApiError> {
    let lock = write.for_update();
    let select = format!(
        "SELECT * FROM subscriptions WHERE organization_id = $1 AND previous_subscription_id = $2 AND status = 'pending'{lock}"
    );
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(row.map(|row| SubscriptionRecord::read(&row)).transpose()?)
}

/// Drops the change that is planned for a subscription, if one is.
pub(crate) async fn drop_planned(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: SubscriptionId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(before) = planned(write, organization, id).await? else { return Ok(()) };
    let dropped = SubscriptionRecord {
        status: SubscriptionStatus::Canceled,
        canceled_at: Some(now),
        ended_at: Some(now),
        updated_at: now,
        ..before.clone()
    };
    let update = "UPDATE subscriptions SET status = 'canceled', canceled_at = $3, ended_at = $3, updated_at = $3 \
         WHERE organization_id = $1 AND id = $2";
    sqlx::query(update)
        .bind(organization.to_string())
        .bind(before.id.to_string())
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    logged(write, organization, Some(&before), &dropped, now).await
}

async fn ended_by_change(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    subscription: &SubscriptionRecord,
    at: Timestamp,
    at_once: bool,
    now: Timestamp,
) -> Result<SubscriptionRecord, ApiError> {
    let mut ended = subscription.clone();
    ended.ending_at = Some(at);
    ended.ended_by_change = true;
    ended.updated_at = now;
    if at_once {
        ended.status = SubscriptionStatus::Terminated;
        ended.ended_at = Some(at);
    }
    sqlx::query(
        "UPDATE subscriptions SET status = $3, ending_at = $4, ended_at = $5, ended_by_change = 1, updated_at = $6 \
         WHERE organization_id = $1 AND id = $2",
    )
    .bind(organization.to_string())
    .bind(ended.id.to_string())
    .bind(name_of(ended.status)?)
    .bind(at.0)
    .bind(ended.ended_at.map(|at| at.0))
    .bind(now.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(ended)
}

fn next_of(
    old: &SubscriptionRecord,
    plan: &Plan,
    (at, at_once): (Timestamp, bool),
    (upgrade, final_end): (bool, Option<Timestamp>),
    now: Timestamp,
) -> SubscriptionRecord {
    SubscriptionRecord {
        id: SubscriptionId::random(),
        plan_id: plan.id,
        previous_plan_id: Some(old.plan_id),
        previous_subscription_id: Some(old.id),
        status: if at_once { SubscriptionStatus::Active } else { SubscriptionStatus::Pending },
        pay_in_advance: plan.pay_in_advance,
        anchor_at: old.anchor_at.or(old.started_at),
        started_at: Some(at),
        ending_at: final_end,
        ended_at: None,
        canceled_at: None,
        paused_at: None,
        resumed_at: None,
        downgraded_at: (!upgrade).then_some(at),
        ended_by_change: false,
        created_at: now,
        updated_at: now,
        ..old.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::{Currency, MinorUnits};

    fn plan(interval: Interval, cents: i64) -> Plan {
        Plan {
            id: PlanId::random(),
            version: 1,
            valid_from: Timestamp(0),
            code: String::new(),
            name: String::new(),
            interval,
            amount: MinorUnits(cents),
            currency: Currency::USD,
            pay_in_advance: false,
            trial_period_days: 0,
            bill_charges_monthly: false,
            charges: Vec::new(),
        }
    }

    #[test]
    fn an_upgrade_costs_at_least_as_much_a_day_whatever_the_interval() {
        let upgrade = |old: (Interval, i64), new: (Interval, i64)| is_upgrade(&plan(old.0, old.1), &plan(new.0, new.1));
        assert!(upgrade((Interval::Monthly, 1000), (Interval::Yearly, 12_000)));
        assert!(!upgrade((Interval::Monthly, 12_900), (Interval::Yearly, 118_800)));
        assert!(upgrade((Interval::Monthly, 0), (Interval::Monthly, 0)));
        assert!(!upgrade((Interval::Weekly, 100), (Interval::Monthly, 430)));
        assert!(upgrade((Interval::Weekly, 100), (Interval::Monthly, 435)));
    }
}
