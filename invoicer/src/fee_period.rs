//! The period a stored fee lies in, worked out again from the plan's version that it names. Pure.

use crate::ledger::fees::StoredFee;
use crate::model::FeeKind;
use domain::ids::SubscriptionId;
use domain::period::{BillingCalendar, Period, Timezones};
use rater::view::usage_interval;
use rater::{RatingView, ViewError};

/// The period of a fee of `subscription`: of usage, or of the plan, as the fee is.
///
/// # Errors
/// When the catalog lacks the subscription, its customer, or the plan's version.
pub fn period_of_fee(view: &RatingView, fee: &StoredFee, subscription: SubscriptionId) -> Result<Period, ViewError> {
    let subscription = view.subscription(subscription)?;
    let customer = view.customer(subscription.customer_id)?;
    let plan = &view.plan_version(fee.plan.unwrap_or(subscription.plan_id), fee.versions.plan)?.plan;
    let interval = if fee.kind == FeeKind::Charge { usage_interval(plan) } else { plan.interval };
    let zones = Timezones::parse(&customer.timezones)?;
    let anchor = subscription.anchor().unwrap_or(fee.from);
    let calendar = BillingCalendar::new(interval, subscription.billing_time, anchor, zones);
    Ok(calendar.period_containing(fee.from))
}
