//! Everything a run has to bill, worked out in memory from the catalog and the frontiers. Pure.
//!
//! A subscription that cannot be planned says why and keeps no other from being billed; the run ends as failed and names it.

use crate::assemble::{PlannedInvoice, PricedDue, plan_invoices};
use crate::due::{Billable, Due, Frontiers, Reach, due_of};
use crate::inputs::World;
use crate::ledger::frontiers::FrontierMap;
use crate::ledger::runs::RunScope;
use domain::catalog::Subscription;
use domain::ids::SubscriptionId;
use domain::time::Timestamp;
use rater::RatingView;
use std::collections::BTreeSet;
use std::fmt::{self, Display};

/// What could not be billed, counted; the first few in words.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    count: usize,
    first: Vec<String>,
}

/// Problems spelled out in a run's error; the rest is counted.
const SPELLED_OUT: usize = 5;

impl Problems {
    /// Notes that `what` cannot be billed.
    pub fn note(&mut self, what: impl Display, why: impl Display) {
        self.count += 1;
        metrics::counter!("tollgate_billing_run_left_out_total").increment(1);
        if self.first.len() < SPELLED_OUT {
            let text = format!("{what}: {why}");
            tracing::error!(problem = text, "not billed");
            self.first.push(text);
        }
    }

    /// Takes over problems found elsewhere.
    pub fn extend(&mut self, other: Problems) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(SPELLED_OUT);
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be billed, everything else was; {}", self.count, self.first.join("; "))?;
        if self.count > self.first.len() {
            write!(f, "; and {} more", self.count - self.first.len())?;
        }
        Ok(())
    }
}

/// What is to be billed.
#[derive(Debug, Default)]
pub struct RunPlan {
    /// In the order of their numbers.
    pub invoices: Vec<PlannedInvoice>,
    /// When something becomes due next.
    pub next: Option<Timestamp>,
    /// What cannot be planned.
    pub problems: Problems,
}

impl RunPlan {
    /// How many subscriptions it bills.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        let lines = self.invoices.iter().flat_map(|invoice| &invoice.lines);
        lines.map(|line| line.due.subscription).collect::<BTreeSet<SubscriptionId>>().len()
    }
}

/// Plans everything due in `scope` and not billed yet.
#[must_use]
pub fn plan_run(world: &World, billed: &FrontierMap, scope: &RunScope) -> RunPlan {
    let mut plan = RunPlan::default();
    let mut items = Vec::new();
    for subscription in world.view.subscriptions() {
        let Some(as_of) = as_of_for(world, subscription, scope) else { continue };
        let frontiers = billed.get(&subscription.id).copied().unwrap_or_default();
        match due_in(world, subscription, &frontiers, as_of, scope.reach) {
            Ok((due, next)) => {
                items.extend(due);
                plan.next = earlier(plan.next, next);
            }
            Err(why) => plan.problems.note(format_args!("subscription {}", subscription.id), why),
        }
    }
    match plan_invoices(items) {
        Ok(invoices) => plan.invoices = invoices,
        // due_of has read the same timezones.
        Err(why) => plan.problems.note("a customer", why),
    }
    plan
}

/// Up to when a subscription is billed by the run; absent: not at all.
///
/// A run over all organizations bills a sandbox no further than its own clock, and the scheduler not at all.
pub(super) fn as_of_for(world: &World, subscription: &Subscription, scope: &RunScope) -> Option<Timestamp> {
    match scope.organization {
        Some(organization) => (organization == subscription.organization).then_some(scope.as_of),
        None => match (world.sandboxes.get(&subscription.organization), scope.reach) {
            (None, _) => Some(scope.as_of),
            (Some(clock), Reach::Everything) => Some(scope.as_of.min(*clock)),
            (Some(_), Reach::SinceCreation) => None,
        },
    }
}

type DueItems<'a> = (Vec<PricedDue<'a>>, Option<Timestamp>);

fn due_in<'a>(
    world: &'a World,
    subscription: &'a Subscription,
    frontiers: &Frontiers,
    as_of: Timestamp,
    reach: Reach,
) -> Result<DueItems<'a>, rater::ViewError> {
    let view = &world.view;
    let customer = view.customer(subscription.customer_id)?;
    let plans = view.plan_versions(subscription.plan_id);
    let billable = Billable { subscription, customer, plans, terms: &world.terms };
    let list = due_of(billable, frontiers, as_of, reach)?;
    let entity = world.terms.entity(subscription.organization, customer.id).map(|entity| entity.id);
    let priced = |due: Due| {
        let instant = RatingView::versions_at(subscription, &due.period);
        let plan = view.plan_at(subscription.plan_id, instant)?;
        Ok(PricedDue { due, subscription, customer, plan, entity, as_of })
    };
    Ok((list.items.into_iter().map(priced).collect::<Result<_, rater::ViewError>>()?, list.next))
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
