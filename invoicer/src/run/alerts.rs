//! Usage alerts: a subscription's quantity of a metric in its running period has reached a value.
//!
//! A pass is as that of [`super::thresholds`]: which series changed, their running periods rated as one set (over
//! [`rater::RatingView::metering`]: no prices), what fired written in the transaction that moves the position on.
//!
//! An alert fires once in a period; a recurring one each time a further multiple of its value is reached, once however many are
//! reached at once. Each period begins to count from 0. A new or changed alert is compared with the usage there is.

use super::in_advance::joined;
use super::plan::Problems;
use super::{RunError, Shared};
use crate::inputs::World;
use crate::ledger::alerts::{self, StoredAlert, Trigger};
use crate::ledger::watch_progress::{self, ALERTS, Progress};
use domain::ids::{MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::advance::stretches_between;
use rater::metering::quantities;
use rater::{RatingItem, RatingView, ViewError};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;
use uuid::Uuid;

/// Passes in a row of which another was first; each time some pass has made progress.
const MAX_ATTEMPTS: usize = 100;

/// Which subscriptions have alerts, for as long as neither these nor the catalog change; absent where there are none.
pub(super) struct Known {
    mark: String,
    watched: Option<Watched>,
}

#[derive(Clone)]
struct Watched {
    view: Arc<RatingView>,
    subscriptions: Arc<HashSet<SubscriptionId>>,
    codes: Vec<(OrganizationId, String)>,
}

/// An alert that fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Tenant.
    pub organization: OrganizationId,
    /// The firing.
    pub trigger: Uuid,
    /// By the organization's clock.
    pub at: Timestamp,
}

/// What a pass is to write.
#[derive(Default)]
struct Found {
    looked_at: Vec<StoredAlert>,
    triggers: Vec<Trigger>,
}

impl Shared {
    /// Fires the alerts that usage up to `cut` reaches, or farther where it was looked at before.
    pub(super) async fn fire_alerts_up_to(&self, cut: &Cut) -> Result<Vec<Fired>, RunError> {
        let mut cached = self.alerts.lock().await;
        let known = self.alerts_now(cached.take()).await?;
        let Some(watched) = cached.insert(known).watched.clone() else { return Ok(Vec::new()) };
        for _ in 0..MAX_ATTEMPTS {
            if let Some(fired) = self.alert_pass(&watched, cut).await? {
                return Ok(fired);
            }
        }
        Err(RunError::Ledger(crate::ledger::LedgerError::Contended))
    }

    async fn alerts_now(&self, cached: Option<Known>) -> Result<Known, RunError> {
        let Some(of_alerts) = alerts::mark(&mut *self.connection().await?).await? else {
            return Ok(Known { mark: String::new(), watched: None });
        };
        // Read before the catalog: what changes in between is seen by the next pass.
        let of_catalog = self.inputs.catalog_mark().await?;
        let mark = format!("{of_alerts} {of_catalog}");
        if let Some(known) = cached.filter(|known| known.mark == mark) {
            return Ok(known);
        }
        let world = self.world_at(&of_catalog).await?;
        let all = alerts::all(&mut *self.connection().await?).await?;
        Ok(Known { mark, watched: Some(Watched::of(&world, &all)) })
    }

    /// One attempt; absent when another was first.
    async fn alert_pass(&self, watched: &Watched, cut: &Cut) -> Result<Option<Vec<Fired>>, RunError> {
        let mut connection = self.connection().await?;
        let progress = watch_progress::progress(&mut connection, ALERTS).await?;
        let anew = alerts::to_look_at(&mut connection).await?;
        drop(connection);
        let until = joined(&progress.cut, cut);
        if until == progress.cut && anew.is_empty() && progress.version > 0 {
            return Ok(Some(Vec::new()));
        }
        let started = Instant::now();
        let touched = self.touched_alerts(watched, anew, &progress, &until).await?;
        let found = self.compare_alerts(watched, &touched, &until).await?;
        let fired = self.write_fired(&progress, &until, found).await?;
        if fired.is_some() {
            metrics::histogram!("tollgate_watch_pass_seconds", "what" => ALERTS).record(started.elapsed());
            metrics::counter!("tollgate_watch_rated_total", "what" => ALERTS).increment(touched.len() as u64);
        }
        Ok(fired)
    }

    async fn touched_alerts(
        &self,
        watched: &Watched,
        anew: Vec<SubscriptionId>,
        progress: &Progress,
        until: &Cut,
    ) -> Result<Vec<SubscriptionId>, RunError> {
        let mut touched: BTreeSet<SubscriptionId> = anew.into_iter().collect();
        if progress.version == 0 {
            touched.extend(watched.subscriptions.iter().copied());
        } else if *until != progress.cut {
            let codes = watched.codes.clone();
            let changed = self.inputs.changed_in(&watched.view, codes, &progress.cut, until).await?;
            touched.extend(changed.subscriptions().filter(|id| watched.subscriptions.contains(id)));
        }
        Ok(touched.into_iter().collect())
    }

    async fn compare_alerts(
        &self,
        watched: &Watched,
        touched: &[SubscriptionId],
        until: &Cut,
    ) -> Result<Found, RunError> {
        let clocks = self.inputs.sandbox_clocks().await?;
        let now_of = |organization: OrganizationId| clocks.get(&organization).copied();
        let mut items = Vec::new();
        for id in touched {
            let Ok(subscription) = watched.view.subscription(*id) else { continue };
            let now = now_of(subscription.organization).unwrap_or_else(|| self.clock.now());
            items.extend(running(&watched.view, *id, now));
        }
        let rated = self.inputs.rate(&watched.view, items, until).await?;
        let mut of_subscription: HashMap<SubscriptionId, Vec<StoredAlert>> = HashMap::new();
        let mut connection = self.connection().await?;
        for alert in alerts::of_subscriptions(&mut connection, touched).await? {
            of_subscription.entry(alert.subscription).or_default().push(alert);
        }
        drop(connection);
        let (mut found, mut problems) = (Found::default(), Problems::default());
        for item in rated {
            let (id, from) = (item.item.subscription, item.item.from);
            let counted = match quantities(item) {
                Ok(counted) => counted,
                Err(why) => {
                    // Left to be looked at: it is tried again with each pass.
                    problems.note(format_args!("usage alerts of subscription {id}"), why);
                    continue;
                }
            };
            for alert in of_subscription.remove(&id).unwrap_or_default() {
                let now = now_of(alert.organization).unwrap_or_else(|| self.clock.now());
                let usage = counted.get(&alert.metric).cloned().unwrap_or(Quantity::ZERO);
                found.compare(alert, from, &usage, now);
            }
        }
        Ok(found)
    }

    async fn write_fired(
        &self,
        progress: &Progress,
        until: &Cut,
        found: Found,
    ) -> Result<Option<Vec<Fired>>, RunError> {
        let mut write = self.database.write().await?;
        if !watch_progress::advance(write.connection(), ALERTS, progress, until).await? {
            return Ok(None);
        }
        alerts::note_looked_at(write.connection(), &found.looked_at).await?;
        alerts::note_triggers(write.connection(), &found.triggers).await?;
        write.commit().await?;
        metrics::counter!("tollgate_usage_alerts_fired_total").increment(found.triggers.len() as u64);
        let fired = |one: &Trigger| Fired { organization: one.organization, trigger: one.id, at: one.at };
        Ok(Some(found.triggers.iter().map(fired).collect()))
    }
}

impl Watched {
    fn of(world: &World, all: &[StoredAlert]) -> Self {
        let view = &world.view;
        let (mut metrics, mut codes): (HashMap<PlanId, BTreeSet<MetricId>>, BTreeSet<_>) = Default::default();
        let mut subscriptions = HashSet::new();
        for alert in all {
            let Ok(subscription) = view.subscription(alert.subscription) else { continue };
            metrics.entry(subscription.plan_id).or_default().insert(alert.metric);
            codes.insert((alert.organization, alert.metric_code.clone()));
            subscriptions.insert(alert.subscription);
        }
        let view = Arc::new(view.metering(&metrics));
        Self { view, subscriptions: Arc::new(subscriptions), codes: codes.into_iter().collect() }
    }
}

/// The running stretch of a subscription; none before its start and after its end.
pub(crate) fn running(view: &RatingView, id: SubscriptionId, now: Timestamp) -> Option<RatingItem> {
    let found = |id| -> Result<Option<RatingItem>, ViewError> {
        let subscription = view.subscription(id)?;
        Ok(stretches_between(view, subscription, now, now)?.pop())
    };
    // What its periods rest on is missing: its billing run names it.
    found(id).ok().flatten().filter(|item| item.from <= now)
}

/// How often an alert has fired in a period whose usage is `usage`.
fn times_reached(alert: &StoredAlert, usage: &Quantity) -> i64 {
    if *usage < alert.threshold {
        return 0;
    }
    if !alert.recurring {
        return 1;
    }
    // Rounded down: usage / threshold, both above 0.
    let multiple = (-usage).divided_up(&alert.threshold).map(|negative| -&negative);
    multiple.and_then(|whole| whole.to_string().parse().ok()).unwrap_or(i64::MAX)
}

impl Found {
    fn compare(&mut self, mut alert: StoredAlert, period_start: Timestamp, usage: &Quantity, now: Timestamp) {
        if alert.period_start != Some(period_start) {
            (alert.times_triggered, alert.period_start) = (0, Some(period_start));
        }
        let times = times_reached(&alert, usage);
        if times > alert.times_triggered {
            (alert.times_triggered, alert.triggered_at) = (times, Some(now));
            self.triggers.push(Trigger {
                id: Uuid::now_v7(),
                alert: alert.id,
                organization: alert.organization,
                period_start,
                times,
                usage: usage.clone(),
                threshold: alert.threshold.clone(),
                metric_code: alert.metric_code.clone(),
                at: now,
            });
        }
        self.looked_at.push(alert);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn alert(threshold: &Quantity, recurring: bool) -> StoredAlert {
        StoredAlert {
            id: Uuid::nil(),
            organization: OrganizationId(Uuid::nil()),
            subscription: SubscriptionId(Uuid::nil()),
            metric: MetricId(Uuid::nil()),
            metric_code: "m".into(),
            threshold: threshold.clone(),
            recurring,
            name: None,
            times_triggered: 0,
            period_start: None,
            triggered_at: None,
            version: 1,
            created_at: Timestamp(0),
            updated_at: Timestamp(0),
        }
    }

    proptest! {
        #[test]
        fn an_alert_fires_as_often_as_adding_its_value_up_stays_within_the_usage(
            threshold in 1_i64..500, usage in -100_i64..5000, recurring: bool,
        ) {
            // Hundredths: 0.01 to 5.00.
            let value = Quantity::new(i128::from(threshold), 2);
            let mut counted = 0;
            while (counted + 1) * threshold <= usage && (recurring || counted == 0) {
                counted += 1;
            }
            let times = times_reached(&alert(&value, recurring), &Quantity::new(i128::from(usage), 2));
            prop_assert_eq!(times, counted);
        }

        #[test]
        fn usage_that_grows_fires_once_for_each_level_and_a_new_period_begins_anew(
            steps in proptest::collection::vec(0_i64..40, 1..20), recurring: bool,
        ) {
            let mut now = alert(&Quantity::from(25_i64), recurring);
            for period in 0..2 {
                let (mut usage, mut fired) = (0, 0);
                for step in &steps {
                    usage += step;
                    let mut found = Found::default();
                    found.compare(now.clone(), Timestamp(period), &Quantity::from(usage), Timestamp(usage));
                    fired += found.triggers.len();
                    now = found.looked_at.remove(0);
                }
                let jumps = steps.iter().scan(0, |sum, step| { let before = *sum / 25; *sum += step; Some(*sum / 25 > before) });
                let wanted = if recurring { jumps.filter(|jump| *jump).count() } else { usize::from(usage >= 25) };
                prop_assert_eq!(fired, wanted);
            }
        }
    }
}
