//! What history would have come to under a changed plan: every subscription on it, rated as it was and as it would be.
//!
//! Both sides are rated alike, over `[from, to)`, at one cut: usage by billing period (a period that the bounds cut counts for
//! its part: ranges begin anew there, so bounds should be those of periods), and the flat fee for its local days. "As it was"
//! is the versions that were in force; "as it would be" the changed plan from the beginning of time. What is not counted:
//! coupons, taxes, credits, least amounts of whole plans.
//!
//! It refuses to write anything. Stretches are rated in portions of [`PORTION`], so memory does not grow with their number.

use crate::rate::{RateError, Rater, in_background};
use crate::rated::{RatedItem, RatingItem};
use crate::view::{RatingView, ViewError};
use domain::catalog::{Plan, Subscription};
use domain::ids::{CustomerId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::period::{BillingCalendar, day_start, local_date};
use domain::position::Cut;
use domain::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Stretches rated at once: with three windows and a fee or two each, about 200 MB.
const PORTION: usize = 200_000;

/// A plan as it would be, and whose history to rate by it.
#[derive(Clone, Debug)]
pub struct WhatIf {
    /// The plan under its own id, changed.
    pub plan: Plan,
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// Only these customers; absent: all.
    pub customers: Option<HashSet<CustomerId>>,
}

/// What somebody paid and would have paid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revenue {
    /// By the versions that were in force.
    pub old: MinorUnits,
    /// By the changed plan.
    pub new: MinorUnits,
}

impl Revenue {
    /// What they would have paid more.
    ///
    /// # Errors
    /// When it does not fit 64 bits.
    pub fn difference(self) -> Result<MinorUnits, MoneyError> {
        self.new.0.checked_sub(self.old.0).map(MinorUnits).ok_or(MoneyError::TooLarge)
    }
}

/// The answer.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// How many subscriptions were rated.
    pub subscriptions: usize,
    /// By customer, those whose amounts are both 0 included.
    pub customers: HashMap<CustomerId, Revenue>,
    /// What could not be rated, and why; it is in no sum.
    pub problems: Vec<(SubscriptionId, String)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The store did not answer.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The catalog lacks something.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A sum does not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Which of the two amounts.
#[derive(Clone, Copy)]
enum Side {
    Old,
    New,
}

impl Comparison {
    fn add(&mut self, customer: CustomerId, side: Side, amount: MinorUnits) -> Result<(), MoneyError> {
        let revenue = self.customers.entry(customer).or_default();
        match side {
            Side::Old => revenue.old = revenue.old.plus(amount)?,
            Side::New => revenue.new = revenue.new.plus(amount)?,
        }
        Ok(())
    }
}

impl Rater {
    /// Rates history as it was and as it would have been.
    ///
    /// # Errors
    /// When the store does not answer, or the catalog lacks something.
    pub async fn what_if(
        &self,
        view: &Arc<RatingView>,
        question: WhatIf,
        cut: &Cut,
    ) -> Result<Comparison, WhatIfError> {
        let (planning, asked) = (view.clone(), question.clone());
        let (mut comparison, changed, items) = in_background(move || prepared(&planning, &asked)).await??;
        let changed = Arc::new(changed);
        for portion in items.chunks(PORTION) {
            for (side, rated_by) in [(Side::Old, view), (Side::New, &changed)] {
                let rated = self.rate(rated_by, portion.to_vec(), cut).await?;
                add_usage(&mut comparison, view, side, rated)?;
            }
        }
        Ok(comparison)
    }
}

/// The flat fees, the catalog with the changed plan, and the stretches of usage to rate.
fn prepared(view: &RatingView, question: &WhatIf) -> Result<(Comparison, RatingView, Vec<RatingItem>), WhatIfError> {
    let changed = view.with_plan(question.plan.clone());
    let (mut comparison, mut items) = (Comparison::default(), Vec::new());
    let asked = |subscription: &&Subscription| {
        let of_customer =
            question.customers.as_ref().is_none_or(|customers| customers.contains(&subscription.customer_id));
        of_customer && subscription.plan_id == question.plan.id
    };
    for subscription in view.subscriptions().iter().filter(asked) {
        let Some(life) = life(subscription, question) else { continue };
        comparison.subscriptions += 1;
        comparison.customers.entry(subscription.customer_id).or_default();
        for (side, rated_by) in [(Side::Old, view), (Side::New, &changed)] {
            let flat = flat_fees(rated_by, subscription, life)?;
            comparison.add(subscription.customer_id, side, flat)?;
        }
        let Some(calendar) = view.usage_calendar(subscription)? else { continue };
        items.extend(stretches(subscription, &calendar, life));
    }
    Ok((comparison, changed, items))
}

/// The part of a subscription's life that is asked for.
fn life(subscription: &Subscription, question: &WhatIf) -> Option<(Timestamp, Timestamp)> {
    let from = subscription.started_at?.max(question.from);
    let to = subscription.ended_at.map_or(question.to, |ended_at| ended_at.min(question.to));
    (from < to).then_some((from, to))
}

/// The parts of periods in `[from, to)`.
fn stretches(
    subscription: &Subscription,
    calendar: &BillingCalendar,
    (from, to): (Timestamp, Timestamp),
) -> Vec<RatingItem> {
    let mut items = Vec::new();
    let mut cursor = from;
    while cursor < to {
        let period = calendar.period_containing(cursor);
        let end = period.end.min(to);
        let minimum_share = period.proration(cursor, end);
        items.push(RatingItem { subscription: subscription.id, period, from: cursor, to: end, minimum_share });
        cursor = end;
    }
    items
}

/// The flat fees of `[from, to)`: each period's amount for the local days after the trial.
fn flat_fees(
    view: &RatingView,
    subscription: &Subscription,
    (from, to): (Timestamp, Timestamp),
) -> Result<MinorUnits, WhatIfError> {
    let Some(calendar) = view.plan_calendar(subscription)? else {
        return Ok(MinorUnits::ZERO);
    };
    let mut cursor = from.max(trial_end(view, subscription)?);
    let mut total = MinorUnits::ZERO;
    while cursor < to {
        let period = calendar.period_containing(cursor);
        let end = period.end.min(to);
        let plan = &view.plan_at(subscription.plan_id, RatingView::versions_at(subscription, &period))?.plan;
        total = total.plus(period.proration(cursor, end).of_minor_units(plan.amount))?;
        cursor = end;
    }
    Ok(total)
}

/// The start of the first local day for which the flat fee is owed.
fn trial_end(view: &RatingView, subscription: &Subscription) -> Result<Timestamp, ViewError> {
    let Some(started_at) = subscription.started_at.filter(|_| subscription.trial_period_days > 0) else {
        return Ok(Timestamp(i64::MIN));
    };
    let zone = view.timezones(subscription.customer_id)?.at(started_at);
    let days = chrono::Days::new(u64::from(subscription.trial_period_days));
    // Only a trial of hundreds of thousands of years leaves the calendar; it never ends.
    let last = local_date(zone, started_at).checked_add_days(days);
    Ok(last.map_or(Timestamp(i64::MAX), |day| day_start(zone, day)))
}

fn add_usage(
    comparison: &mut Comparison,
    view: &RatingView,
    side: Side,
    rated: Vec<RatedItem>,
) -> Result<(), WhatIfError> {
    for item in rated {
        let subscription = view.subscription(item.item.subscription)?;
        match item.fees {
            Ok(fees) => {
                for fee in fees {
                    comparison.add(subscription.customer_id, side, fee.amount_cents)?;
                }
            }
            Err(problem) => comparison.problems.push((subscription.id, problem.to_string())),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{World, at};

    #[test]
    fn flat_fees_are_those_of_the_days_after_the_trial_and_only_on_that_plan() {
        let mut world = World::new();
        let metric = world.count_metric("m");
        let (plan, other) = (world.plan("p", &[metric]), world.plan("other", &[metric]));
        world.plans[0].amount = MinorUnits(3_100);
        let customer = world.customer("c");
        world.subscription(customer, "s", plan, at("2026-01-01T00:00:00Z"), None);
        world.subscription(customer, "t", other, at("2026-01-01T00:00:00Z"), None);
        world.subscriptions[0].trial_period_days = 21;
        let mut changed = world.plans[0].clone();
        changed.amount = MinorUnits(6_200);
        let question =
            WhatIf { plan: changed, from: at("2025-01-01T00:00:00Z"), to: at("2026-03-01T00:00:00Z"), customers: None };
        let (comparison, _, items) = prepared(&world.view(), &question).unwrap();
        // Ten days of January and all of February.
        assert_eq!(comparison.customers[&customer], Revenue { old: MinorUnits(4_100), new: MinorUnits(8_200) });
        assert_eq!((comparison.subscriptions, items.len()), (1, 2));
        let nobody = WhatIf { customers: Some(HashSet::new()), ..question };
        assert!(prepared(&world.view(), &nobody).unwrap().0.customers.is_empty());
    }
}
