//! Any number of stretches as a fixed number of questions to the store.
//!
//! Each (stretch, metric) gets a slot, shared by all charges on that metric. Slots of one shape (metric version, properties
//! that decide between fees) are asked together; shapes that can stand in one query do. So the number of queries depends on the
//! number of measures and on how differently plans filter one metric, not on the number of subscriptions.
//!
//! Every slot is asked for. What a recurring metric carries over from before the stretch is a slot of its own, so that a fee can
//! count it without counting its events. Where the store's rows do not add up to fees (prices that look at single events,
//! proration, expressions, distinct counts that persist) it is asked only how many events there are, and these are read one by
//! one ([`crate::rate`]).

use crate::aggregate::{MetricRules, OPERATION_TYPE};
use crate::rated::{RateProblem, RatingItem};
use crate::view::{RatableCharge, RatablePlan, RatingView, ViewError};
use crate::whose_usage::{OwnedSeries, carried_usage, metric_usage, usage_of};
use aggregator::usage::{Measure, MetricScope, UsageQuery, UsageWindow};
use domain::catalog::{Aggregation, Metric, Subscription};
use domain::ids::OrganizationId;
use domain::position::Cut;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How the usage of a slot is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The store's rows add up to fees.
    Rows,
    /// The store's rows are distinct counts: they are fees where each stands alone, and nothing was removed.
    LoneRows,
    /// Event by event; the row only says how many.
    Events,
}

/// What all slots of one metric version in one plan version have in common.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The metric's version.
    pub rules: MetricRules,
    /// Properties that decide where an event belongs, sorted.
    pub keys: Vec<String>,
    /// How it is found.
    pub way: Way,
    /// Which query asks it.
    query: usize,
    /// Place of the metric in that query's scopes.
    scope: u32,
}

/// One charge of one stretch.
#[derive(Clone, Debug)]
pub struct PlannedCharge {
    /// Place of the charge in the plan.
    pub place: usize,
    /// Where its usage is.
    pub slot: usize,
    /// Where what it carries over is, when it carries anything that the store adds up.
    pub carried: Option<usize>,
}

/// One stretch, ready to be asked for.
#[derive(Clone, Debug)]
pub struct PlannedItem {
    /// What was asked.
    pub item: RatingItem,
    /// The plan's version, when it is known.
    pub plan: Option<Arc<RatablePlan>>,
    /// Its charges in order; or why it cannot be rated.
    pub charges: Result<Vec<PlannedCharge>, RateProblem>,
}

/// The questions, and what their answers are for.
#[derive(Debug, Default)]
pub struct RatingPlan {
    /// The stretches, as they were given.
    pub items: Vec<PlannedItem>,
    /// Each slot's shape and the stretch it belongs to.
    pub slots: Vec<PlannedSlot>,
    /// What to ask; each slot is in one of them.
    pub queries: Vec<PlannedQuery>,
}

/// The usage of one metric in one stretch.
#[derive(Clone, Debug)]
pub struct PlannedSlot {
    /// What it has in common with others.
    pub shape: Arc<Shape>,
    /// Place of the stretch among the items.
    pub item: usize,
}

/// One question.
#[derive(Debug)]
pub struct PlannedQuery {
    /// What to ask.
    pub query: UsageQuery,
    scopes: HashMap<(OrganizationId, String), usize>,
}

/// The slot of a metric's usage in a stretch, and that of what it carries over.
type Slots = (usize, Option<usize>);

/// What a shape is found again by: plan, its version, metric.
type ShapeKey = (domain::ids::PlanId, u32, domain::ids::MetricId, u32);

struct Planner<'a> {
    view: &'a RatingView,
    cut: &'a Cut,
    plan: RatingPlan,
    shapes: HashMap<ShapeKey, Arc<Shape>>,
}

impl RatingPlan {
    /// The question that answers for these slots of one shape (at least one), about them alone.
    #[must_use]
    pub fn question_of(&self, slots: &[usize]) -> UsageQuery {
        let query = &self.queries[self.slots[slots[0]].shape.query].query;
        only(query, slots)
    }
}

/// The same question about some of its slots.
#[must_use]
pub fn only(query: &UsageQuery, slots: &[usize]) -> UsageQuery {
    let wanted: HashSet<u32> = slots.iter().filter_map(|slot| u32::try_from(*slot).ok()).collect();
    let windows = query.windows.iter().filter(|window| wanted.contains(&window.slot)).copied().collect();
    UsageQuery { windows, ..query.clone() }
}

/// Plans how to rate `items` at `cut`.
#[must_use]
pub fn plan(view: &RatingView, items: Vec<RatingItem>, cut: &Cut) -> RatingPlan {
    let mut planner = Planner { view, cut, plan: RatingPlan::default(), shapes: HashMap::new() };
    for item in items {
        let found = planner.ratable_plan(&item);
        let charges = match &found {
            Ok((subscription, plan)) => planner.charges(&item, subscription, plan),
            Err(problem) => Err(RateProblem::View(problem.clone())),
        };
        let version = found.ok().map(|(_, plan)| plan);
        planner.plan.items.push(PlannedItem { item, plan: version, charges });
    }
    planner.plan
}

impl<'a> Planner<'a> {
    fn ratable_plan(&self, item: &RatingItem) -> Result<(&'a Subscription, Arc<RatablePlan>), ViewError> {
        let subscription = self.view.subscription(item.subscription)?;
        let instant = RatingView::versions_at(subscription, &item.period);
        Ok((subscription, self.view.plan_at(subscription.plan_id, instant)?.clone()))
    }

    fn charges(
        &mut self,
        item: &RatingItem,
        subscription: &Subscription,
        plan: &Arc<RatablePlan>,
    ) -> Result<Vec<PlannedCharge>, RateProblem> {
        let instant = RatingView::versions_at(subscription, &item.period);
        let mut slots: Vec<(domain::ids::MetricId, Slots)> = Vec::new();
        let mut charges = Vec::with_capacity(plan.charges().len());
        for (place, ratable) in plan.charges().iter().enumerate() {
            let ratable = ratable.as_ref().map_err(Clone::clone)?;
            let metric = self.view.metric_at(&ratable.charge, instant)?;
            let known = slots.iter().find(|(id, _)| *id == metric.id).map(|(_, slots)| *slots);
            let (slot, carried) = match known {
                Some(known) => known,
                None => self.new_slots(item, subscription, plan, metric)?,
            };
            slots.push((metric.id, (slot, carried)));
            charges.push(PlannedCharge { place, slot, carried });
        }
        Ok(charges)
    }

    fn new_slots(
        &mut self,
        item: &RatingItem,
        subscription: &Subscription,
        plan: &RatablePlan,
        metric: &Arc<Metric>,
    ) -> Result<Slots, RateProblem> {
        let shape = self.shape(subscription.organization, plan, metric)?;
        if shape.way != Way::Rows || !metric.recurring {
            let owned = metric_usage(self.view, subscription, metric, item.from, item.to)?;
            return Ok((self.add_slot(shape, &owned), None));
        }
        let own = usage_of(self.view, subscription, &metric.code, item.from, item.to)?;
        let before = carried_usage(self.view, subscription, metric, item.from)?;
        Ok((self.add_slot(shape.clone(), &own), Some(self.add_slot(shape, &before))))
    }

    fn add_slot(&mut self, shape: Arc<Shape>, owned: &[OwnedSeries]) -> usize {
        let slot = self.plan.slots.len();
        // Four billion slots would be ten terabytes of windows before this could fail.
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        self.plan.queries[shape.query].query.windows.extend(windows_of(owned, number, shape.scope));
        self.plan.slots.push(PlannedSlot { shape, item: self.plan.items.len() });
        slot
    }

    fn shape(
        &mut self,
        organization: OrganizationId,
        plan: &RatablePlan,
        metric: &Arc<Metric>,
    ) -> Result<Arc<Shape>, RateProblem> {
        let key = (plan.plan.id, plan.plan.version, metric.id, metric.version);
        if let Some(shape) = self.shapes.get(&key) {
            return Ok(shape.clone());
        }
        let rules = MetricRules::new(metric.clone())
            .map_err(|reason| RateProblem::Metric { code: metric.code.clone(), reason })?;
        let charges: Vec<&RatableCharge> =
            plan.charges().iter().flatten().filter(|ratable| ratable.charge.metric_id == metric.id).collect();
        let way = way(metric, &charges);
        let keys = deciding_keys(&charges, way);
        let (query, scope) = self.query_for(organization, metric, &keys, way);
        let shape = Arc::new(Shape { rules, keys, way, query, scope });
        self.shapes.insert(key, shape.clone());
        Ok(shape)
    }

    /// The query that can hold this scope (a new one if there is none), and its place there.
    fn query_for(&mut self, organization: OrganizationId, metric: &Metric, keys: &[String], way: Way) -> (usize, u32) {
        let measure = if way == Way::Events { Measure::Count } else { measure_of(metric.aggregation) };
        let grouped = way != Way::Events && !keys.is_empty();
        let scope = MetricScope {
            organization,
            code: metric.code.clone(),
            field_name: if measure == Measure::Count { None } else { metric.field_name.clone() },
            dimensions: if grouped { keys.to_vec() } else { Vec::new() },
        };
        let name = (organization, metric.code.clone());
        let fits = |planned: &PlannedQuery| {
            let known = planned.scopes.get(&name).map(|place| &planned.query.scopes[*place]);
            planned.query.measure == measure
                && planned.query.by_dimensions == grouped
                && known.is_none_or(|known| *known == scope)
        };
        let place = self.plan.queries.iter().position(fits).unwrap_or_else(|| {
            let query = UsageQuery {
                measure,
                scopes: Vec::new(),
                windows: Vec::new(),
                cut: self.cut.clone(),
                by_dimensions: grouped,
            };
            self.plan.queries.push(PlannedQuery { query, scopes: HashMap::new() });
            self.plan.queries.len() - 1
        });
        let planned = &mut self.plan.queries[place];
        let scope_place = *planned.scopes.entry(name).or_insert_with(|| {
            planned.query.scopes.push(scope);
            planned.query.scopes.len() - 1
        });
        // Scopes are metrics: four billion of them do not fit a catalog.
        (place, u32::try_from(scope_place).unwrap_or(u32::MAX))
    }
}

/// Stretches of series as the store takes them.
#[must_use]
pub fn windows_of(owned: &[OwnedSeries], slot: u32, scope: u32) -> Vec<UsageWindow> {
    let windows = owned.iter().flat_map(|owned| owned.when.as_slice().iter().map(|part| (owned.series, part)));
    windows.map(|(series, part)| UsageWindow { series, from: part.from, to: part.to, slot, scope }).collect()
}

/// All properties that decide where an event of the metric belongs, sorted; for distinct counts also the operation, to see
/// where something was removed.
fn deciding_keys(charges: &[&RatableCharge], way: Way) -> Vec<String> {
    let mut keys: Vec<String> = charges.iter().flat_map(|ratable| ratable.lines.keys()).cloned().collect();
    if way == Way::LoneRows {
        keys.push(OPERATION_TYPE.into());
    }
    keys.sort();
    keys.dedup();
    keys
}

fn way(metric: &Metric, charges: &[&RatableCharge]) -> Way {
    let looks_at_events = |ratable: &&RatableCharge| {
        let needs = ratable.lines.all().iter().map(|line| line.model.needs());
        ratable.charge.prorated || needs.into_iter().any(|needs| needs.events || needs.dynamic_total)
    };
    match metric.aggregation {
        _ if charges.iter().any(looks_at_events) => Way::Events,
        Aggregation::UniqueCount if metric.recurring => Way::Events,
        Aggregation::UniqueCount => Way::LoneRows,
        Aggregation::Custom => Way::Events,
        Aggregation::Count
        | Aggregation::Sum
        | Aggregation::Max
        | Aggregation::Min
        | Aggregation::Average
        | Aggregation::Latest
        | Aggregation::WeightedSum => Way::Rows,
    }
}

fn measure_of(aggregation: Aggregation) -> Measure {
    match aggregation {
        // An average is a sum over the number of values, which every row tells.
        Aggregation::Sum | Aggregation::Average => Measure::Sum,
        Aggregation::Max => Measure::Max,
        Aggregation::Min => Measure::Min,
        Aggregation::Latest => Measure::Latest,
        Aggregation::WeightedSum => Measure::WeightedSum,
        Aggregation::UniqueCount => Measure::UniqueCount,
        Aggregation::Count | Aggregation::Custom => Measure::Count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{World, charge, day};
    use domain::catalog::ChargeModel;
    use domain::period::Proration;
    use serde_json::json;

    /// Queries, slots and windows for `count` subscriptions, taking turns on three plans.
    fn planned(count: usize) -> (usize, usize, usize) {
        let mut world = World::new();
        let (api, tokens) = (world.count_metric("api"), world.metric("tokens", Aggregation::Sum, Some("v")));
        let grouped = |keys: &[&str]| {
            let properties = json!({"amount": "1", "grouped_by": keys});
            vec![
                charge(tokens, ChargeModel::Standard, properties),
                charge(tokens, ChargeModel::Standard, json!({"amount": "2"})),
                charge(api, ChargeModel::Standard, json!({"amount": "1"})),
            ]
        };
        let plans = [
            world.plan("plain", &[api, tokens]),
            world.plan_with("by region", grouped(&["region"])),
            world.plan_with("by user", grouped(&["user"])),
        ];
        for number in 0..count {
            let customer = world.customer(&format!("c{number}"));
            world.subscription(customer, &format!("s{number}"), plans[number % 3], day(0), None);
        }
        let view = world.view();
        let item = |subscription: &Subscription| {
            let calendar = view.usage_calendar(subscription).unwrap().unwrap();
            let period = calendar.period_containing(day(0));
            RatingItem {
                subscription: subscription.id,
                period,
                from: period.start,
                to: period.end,
                minimum_share: Proration::WHOLE,
            }
        };
        let plan = plan(&view, view.subscriptions().iter().map(item).collect(), &Cut::direct(1));
        let windows = plan.queries.iter().map(|planned| planned.query.windows.len()).sum();
        for planned in &plan.queries {
            let names = planned.query.scopes.iter().map(|scope| (scope.organization, &scope.code));
            assert_eq!(names.collect::<std::collections::HashSet<_>>().len(), planned.query.scopes.len());
        }
        (plan.queries.len(), plan.slots.len(), windows)
    }

    #[test]
    fn the_number_of_questions_does_not_grow_with_the_number_of_subscriptions() {
        // Counts; plain sums; sums by region; sums by user. Charges on one metric share a slot of three windows.
        assert_eq!(planned(3), (4, 6, 18));
        assert_eq!(planned(300), (4, 600, 1800));
    }
}
