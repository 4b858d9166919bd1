//! Quantities of metrics without prices: what usage alerts look at.
//!
//! [`RatingView::metering`] is the same catalog in which plans charge some metrics at nothing, so that a quantity is what a fee
//! would count, by the code that counts fees.

use crate::rated::RatedItem;
use crate::view::{RatablePlan, RatingView};
use domain::catalog::{Charge, ChargeModel};
use domain::ids::{ChargeId, MetricId, PlanId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

impl RatingView {
    /// The same catalog, in which these plans have always had one charge for each of these metrics, and no others.
    #[must_use]
    pub fn metering(&self, metrics: &HashMap<PlanId, BTreeSet<MetricId>>) -> Self {
        let plans = metrics.iter().filter_map(|(plan, metrics)| {
            let mut metered = self.plan_versions(*plan).last()?.plan.clone();
            metered.charges = metrics.iter().map(|metric| charge_of(*metric)).collect();
            Some((*plan, vec![Arc::new(RatablePlan::new(metered))]))
        });
        self.with_plans(plans)
    }
}

fn charge_of(metric: MetricId) -> Charge {
    Charge {
        id: ChargeId(metric.0),
        metric_id: metric,
        model: ChargeModel::Standard,
        properties: serde_json::json!({ "amount": "0" }),
        invoice_display_name: None,
        min_amount: MinorUnits::ZERO,
        pay_in_advance: false,
        prorated: false,
        invoiceable: true,
        filters: Vec::new(),
    }
}

/// The quantity of each metric in a stretch that was rated over [`RatingView::metering`]; what is not there is 0.
///
/// # Errors
/// When it could not be rated.
pub fn quantities(rated: RatedItem) -> Result<HashMap<MetricId, Quantity>, crate::RateProblem> {
    Ok(rated.fees?.into_iter().map(|charge| (charge.charge.metric_id, charge.units)).collect())
}
