//! Proof of one fee: its events are read one by one at the fee's cut and counted again, without the set-based query that made it.
//!
//! Each event's fingerprint term is computed from its actual columns (not taken from the stored one), its value from its raw
//! properties, and the amount by the charge of the plan's version that the fee names. So the proof fails when a single event of the
//! fee was removed or changed behind the product's back, and holds after merges, late events, voids and edits of the catalog.
//!
//! It refuses to repair anything, and to read the fee: whoever stores fees hands over what the fee states ([`FeeToProve`]).
//! Memory grows with the events of the fee's charge in its period, about 400 bytes each.

use crate::aggregate::MetricRules;
use crate::plan::windows_of;
use crate::price::{Terms, price_charge};
use crate::rate::{RateError, Rater, span_of};
use crate::rated::{RateProblem, RatedCharge, RatingItem};
use crate::usage::{EventRules, UsageEvent, from_events};
use crate::view::{RatableCharge, RatablePlan, RatingView, ViewError};
use crate::whose_usage::metric_usage;
use aggregator::reads::PageRequest;
use aggregator::usage::{EventOfFee, Measure, MetricScope, UsageQuery, UsageWindow};
use domain::event::StoredEvent;
use domain::identity::{Content, EventId, content_hash, fingerprint_term};
use domain::ids::{ChargeId, PlanId};
use domain::money::MinorUnits;
use domain::position::Cut;
use domain::quantity::Quantity;
use std::collections::HashSet;
use std::sync::Arc;

/// What a fee states about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeeToProve {
    /// The stretch it was rated for.
    pub item: RatingItem,
    /// The plan that rated it.
    pub plan: PlanId,
    /// Its version.
    pub plan_version: u32,
    /// The charge.
    pub charge: ChargeId,
    /// Version of the charge's metric.
    pub metric_version: u32,
    /// Which of the charge's fees: [`crate::Line::key`].
    pub line_key: String,
    /// The cut it was rated at.
    pub cut: Cut,
    /// What was billed.
    pub billed: Figures,
}

/// What is proved.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Figures {
    /// Events in the fee.
    pub events_count: u64,
    /// Sum of their fingerprint terms modulo 2¹²⁸.
    pub fingerprint: u128,
    /// Quantity.
    pub units: Quantity,
    /// What is owed.
    pub amount_cents: MinorUnits,
}

/// The verdict on a fee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What was billed.
    pub billed: Figures,
    /// What its events come to at the fee's cut.
    pub recomputed: Figures,
    /// Whether the two are equal.
    pub holds: bool,
    /// What became of its usage after the cut.
    pub since: Since,
}

/// Events that came or went after a fee's cut; they are billed by adjustments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Since {
    /// Accepted later, for the fee's period.
    pub late_events: u64,
    /// Taken out later.
    pub voided_events: u64,
}

/// Why a fee could not be proved one way or the other.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The store did not answer.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// The catalog lacks a version that the fee names, or cannot price it.
    #[error(transparent)]
    Problem(#[from] RateProblem),
    /// The plan's version has no such charge.
    #[error("version {version} of plan {plan} has no charge {charge}")]
    NoCharge {
        /// The charge.
        charge: ChargeId,
        /// The plan.
        plan: PlanId,
        /// Its version.
        version: u32,
    },
}

impl From<ViewError> for ProofError {
    fn from(error: ViewError) -> Self {
        Self::Problem(error.into())
    }
}

impl From<aggregator::StoreError> for ProofError {
    fn from(error: aggregator::StoreError) -> Self {
        Self::Rate(error.into())
    }
}

/// A fee with what of the catalog it was rated by.
struct Case<'a> {
    fee: &'a FeeToProve,
    plan: Arc<RatablePlan>,
    ratable: RatableCharge,
    rules: MetricRules,
    query: UsageQuery,
}

impl Rater {
    /// Counts a fee's events again.
    ///
    /// # Errors
    /// When the store does not answer, or the catalog lacks what the fee names. A fee that does not hold is no error.
    pub async fn prove(&self, view: &RatingView, fee: &FeeToProve) -> Result<Proof, ProofError> {
        let case = Case::new(view, fee)?;
        let at_cut = self.events_at(&case, &fee.cut).await?;
        let recomputed = case.recompute(&at_cut)?;
        let committed = self.store().committed_cut().await?;
        let now: HashSet<EventId> = case.ids(&self.events_at(&case, &committed).await?);
        let then: HashSet<EventId> = case.ids(&at_cut);
        let number = |set: std::collections::hash_set::Difference<'_, EventId, _>| {
            u64::try_from(set.count()).unwrap_or(u64::MAX)
        };
        let since = Since { late_events: number(now.difference(&then)), voided_events: number(then.difference(&now)) };
        Ok(Proof { billed: fee.billed.clone(), holds: recomputed == fee.billed, recomputed, since })
    }

    /// A page of exactly the events in a fee, by timestamp and id.
    ///
    /// # Errors
    /// As [`Rater::prove`].
    pub async fn events_of_fee(
        &self,
        view: &RatingView,
        fee: &FeeToProve,
        page: PageRequest,
    ) -> Result<Vec<StoredEvent>, ProofError> {
        let case = Case::new(view, fee)?;
        let query = UsageQuery { cut: fee.cut.clone(), ..case.query.clone() };
        if case.takes_everything() {
            let events = self.store().events_in(&query, page).await?;
            return Ok(events.into_iter().map(|event| event.event).collect());
        }
        let mut members: Vec<StoredEvent> = Vec::new();
        let belongs = |event: &EventOfFee| !case.ids(&[usage_event(event)]).is_empty();
        let keep = |event: EventOfFee| {
            if belongs(&event) {
                members.push(event.event);
            }
        };
        self.store().stream_events_in(&query, keep).await?;
        members.sort_unstable_by_key(|event| (event.timestamp, event.id));
        // A page beyond what fits an address is a page beyond the end.
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(members.into_iter().skip(size(page.skip)).take(size(page.limit)).collect())
    }

    async fn events_at(&self, case: &Case<'_>, cut: &Cut) -> Result<Vec<UsageEvent>, ProofError> {
        let query = UsageQuery { cut: cut.clone(), ..case.query.clone() };
        let mut events = Vec::new();
        self.store().stream_events_in(&query, |event| events.push(usage_event(&event))).await?;
        Ok(events)
    }
}

/// The stretches of usage that decide a fee.
///
/// # Errors
/// When the catalog lacks what the fee names.
pub fn windows_of_fee(view: &RatingView, fee: &FeeToProve) -> Result<Vec<UsageWindow>, ProofError> {
    Ok(Case::new(view, fee)?.query.windows)
}

/// An event with its fingerprint term computed from its columns.
pub(crate) fn usage_event(member: &EventOfFee) -> UsageEvent {
    let event = &member.event;
    let content = content_hash(&Content {
        code: &event.code,
        customer: &event.external_customer_id,
        subscription: &event.external_subscription_id,
        properties: &event.properties,
        precise_total_amount_cents: &event.precise_total_amount_cents,
    });
    let id = EventId::derive(event.organization, &event.transaction_id);
    UsageEvent {
        timestamp: event.timestamp,
        id,
        term: fingerprint_term(id, content, event.timestamp),
        properties: event.properties.clone(),
        precise_total: event.precise_total_amount_cents.clone(),
    }
}

impl<'a> Case<'a> {
    fn new(view: &RatingView, fee: &'a FeeToProve) -> Result<Self, ProofError> {
        let plan = view.plan_version(fee.plan, fee.plan_version)?.clone();
        let place = plan.plan.charges.iter().position(|charge| charge.id == fee.charge);
        let place =
            place.ok_or(ProofError::NoCharge { charge: fee.charge, plan: fee.plan, version: fee.plan_version })?;
        let ratable = plan.charges()[place].clone()?;
        let metric = view.metric_version(&ratable.charge, fee.metric_version)?.clone();
        let rules = MetricRules::new(metric.clone())
            .map_err(|reason| RateProblem::Metric { code: metric.code.clone(), reason })?;
        let subscription = view.subscription(fee.item.subscription)?;
        let scope = MetricScope {
            organization: subscription.organization,
            code: metric.code.clone(),
            field_name: None,
            dimensions: Vec::new(),
        };
        let owned = metric_usage(view, subscription, &metric, fee.item.from, fee.item.to)?;
        let windows = windows_of(&owned, 0, 0);
        let query = UsageQuery {
            measure: Measure::Count,
            scopes: vec![scope],
            windows,
            cut: fee.cut.clone(),
            by_dimensions: false,
        };
        Ok(Self { fee, plan, ratable, rules, query })
    }

    fn event_rules(&self) -> EventRules<'_> {
        EventRules {
            lines: &self.ratable.lines,
            metric: &self.rules,
            keys: self.ratable.lines.keys(),
            span: span_of(&self.fee.item),
            exponent: self.plan.plan.currency.exponent(),
            prorated: self.ratable.charge.prorated,
        }
    }

    /// Whether every event of the windows is in the fee.
    fn takes_everything(&self) -> bool {
        self.ratable.lines.is_plain() && self.fee.line_key.is_empty() && !self.rules.metric.recurring
    }

    /// The events of the fee itself, of all those of its charge.
    fn ids(&self, events: &[UsageEvent]) -> HashSet<EventId> {
        let rules = self.event_rules();
        let belongs = |event: &&UsageEvent| {
            event.timestamp >= self.fee.item.from && rules.line_key_of(event) == self.fee.line_key
        };
        events.iter().filter(belongs).map(|event| event.id).collect()
    }

    fn recompute(&self, events: &[UsageEvent]) -> Result<Figures, ProofError> {
        let terms = Terms {
            ratable: &self.ratable,
            metric: &self.rules.metric,
            currency: self.plan.plan.currency,
            minimum_share: self.fee.item.minimum_share,
        };
        let mut fees: Vec<RatedCharge> = Vec::new();
        price_charge(terms, from_events(self.event_rules(), events), &mut fees)?;
        let fee = fees.into_iter().find(|fee| fee.line.key() == self.fee.line_key);
        // A group whose events are all gone has no fee any more: nothing of it is left.
        Ok(fee.map(Figures::from).unwrap_or_default())
    }
}

impl From<RatedCharge> for Figures {
    fn from(fee: RatedCharge) -> Self {
        Self {
            events_count: fee.events_count,
            fingerprint: fee.fingerprint,
            units: fee.units,
            amount_cents: fee.amount_cents,
        }
    }
}
