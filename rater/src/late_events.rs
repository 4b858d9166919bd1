//! Events that came into a stretch after it was billed for good (I9, `late`): each is billed by an adjustment, and listed here for ever.
//!
//! Whoever keeps the bills says at which cuts they were rated ([`BilledUsage`]). For each cut one question finds whose usage of what is
//! closed by it changed since; only the stretches of those are then read, all of them in one more question. So a listing costs
//! a question for each run that issued invoices, however many invoices there are. Events that were voided since are listed as such.

use crate::api::RaterState;
use crate::plan::windows_of;
use crate::view::RatingView;
use crate::whose_usage::usage_of;
use aggregator::usage::{Measure, MetricScope, UsageQuery, UsageWindow};
use async_trait::async_trait;
use domain::event::StoredEvent;
use domain::ids::{OrganizationId, SubscriptionId};
use domain::position::Cut;
use domain::time::Timestamp;
use http_api::ApiError;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Usage of one metric in one stretch that is on an issued invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedUsage {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Of which metric.
    pub code: String,
    /// First instant of the stretch.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
    /// The events that were in.
    pub cut: Cut,
}

/// What whoever keeps the bills knows of usage that is billed for good.
#[async_trait]
pub trait BilledUsage: Send + Sync {
    /// The cuts at which usage on an organization's issued invoices was rated, each with the end of the newest stretch of it.
    async fn cuts(&self, organization: OrganizationId) -> Result<Vec<(Cut, Timestamp)>, ApiError>;

    /// The stretches of these subscriptions on issued invoices.
    async fn closed(&self, subscriptions: &[SubscriptionId]) -> Result<Vec<ClosedUsage>, ApiError>;
}

/// The late events of an organization, in the order of their timestamps.
pub(crate) async fn late_events(
    state: &RaterState,
    bills: &dyn BilledUsage,
    view: &Arc<RatingView>,
    organization: OrganizationId,
    until: &Cut,
) -> Result<Vec<StoredEvent>, ApiError> {
    let mut touched: HashSet<SubscriptionId> = HashSet::new();
    for (cut, closed_until) in bills.cuts(organization).await? {
        let changes = state.rater.changed_subscriptions(view, closed_until, &cut, until).await?;
        touched.extend(changes.subscriptions());
    }
    let touched: Vec<SubscriptionId> = touched.into_iter().collect();
    let closed = once_each(bills.closed(&touched).await?);
    let query = question(view, organization, &closed, until)?;
    if query.windows.is_empty() {
        return Ok(Vec::new());
    }
    let mut late: BTreeMap<_, StoredEvent> = BTreeMap::new();
    let keep = |member: aggregator::usage::EventOfFee| {
        let stretch = usize::try_from(member.slot).ok().and_then(|slot| closed.get(slot));
        if stretch.is_some_and(|stretch| !stretch.cut.contains(member.event.position)) {
            late.insert((member.event.timestamp, member.event.id), member.event);
        }
    };
    state.rater.store().stream_events_in(&query, keep).await.map_err(crate::RateError::from)?;
    Ok(late.into_values().collect())
}

/// A stretch has as many fees as its charges have filters and groups; they were all rated at one cut.
fn once_each(closed: Vec<ClosedUsage>) -> Vec<ClosedUsage> {
    let mut known = HashSet::new();
    let key = |one: &ClosedUsage| (one.subscription, one.code.clone(), one.from, one.to);
    closed.into_iter().filter(|one| known.insert(key(one))).collect()
}

fn question(
    view: &RatingView,
    organization: OrganizationId,
    closed: &[ClosedUsage],
    until: &Cut,
) -> Result<UsageQuery, ApiError> {
    let mut scopes: Vec<MetricScope> = Vec::new();
    let mut windows: Vec<UsageWindow> = Vec::new();
    for (slot, stretch) in (0_u32..).zip(closed) {
        // A subscription that is gone has no usage any more.
        let Ok(subscription) = view.subscription(stretch.subscription) else { continue };
        let place = scopes.iter().position(|scope| scope.code == stretch.code).unwrap_or_else(|| {
            let (code, dimensions) = (stretch.code.clone(), Vec::new());
            scopes.push(MetricScope { organization, code, field_name: None, dimensions });
            scopes.len() - 1
        });
        // As many as an organization has codes.
        let scope = u32::try_from(place).unwrap_or(u32::MAX);
        let owned = usage_of(view, subscription, &stretch.code, stretch.from, stretch.to)?;
        windows.extend(windows_of(&owned, slot, scope));
    }
    Ok(UsageQuery { measure: Measure::Count, scopes, windows, cut: until.clone(), by_dimensions: false })
}
