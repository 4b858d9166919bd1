//! What one more event would cost: the fee it would be part of, as it is and as it would be.
//!
//! Where fees add up from sums, counts and maxima, the imagined event is added to the store's answer; else the charge's events
//! of the period are read, and it is put among them. It refuses to store anything.

use crate::aggregate::MetricRules;
use crate::plan::{PlannedCharge, RatingPlan, Way, plan};
use crate::price::{Terms, price_line};
use crate::rate::{RateError, Rater, in_background, read_event, span_of};
use crate::rated::{RateProblem, RatedCharge, RatingItem};
use crate::rows::{Rows, from_rows};
use crate::usage::{EventRules, LineUsage, UsageByLine, UsageEvent, absorb, from_events};
use crate::view::{RatableCharge, RatablePlan, RatingView};
use aggregator::usage::UsageRow;
use domain::catalog::Aggregation;
use domain::ids::ChargeId;
use domain::position::Cut;
use std::sync::Arc;

/// A fee without and with an imagined event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// As it is.
    pub now: RatedCharge,
    /// With the event.
    pub with: RatedCharge,
}

/// Why there is no estimate.
#[derive(Debug, thiserror::Error)]
pub enum EstimateError {
    /// The store did not answer.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The charge cannot be rated.
    #[error(transparent)]
    Problem(#[from] RateProblem),
    /// The plan that rates the period has no such charge.
    #[error("the plan has no charge {0}")]
    NoCharge(ChargeId),
}

/// The charge of the estimate with all that its usage depends on.
struct Case<'a> {
    item: &'a RatingItem,
    plan: Arc<RatablePlan>,
    ratable: RatableCharge,
    rules: MetricRules,
    keys: Vec<String>,
    event: &'a UsageEvent,
}

impl Rater {
    /// Estimates what `event` (of the charge's code, whatever its names) would cost under one charge of a stretch.
    ///
    /// # Errors
    /// When the store does not answer, or the charge cannot be rated.
    pub async fn estimate(
        &self,
        view: &Arc<RatingView>,
        item: &RatingItem,
        charge: ChargeId,
        event: &UsageEvent,
        cut: &Cut,
    ) -> Result<Estimate, EstimateError> {
        let (planning_view, asked, at) = (view.clone(), item.clone(), cut.clone());
        let planned = in_background(move || plan(&planning_view, vec![asked], &at)).await?;
        let PlannedCharge { place, slot, carried } = found(&planned, charge)?;
        let version = planned.items[0].plan.clone().ok_or(EstimateError::NoCharge(charge))?;
        let ratable = version.charges()[place].as_ref().map_err(|error| RateProblem::View(error.clone()))?.clone();
        let shape = &planned.slots[slot].shape;
        let case = Case { item, plan: version, ratable, rules: shape.rules.clone(), keys: shape.keys.clone(), event };
        let slots: Vec<usize> = std::iter::once(slot).chain(carried).collect();
        let question = planned.question_of(&slots);
        let adds_up = matches!(case.rules.metric.aggregation, Aggregation::Count | Aggregation::Sum | Aggregation::Max);
        if shape.way == Way::Rows && adds_up && !case.rules.metric.recurring {
            let mut rows: Vec<UsageRow> = Vec::new();
            self.store().usage(question, |row| rows.push(row)).await.map_err(RateError::from)?;
            return case.beside_rows(&rows);
        }
        let mut events = Vec::new();
        let kept = |event| events.push(read_event(event));
        self.store().stream_events_in(&question, kept).await.map_err(RateError::from)?;
        case.among(events)
    }
}

/// A charge as it was planned.
fn found(planned: &RatingPlan, charge: ChargeId) -> Result<PlannedCharge, EstimateError> {
    let item = &planned.items[0];
    let charges = item.charges.as_ref().map_err(Clone::clone)?;
    let plan = item.plan.as_ref().ok_or(EstimateError::NoCharge(charge))?;
    let is_meant = |place: usize| plan.plan.charges.get(place).is_some_and(|known| known.id == charge);
    charges.iter().find(|planned| is_meant(planned.place)).cloned().ok_or(EstimateError::NoCharge(charge))
}

impl Case<'_> {
    fn rules(&self) -> EventRules<'_> {
        EventRules {
            lines: &self.ratable.lines,
            metric: &self.rules,
            keys: &self.keys,
            span: span_of(self.item),
            exponent: self.plan.plan.currency.exponent(),
            prorated: self.ratable.charge.prorated,
        }
    }

    fn beside_rows(&self, rows: &[UsageRow]) -> Result<Estimate, EstimateError> {
        let metric = &self.rules.metric;
        let rows = Rows { own: rows, carried: &[] };
        let now = from_rows(&self.ratable.lines, metric, &self.keys, span_of(self.item), rows);
        let mut with = now.clone();
        for (fee, usage) in from_events(self.rules(), std::slice::from_ref(self.event)) {
            absorb(with.entry(fee).or_default(), metric.aggregation, &usage);
        }
        self.estimate(&now, &with)
    }

    fn among(&self, mut events: Vec<UsageEvent>) -> Result<Estimate, EstimateError> {
        let now = from_events(self.rules(), &events);
        events.push(self.event.clone());
        let with = from_events(self.rules(), &events);
        self.estimate(&now, &with)
    }

    /// Prices the line of the event without it and with it.
    fn estimate(&self, now: &UsageByLine, with: &UsageByLine) -> Result<Estimate, EstimateError> {
        let fee = self.rules().place_of(self.event);
        let terms = Terms {
            ratable: &self.ratable,
            metric: &self.rules.metric,
            currency: self.plan.plan.currency,
            minimum_share: self.item.minimum_share,
        };
        let price = |usage: &UsageByLine| {
            let (line, group) = fee.clone();
            let needs = self.ratable.lines.all()[line].model.needs();
            // A group without events so far has no usage, which is priced like any other.
            let nothing = LineUsage {
                events: needs.events.then(Vec::new),
                dynamic_total: needs.dynamic_total.then_some(domain::quantity::Quantity::ZERO),
                ..LineUsage::default()
            };
            price_line(terms, line, group, usage.get(&fee).cloned().unwrap_or(nothing))
        };
        Ok(Estimate { now: price(now)?, with: price(with)? })
    }
}
