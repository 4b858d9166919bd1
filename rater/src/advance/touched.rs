//! Which stretches have events that came in between two cuts, of those whose charges are paid in advance. One question to the
//! store about the few metrics concerned, however many subscriptions there are.

use super::is_paid_in_advance;
use crate::late::{Changes, changes_of};
use crate::rate::{RateError, Rater, in_background};
use crate::rated::RatingItem;
use crate::view::{RatingView, ViewError};
use aggregator::usage::ChangedSeries;
use domain::catalog::{Subscription, SubscriptionStatus};
use domain::ids::{OrganizationId, SubscriptionId};
use domain::period::Proration;
use domain::position::Cut;
use domain::time::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Who pays usage in advance, and for which metrics.
#[derive(Clone, Debug, Default)]
pub struct AdvancePayers {
    codes: BTreeSet<(OrganizationId, String)>,
    subscriptions: HashSet<SubscriptionId>,
}

impl AdvancePayers {
    /// Of a catalog: those whose plan has, in any version, a charge that is paid in advance.
    #[must_use]
    pub fn of(view: &RatingView) -> Self {
        let mut payers = Self::default();
        let mut by_plan: HashMap<domain::ids::PlanId, Vec<String>> = HashMap::new();
        for subscription in view.subscriptions().iter().filter(|one| one.status != SubscriptionStatus::Pending) {
            let plan = subscription.plan_id;
            let codes = by_plan.entry(plan).or_insert_with(|| codes_in_advance(view, plan));
            if !codes.is_empty() {
                payers.subscriptions.insert(subscription.id);
                payers.codes.extend(codes.iter().map(|code| (subscription.organization, code.clone())));
            }
        }
        payers
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Those of them that `wanted` holds for.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&SubscriptionId) -> bool) -> Self {
        let subscriptions: HashSet<_> = self.subscriptions.iter().copied().filter(wanted).collect();
        let codes = if subscriptions.is_empty() { BTreeSet::new() } else { self.codes.clone() };
        Self { codes, subscriptions }
    }

    /// Who does.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionId> {
        self.subscriptions.iter().copied()
    }
}

fn codes_in_advance(view: &RatingView, plan: domain::ids::PlanId) -> Vec<String> {
    let charges = view.plan_versions(plan).iter().flat_map(|version| &version.plan.charges);
    let metrics = charges.filter_map(|charge| {
        let versions = view.metric_at(charge, Timestamp::LATEST).ok()?;
        is_paid_in_advance(charge, versions).then(|| versions.code.clone())
    });
    metrics.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Rater {
    /// The stretches in which events of `payers` came in after `after` and up to `until`, in the order of subscriptions and time.
    ///
    /// # Errors
    /// When the store does not answer, or what a subscription rests on is missing.
    pub async fn touched_stretches(
        &self,
        view: &Arc<RatingView>,
        payers: &Arc<AdvancePayers>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<RatingItem>, RateError> {
        if payers.is_empty() {
            return Ok(Vec::new());
        }
        let changes = self.changed_in(view, payers.codes.iter().cloned().collect(), after, until).await?;
        let (view, payers) = (view.clone(), payers.clone());
        in_background(move || touched(&view, &payers, &changes)).await
    }

    /// Which part of time changed for which subscriptions in events of these metrics that came in after `after` and up to `until`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn changed_in(
        &self,
        view: &Arc<RatingView>,
        codes: Vec<(OrganizationId, String)>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, RateError> {
        if codes.is_empty() || after == until {
            return Ok(Changes::default());
        }
        let mut changed: Vec<ChangedSeries> = Vec::new();
        self.store().changed_series_of(&codes, after, until, |series| changed.push(series)).await?;
        if changed.is_empty() {
            return Ok(Changes::default());
        }
        let view = view.clone();
        // What a recurring metric carries into later periods is billed as those begin.
        in_background(move || changes_of(&view, &changed, &HashSet::new())).await
    }
}

fn touched(view: &RatingView, payers: &AdvancePayers, changes: &Changes) -> Vec<RatingItem> {
    let mut items = Vec::new();
    for (id, first, last) in changes.each().filter(|(id, ..)| payers.subscriptions.contains(id)) {
        // Rating the stretch names what is missing; here there is nothing to touch.
        if let Ok(found) = view.subscription(id).and_then(|one| stretches_between(view, one, first, last)) {
            items.extend(found);
        }
    }
    items.sort_by_key(|item| (item.subscription, item.from));
    items
}

/// The stretches of a subscription's usage periods that hold an instant of `[first, last]`.
///
/// # Errors
/// When the view lacks what its periods rest on.
pub fn stretches_between(
    view: &RatingView,
    subscription: &Subscription,
    first: Timestamp,
    last: Timestamp,
) -> Result<Vec<RatingItem>, ViewError> {
    let (Some(started_at), Some(calendar)) = (subscription.started_at, view.usage_calendar(subscription)?) else {
        return Ok(Vec::new());
    };
    let ended_at = subscription.ended_at.unwrap_or(Timestamp::LATEST);
    let mut items = Vec::new();
    let mut cursor = first.max(started_at);
    while cursor <= last && cursor < ended_at {
        let period = calendar.period_containing(cursor);
        items.push(RatingItem {
            subscription: subscription.id,
            period,
            from: period.start.max(started_at),
            to: period.end.min(ended_at),
            minimum_share: Proration::WHOLE,
        });
        cursor = period.end;
    }
    Ok(items)
}
