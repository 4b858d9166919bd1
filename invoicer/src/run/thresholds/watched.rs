//! Who has usage thresholds, and what was known of their usage.

use crate::inputs::World;
use crate::ledger::progressive::Lifetime;
use catalog::billing::Threshold;
use domain::catalog::{Subscription, SubscriptionStatus};
use domain::ids::{OrganizationId, SubscriptionId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use rater::advance::is_paid_in_advance;
use rater::{RatedItem, RatingView};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Subscriptions with thresholds, for as long as the catalog does not change.
pub(super) struct Watched {
    pub(super) world: World,
    pub(super) limits: HashMap<SubscriptionId, Limits>,
    /// The metrics whose events can raise their usage.
    pub(super) codes: BTreeSet<(OrganizationId, String)>,
    /// To be looked at whatever came in.
    pub(super) anew: HashSet<SubscriptionId>,
}

/// The thresholds of one subscription, its own and its plan's.
pub(super) struct Limits {
    organization: OrganizationId,
    thresholds: Vec<Threshold>,
}

impl Watched {
    /// Those that run and have thresholds; to be looked at anew whoever was not looked at with these.
    pub(super) fn of(world: World, looked_at: &HashMap<SubscriptionId, (String, bool)>) -> Self {
        let mut watched = Self { world, limits: HashMap::new(), codes: BTreeSet::new(), anew: HashSet::new() };
        let view = watched.world.view.clone();
        let running = view.subscriptions().iter().filter(|one| one.status != SubscriptionStatus::Pending);
        for subscription in running {
            let Some(newest) = view.plan_versions(subscription.plan_id).last() else { continue };
            let terms = &watched.world.terms;
            let thresholds = terms.thresholds(subscription.id, subscription.plan_id, newest.plan.version);
            if thresholds.is_empty() {
                continue;
            }
            let text = text_of(&thresholds);
            let seen = looked_at.get(&subscription.id);
            if seen.is_none_or(|(seen, held_up)| *held_up || *seen != text) {
                watched.anew.insert(subscription.id);
            }
            let organization = subscription.organization;
            watched.limits.insert(subscription.id, Limits { organization, thresholds });
            watched.add_codes(&view, subscription);
        }
        watched
    }

    fn add_codes(&mut self, view: &RatingView, subscription: &Subscription) {
        for version in view.plan_versions(subscription.plan_id) {
            for charge in &version.plan.charges {
                let Ok(metric) = view.metric_at(charge, Timestamp::LATEST) else { continue };
                if !is_paid_in_advance(charge, metric) {
                    self.codes.insert((subscription.organization, metric.code.clone()));
                }
            }
        }
    }

    /// A sandbox has its own clock.
    pub(super) fn now(&self, organization: OrganizationId) -> Option<Timestamp> {
        self.world.sandboxes.get(&organization).copied()
    }

    pub(super) fn thresholds(&self, id: SubscriptionId) -> &[Threshold] {
        self.limits.get(&id).map(|limits| limits.thresholds.as_slice()).unwrap_or_default()
    }

    /// What is known of a subscription before these stretches are rated; absent of one that is not watched.
    pub(super) fn lifetime(
        &self,
        id: SubscriptionId,
        known: Option<&Lifetime>,
        stretches: &[RatedItem],
    ) -> Option<Lifetime> {
        let first = stretches.first()?.item.from;
        let limits = self.limits.get(&id)?;
        Some(Lifetime {
            subscription: id,
            organization: limits.organization,
            period_start: known.map_or(first, |known| known.period_start),
            before: known.map_or(MinorUnits::ZERO, |known| known.before),
            thresholds: text_of(&limits.thresholds),
            held_up: false,
        })
    }
}

fn text_of(thresholds: &[Threshold]) -> String {
    thresholds.iter().map(|threshold| threshold.id.to_string()).collect::<Vec<_>>().join(" ")
}
