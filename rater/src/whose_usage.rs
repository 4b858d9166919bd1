//! Whose usage an event is (architecture, "Whose usage"), decided for whole stretches of time at once.
//!
//! An event names a customer, a subscription, or both, and a code; those names and the code are its series. For each series
//! there are candidates: subscriptions whose names fit. At each instant the series belongs to the **oldest** candidate
//! (by creation) that is active then and whose plan charges the code, by the version that rates its period. So:
//! - an event that names a subscription counts there (an external id that was used again after a termination: by time);
//! - one that names only a customer counts for that customer's subscription; if several qualify it counts for the oldest
//!   and is *ambiguous*: listed, billed once;
//! - names that do not fit together, and instants at which nobody qualifies, are *unmatched*: listed, not billed (I9).
//!
//! A subscription that is created later never takes usage from an older one, so the decision about a closed period stands (I3).
//! The stretches of one series that different subscriptions get are disjoint: no event is billed twice.

use crate::intervals::Intervals;
use crate::view::{RatingView, ViewError};
use domain::catalog::{Metric, Subscription};
use domain::identity::SeriesId;
use domain::time::Timestamp;

/// The names that events of a series carry; an absent name is the empty string.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesNames {
    /// External customer id.
    pub customer: String,
    /// External subscription id.
    pub subscription: String,
}

/// Stretches of one series that belong to one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedSeries {
    /// Under which names.
    pub names: SeriesNames,
    /// The series of the code that was asked for.
    pub series: SeriesId,
    /// When its events count.
    pub when: Intervals,
}

/// What becomes of a series over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// Somebody is charged for its events.
    pub owned: Intervals,
    /// More than one subscription qualifies.
    pub ambiguous: Intervals,
}

/// The usage of `code` that belongs to `subscription` in `[from, to)`, which must lie inside its life, where its plan charges
/// `code`. Each series once.
///
/// # Errors
/// When the view lacks something it rests on.
pub fn usage_of(
    view: &RatingView,
    subscription: &Subscription,
    code: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<OwnedSeries>, ViewError> {
    let customer = &view.customer(subscription.customer_id)?.external_id;
    let external_id = &subscription.external_id;
    let all = Intervals::of(from, to);
    let namesakes = |rival: &&Subscription| rival.customer_id == subscription.customer_id;
    let siblings = view.of_customer(subscription.customer_id);
    let by_name: Vec<_> = view.with_external_id(subscription.organization, external_id).collect();
    let unnamed = taken_by_older(view, subscription, siblings, code, &all)?;
    let named = taken_by_older(view, subscription, by_name.iter().copied(), code, &all)?;
    let both = taken_by_older(view, subscription, by_name.iter().copied().filter(namesakes), code, &all)?;
    let owned = [(customer.as_str(), "", unnamed), ("", external_id, named), (customer, external_id, both)];
    let series = |(of_customer, of_name, taken): (&str, &str, Intervals)| OwnedSeries {
        series: SeriesId::derive(subscription.organization, code, of_customer, of_name),
        names: SeriesNames { customer: of_customer.to_owned(), subscription: of_name.to_owned() },
        when: if taken.is_empty() { all.clone() } else { all.minus(&taken) },
    };
    Ok(owned.into_iter().map(series).filter(|series| !series.when.is_empty()).collect())
}

/// The usage that rates `subscription` for `metric` in `[from, to)`: its own ([`usage_of`]), and for a recurring metric all that
/// came before ([`carried_usage`]). Each series once.
///
/// # Errors
/// As [`usage_of`].
pub fn metric_usage(
    view: &RatingView,
    subscription: &Subscription,
    metric: &Metric,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<OwnedSeries>, ViewError> {
    let mut all = usage_of(view, subscription, &metric.code, from, to)?;
    if metric.recurring {
        for owned in carried_usage(view, subscription, metric, from)? {
            join(&mut all, owned);
        }
    }
    Ok(all)
}

/// What a recurring metric carries into a stretch that begins at `from`: all usage before it, of the subscription and of those
/// that had its external id and customer before it. Each series once.
///
/// # Errors
/// As [`usage_of`].
pub fn carried_usage(
    view: &RatingView,
    subscription: &Subscription,
    metric: &Metric,
    from: Timestamp,
) -> Result<Vec<OwnedSeries>, ViewError> {
    let mut all = Vec::new();
    let same_line = |other: &&Subscription| other.customer_id == subscription.customer_id;
    let line = view.with_external_id(subscription.organization, &subscription.external_id).filter(same_line);
    // Oldest first, so what was made after it never adds to it.
    for earlier in line.take_while(|other| (other.created_at, other.id) <= (subscription.created_at, subscription.id)) {
        for stretch in charged(view, earlier, &metric.code, Timestamp(i64::MIN), from)?.as_slice() {
            for owned in usage_of(view, earlier, &metric.code, stretch.from, stretch.to)? {
                join(&mut all, owned);
            }
        }
    }
    Ok(all)
}

fn join(all: &mut Vec<OwnedSeries>, owned: OwnedSeries) {
    match all.iter_mut().find(|known| known.series == owned.series) {
        Some(known) => known.when = known.when.union(&owned.when),
        None => all.push(owned),
    }
}

/// The parts of `all` in which an older candidate qualifies.
fn taken_by_older<'a>(
    view: &RatingView,
    subscription: &Subscription,
    candidates: impl Iterator<Item = &'a Subscription>,
    code: &str,
    all: &Intervals,
) -> Result<Intervals, ViewError> {
    let mut taken = Intervals::default();
    // Candidates come oldest first.
    for rival in candidates.take_while(|rival| rival.id != subscription.id) {
        for stretch in all.as_slice() {
            taken = taken.union(&charged(view, rival, code, stretch.from, stretch.to)?);
        }
    }
    Ok(taken)
}

/// What becomes of a series of `code` under `names`, between `from` and `to`.
///
/// # Errors
/// When the view lacks something it rests on.
pub fn ownership<'a>(
    view: &RatingView,
    candidates: impl Iterator<Item = &'a Subscription>,
    code: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Ownership, ViewError> {
    let mut seen = Ownership::default();
    for candidate in candidates {
        let charged = charged(view, candidate, code, from, to)?;
        seen.ambiguous = seen.ambiguous.union(&seen.owned.intersection(&charged));
        seen.owned = seen.owned.union(&charged);
    }
    Ok(seen)
}

/// The parts of `[from, to)` in which `subscription` is active and its plan charges `code`.
fn charged(
    view: &RatingView,
    subscription: &Subscription,
    code: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Intervals, ViewError> {
    let Some(started_at) = subscription.started_at else {
        return Ok(Intervals::default());
    };
    let until = subscription.ended_at.map_or(to, |ended_at| ended_at.min(to));
    let life = Intervals::of(started_at.max(from), until);
    let versions = view.plan_versions(subscription.plan_id);
    let charging = versions.iter().filter(|version| view.charges_code(version, code)).count();
    if charging == versions.len() || charging == 0 || life.is_empty() {
        return Ok(if charging == 0 { Intervals::default() } else { life });
    }
    by_period(view, subscription, code, &life)
}

/// As [`charged`], for a plan whose versions differ on the code: each period goes by its own version.
fn by_period(
    view: &RatingView,
    subscription: &Subscription,
    code: &str,
    life: &Intervals,
) -> Result<Intervals, ViewError> {
    let mut charged = Intervals::default();
    let Some(calendar) = view.usage_calendar(subscription)? else {
        return Ok(charged);
    };
    for stretch in life.as_slice() {
        let mut cursor = stretch.from;
        while cursor < stretch.to {
            let period = calendar.period_containing(cursor);
            let plan = view.plan_at(subscription.plan_id, RatingView::versions_at(subscription, &period))?;
            if view.charges_code(plan, code) {
                charged.add(cursor, period.end.min(stretch.to));
            }
            cursor = period.end;
        }
    }
    Ok(charged)
}

#[cfg(test)]
#[path = "whose_usage/tests.rs"]
mod tests;
