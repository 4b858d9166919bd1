//! What goes into a rating and what comes out.

use crate::lines::Group;
use crate::view::{RatablePlan, ViewError};
use domain::catalog::{Charge, Metric};
use domain::expression::ExpressionError;
use domain::ids::SubscriptionId;
use domain::money::{MinorUnits, MoneyError};
use domain::period::{Period, Proration};
use domain::pricing::PricingError;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One stretch of one subscription to rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatingItem {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The period the stretch lies in; the versions in force when it began rate it.
    pub period: Period,
    /// First instant whose usage counts; not before the subscription starts.
    pub from: Timestamp,
    /// First instant after it; not after the subscription ends.
    pub to: Timestamp,
    /// The share of the period for which charges' least amounts are owed.
    pub minimum_share: Proration,
}

/// A rated stretch.
#[derive(Clone, Debug)]
pub struct RatedItem {
    /// What was asked.
    pub item: RatingItem,
    /// The version of the plan that rated it; absent when not even that is known.
    pub plan: Option<Arc<RatablePlan>>,
    /// Its fees, in the order of the plan's charges; or why it cannot be rated. One stretch that cannot be rated never keeps
    /// others from it.
    pub fees: Result<Vec<RatedCharge>, RateProblem>,
}

/// Which fee of a charge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Place of the filter among the charge's filters; absent for the charge's own prices.
    pub filter: Option<usize>,
    /// What the filter accepts; empty for the charge's own prices.
    pub filter_values: BTreeMap<String, Vec<String>>,
    /// Title on invoices, when the filter has one.
    pub display_name: Option<String>,
    /// Values it is grouped by; empty when it is not.
    pub group: Group,
    /// Whether it is what the charge's least amount lacks, instead of usage.
    pub true_up: bool,
}

impl Line {
    /// Tells the fees of one charge in one stretch apart: `""` for a plain one, else filter and group (I4). It is a function
    /// of the plan's version and the events alone.
    #[must_use]
    pub fn key(&self) -> String {
        if self.true_up {
            return "true_up".into();
        }
        let filter = self.filter.map(|place| place.to_string()).unwrap_or_default();
        if self.group.0.is_empty() {
            return filter;
        }
        let values: Vec<_> = self.group.0.iter().map(|(_, value)| value).collect();
        format!("{filter}:{}", serde_json::json!(values))
    }
}

/// One fee's worth of usage. Amounts are in the currency of the item's plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatedCharge {
    /// The charge as it was in the plan's version.
    pub charge: Arc<Charge>,
    /// The version of its metric.
    pub metric: Arc<Metric>,
    /// Which of the charge's fees.
    pub line: Line,
    /// The metric's quantity, rounded as the metric says.
    pub units: Quantity,
    /// Of a prorated charge: the quantity itself, of which `units` is the share of the period.
    pub full_units: Option<Quantity>,
    /// Exact, in currency units.
    pub amount: Quantity,
    /// The amount, rounded once, half away from zero (I5).
    pub amount_cents: MinorUnits,
    /// Amount per unit in currency units, for people; see [`domain::pricing::Priced`].
    pub unit_amount: Quantity,
    /// Events in it, whether their value was usable or not.
    pub events_count: u64,
    /// Those of them whose value is there but unusable: counted as 0, listed as `invalid_value`.
    pub invalid_count: u64,
    /// Sum of their fingerprint terms modulo 2¹²⁸ (I3).
    pub fingerprint: u128,
}

/// Why a stretch cannot be rated. Each names what to repair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateProblem {
    /// The catalog lacks something, or holds prices that cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// A charge could not be priced.
    #[error("charge {charge} of metric '{code}': {reason}")]
    Pricing {
        /// Which charge.
        charge: domain::ids::ChargeId,
        /// Its metric.
        code: String,
        /// Why.
        reason: PricingError,
    },
    /// An amount does not fit 64 bits of minor units.
    #[error("charge {charge} of metric '{code}': {reason}")]
    Money {
        /// Which charge.
        charge: domain::ids::ChargeId,
        /// Its metric.
        code: String,
        /// Why.
        reason: MoneyError,
    },
    /// A metric's expression cannot be read.
    #[error("the expression of metric '{code}' cannot be read: {reason}")]
    Metric {
        /// Which metric.
        code: String,
        /// Why.
        reason: ExpressionError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fee_of_a_charge_has_a_key_of_its_own() {
        let group = |value: Option<&str>| Group(vec![("region".into(), value.map(Into::into))]);
        let keys = [
            Line::default(),
            Line { filter: Some(0), ..Line::default() },
            Line { filter: Some(1), ..Line::default() },
            Line { group: group(Some("eu")), ..Line::default() },
            Line { group: group(Some("null")), ..Line::default() },
            Line { group: group(None), ..Line::default() },
            Line { filter: Some(0), group: group(None), ..Line::default() },
            Line { true_up: true, ..Line::default() },
        ]
        .map(|line| line.key());
        assert_eq!(keys, ["", "0", "1", ":[\"eu\"]", ":[\"null\"]", ":[null]", "0:[null]", "true_up"]);
    }
}
