//! Late usage: closed stretches in which events came in, or were taken out, after they were billed; and what rating them again
//! comes to less what was billed (additions §4).
//!
//! 1. [`Rater::changed_subscriptions`]: of which subscriptions which part of time changed between two cuts, in two queries
//!    however many there are. What changed in a recurring metric changes all that comes after.
//! 2. Whoever keeps the bills picks its closed stretches that this touches ([`Changes::touch`]).
//! 3. [`Rater::adjustments`]: those are rated at the new cut, by the versions that were in force, and compared line by line with
//!    what was billed, earlier adjustments included.
//!
//! It refuses to write, and to know which periods are closed.

use crate::proof::Figures;
use crate::rate::{RateError, Rater, in_background};
use crate::rated::{RateProblem, RatedCharge, RatedItem, RatingItem};
use crate::view::RatingView;
use aggregator::usage::ChangedSeries;
use domain::catalog::Subscription;
use domain::ids::{ChargeId, OrganizationId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Which part of time changed for which subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    by_subscription: HashMap<SubscriptionId, (Timestamp, Timestamp)>,
}

impl Changes {
    /// Whether a stretch may come to something else than before.
    #[must_use]
    pub fn touch(&self, item: &RatingItem) -> bool {
        self.by_subscription.get(&item.subscription).is_some_and(|(first, last)| item.from <= *last && *first < item.to)
    }

    /// Of which subscriptions anything changed.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionId> {
        self.by_subscription.keys().copied()
    }

    /// First and last changed instant of each subscription.
    pub(crate) fn each(&self) -> impl Iterator<Item = (SubscriptionId, Timestamp, Timestamp)> {
        self.by_subscription.iter().map(|(id, (first, last))| (*id, *first, *last))
    }

    fn add(&mut self, subscription: SubscriptionId, first: Timestamp, last: Timestamp) {
        let known = self.by_subscription.entry(subscription).or_insert((first, last));
        *known = (known.0.min(first), known.1.max(last));
    }
}

/// A closed stretch with what was billed for it in all: the fees, and the adjustments since, added up by line.
#[derive(Clone, Debug)]
pub struct BilledStretch {
    /// As it was rated.
    pub item: RatingItem,
    /// By charge and [`crate::Line::key`].
    pub billed: BTreeMap<(ChargeId, String), Figures>,
}

/// What one line of a closed stretch is owed beyond what was billed; negative when too much was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjustment {
    /// The charge.
    pub charge: ChargeId,
    /// Which of its fees.
    pub line_key: String,
    /// Units more (or less) than billed.
    pub units: Quantity,
    /// What is owed more (or less).
    pub amount_cents: MinorUnits,
    /// All that the line comes to now; nothing where it has no events any more.
    pub now: Figures,
    /// The line as it was rated now; absent where it has no events any more.
    pub rated: Option<RatedCharge>,
}

/// A stretch rated again.
#[derive(Clone, Debug)]
pub struct AdjustedStretch {
    /// Which.
    pub item: RatingItem,
    /// Lines that differ, in the order of the plan's charges, those that are gone last; or why it cannot be rated.
    pub lines: Result<Vec<Adjustment>, RateProblem>,
}

impl Rater {
    /// Which part of time changed for which subscriptions, by what is in the store after `after` and up to `until` and happened before
    /// `before`: where nothing is closed beyond that, the usage of the period to be billed is not looked through for it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn changed_subscriptions(
        &self,
        view: &Arc<RatingView>,
        before: Timestamp,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, RateError> {
        let mut changed: Vec<ChangedSeries> = Vec::new();
        self.store().changed_series(before, after, until, |series| changed.push(series)).await?;
        let view = view.clone();
        in_background(move || changes_of(&view, &changed, &view.recurring_codes())).await
    }

    /// Rates closed stretches again at `cut` and tells what differs from what was billed.
    ///
    /// # Errors
    /// When the store does not answer. What concerns one stretch only is in its own answer.
    pub async fn adjustments(
        &self,
        view: &Arc<RatingView>,
        stretches: Vec<BilledStretch>,
        cut: &Cut,
    ) -> Result<Vec<AdjustedStretch>, RateError> {
        let items = stretches.iter().map(|stretch| stretch.item.clone()).collect();
        let rated = self.rate(view, items, cut).await?;
        Ok(rated.into_iter().zip(stretches).map(|(rated, stretch)| adjusted(rated, stretch.billed)).collect())
    }
}

/// The subscriptions that the names of changed series fit. More than one may: each is looked at. What changed in one of the
/// `lasting` codes changes all that comes after.
pub(crate) fn changes_of(view: &RatingView, changed: &[ChangedSeries], lasting: &HashSet<&str>) -> Changes {
    let mut by_customer: HashMap<(OrganizationId, &str), Vec<&Subscription>> = HashMap::new();
    for subscription in view.subscriptions() {
        if let Ok(customer) = view.customer(subscription.customer_id) {
            let name = (subscription.organization, customer.external_id.as_str());
            by_customer.entry(name).or_default().push(subscription);
        }
    }
    let mut changes = Changes::default();
    for series in changed {
        let last = if lasting.contains(series.code.as_str()) { Timestamp(i64::MAX) } else { series.last };
        if series.subscription.is_empty() {
            let fitting = by_customer.get(&(series.organization, series.customer.as_str()));
            for subscription in fitting.into_iter().flatten() {
                changes.add(subscription.id, series.first, last);
            }
            continue;
        }
        for subscription in view.with_external_id(series.organization, &series.subscription) {
            changes.add(subscription.id, series.first, last);
        }
    }
    changes
}

fn adjusted(rated: RatedItem, mut billed: BTreeMap<(ChargeId, String), Figures>) -> AdjustedStretch {
    let lines = rated.fees.and_then(|fees| {
        let mut lines = Vec::new();
        for fee in fees {
            let before = billed.remove(&(fee.charge.id, fee.line.key())).unwrap_or_default();
            let now = Figures::from(fee.clone());
            if now != before {
                lines.push(adjustment((fee.charge.id, fee.line.key()), &before, now, Some(fee))?);
            }
        }
        for (line, before) in billed.into_iter().filter(|(_, before)| *before != Figures::default()) {
            lines.push(adjustment(line, &before, Figures::default(), None)?);
        }
        Ok(lines)
    });
    AdjustedStretch { item: rated.item, lines }
}

fn adjustment(
    (charge, line_key): (ChargeId, String),
    before: &Figures,
    now: Figures,
    rated: Option<RatedCharge>,
) -> Result<Adjustment, RateProblem> {
    let difference = now.amount_cents.0.checked_sub(before.amount_cents.0).map(MinorUnits);
    let amount_cents = difference.ok_or_else(|| RateProblem::Money {
        charge,
        code: rated.as_ref().map(|fee| fee.metric.code.clone()).unwrap_or_default(),
        reason: MoneyError::TooLarge,
    })?;
    Ok(Adjustment { charge, line_key, units: &now.units - &before.units, amount_cents, now, rated })
}
