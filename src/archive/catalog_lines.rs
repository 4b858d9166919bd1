//! The catalog as lines: whatever decides whose an event is and what it costs, of all versions.

use super::{Lines, each_line};
use crate::failure::Failure;
use catalog::BillingCatalog;
use domain::catalog::{Customer, Metric, Plan, Subscription};
use domain::ids::OrganizationId;
use rater::RatingView;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `{"organization": "…", "is": {"plan": {…}}}`
#[derive(Serialize, Deserialize)]
struct Line {
    organization: OrganizationId,
    is: Entry,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Customer(Customer),
    Subscription(Subscription),
    Plan(Plan),
    Metric(Metric),
}

pub(super) fn write(lines: &mut Lines, organization: OrganizationId, all: BillingCatalog) -> Result<(), Failure> {
    let customers = all.customers.into_values().map(Entry::Customer);
    let subscriptions = all.subscriptions.into_iter().map(Entry::Subscription);
    let plans = all.plans.into_values().flatten().map(Entry::Plan);
    let metrics = all.metrics.into_values().flatten().map(Entry::Metric);
    for is in customers.chain(subscriptions).chain(plans).chain(metrics) {
        lines.write(&Line { organization, is })?;
    }
    Ok(())
}

/// One organization's, as the rater takes it.
pub(super) fn read(path: &Path, organization: OrganizationId) -> Result<RatingView, Failure> {
    let (mut customers, mut subscriptions, mut plans, mut metrics) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    each_line(path, |line: Line| {
        match line.is {
            _ if line.organization != organization => (),
            Entry::Customer(one) => customers.push(one),
            Entry::Subscription(one) => subscriptions.push(one),
            Entry::Plan(one) => plans.push(one),
            Entry::Metric(one) => metrics.push(one),
        }
        true
    })?;
    Ok(RatingView::new(customers, subscriptions, plans, metrics))
}
