//! What of the catalog a rating needs, in memory: subscriptions with their customers, and every version of their plans and
//! metrics.
//!
//! Two ways to fill it: everything, for a billing run (a fixed number of queries), or what one subscription depends on, for
//! `current_usage` (its customer's subscriptions, their plans and metrics): reading one among 300,000 does not load the rest.
//!
//! The versions a period is rated by are those in force when it began (I3): later edits add versions and change nothing.

use domain::catalog::{Charge, Customer, Interval, Metric, Plan, Subscription};
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::period::{BillingCalendar, Period, PeriodError, Timezones};
use domain::pricing::{PriceModel, PropertyError, group_keys, overlaid};
use domain::time::Timestamp;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use crate::lines::ChargeLines;

/// Why something in the catalog cannot be rated. The catalog refuses to write any of it; each names what to repair.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum ViewError {
    /// Asked for a subscription that was not loaded.
    #[error("subscription {0} is not known")]
    UnknownSubscription(SubscriptionId),
    /// A subscription without its customer.
    #[error("customer {0} of a subscription is missing")]
    UnknownCustomer(CustomerId),
    /// A subscription without a version of its plan.
    #[error("plan {0} of a subscription has no version")]
    UnknownPlan(PlanId),
    /// A charge without a version of its metric.
    #[error("metric {metric} of charge {charge} has no version")]
    UnknownMetric {
        /// The charge.
        charge: ChargeId,
        /// Its metric.
        metric: MetricId,
    },
    /// A charge whose prices cannot be read.
    #[error("charge {charge} cannot be priced: {reason}")]
    Charge {
        /// The charge.
        charge: ChargeId,
        /// The first mistake.
        reason: PropertyError,
    },
    /// A customer whose timezone cannot be read.
    #[error(transparent)]
    Period(#[from] PeriodError),
}

/// One charge, ready to rate.
#[derive(Clone, Debug)]
pub struct RatableCharge {
    /// As written.
    pub charge: Arc<Charge>,
    /// Its fees and their prices.
    pub lines: ChargeLines,
}

/// One version of a plan, ready to rate.
#[derive(Clone, Debug)]
pub struct RatablePlan {
    /// As written.
    pub plan: Plan,
    charges: OnceLock<Vec<Result<RatableCharge, ViewError>>>,
}

impl RatablePlan {
    /// A plan as the catalog wrote it.
    pub fn new(plan: Plan) -> Self {
        Self { plan, charges: OnceLock::new() }
    }

    /// Its charges, in order, each with its prices parsed; a charge that cannot be priced says why. Parsed when first asked
    /// for: one customer's usage needs one plan of an organization's many.
    pub fn charges(&self) -> &[Result<RatableCharge, ViewError>] {
        self.charges.get_or_init(|| self.plan.charges.iter().map(ratable).collect())
    }
}

/// The catalog in memory.
#[derive(Clone, Debug, Default)]
pub struct RatingView {
    customers: HashMap<CustomerId, (Customer, Result<Timezones, PeriodError>)>,
    subscriptions: Vec<Subscription>,
    places: HashMap<SubscriptionId, usize>,
    by_customer: HashMap<CustomerId, Vec<usize>>,
    by_external_id: HashMap<(OrganizationId, String), Vec<usize>>,
    plans: HashMap<PlanId, Vec<Arc<RatablePlan>>>,
    metrics: HashMap<MetricId, Vec<Arc<Metric>>>,
}

impl RatingView {
    /// Puts the parts together: all versions of each plan and metric, in any order. Of every customer whose subscriptions
    /// are rated all subscriptions must be there, and all that share an external id with one of them.
    #[must_use]
    pub fn new(
        customers: Vec<Customer>,
        mut subscriptions: Vec<Subscription>,
        plans: Vec<Plan>,
        metrics: Vec<Metric>,
    ) -> Self {
        // Age decides whose usage it is; ids break ties, so that every rating decides alike.
        subscriptions.sort_by_key(|subscription| (subscription.created_at, subscription.id));
        let mut view = Self::default();
        for customer in customers {
            let zones = Timezones::parse(&customer.timezones);
            view.customers.insert(customer.id, (customer, zones));
        }
        for (place, subscription) in subscriptions.iter().enumerate() {
            view.places.insert(subscription.id, place);
            view.by_customer.entry(subscription.customer_id).or_default().push(place);
            let name = (subscription.organization, subscription.external_id.clone());
            view.by_external_id.entry(name).or_default().push(place);
        }
        view.subscriptions = subscriptions;
        for plan in plans {
            let id = plan.id;
            view.plans.entry(id).or_default().push(Arc::new(RatablePlan::new(plan)));
        }
        for versions in view.plans.values_mut() {
            versions.sort_by_key(|ratable| (ratable.plan.valid_from, ratable.plan.version));
        }
        for metric in metrics {
            view.metrics.entry(metric.id).or_default().push(Arc::new(metric));
        }
        for versions in view.metrics.values_mut() {
            versions.sort_by_key(|metric| (metric.valid_from, metric.version));
        }
        view
    }

    /// All subscriptions, oldest first.
    #[must_use]
    pub fn subscriptions(&self) -> &[Subscription] {
        &self.subscriptions
    }

    /// A subscription.
    ///
    /// # Errors
    /// When it was not loaded.
    pub fn subscription(&self, id: SubscriptionId) -> Result<&Subscription, ViewError> {
        let place = self.places.get(&id).ok_or(ViewError::UnknownSubscription(id))?;
        Ok(&self.subscriptions[*place])
    }

    /// The customer of a subscription.
    ///
    /// # Errors
    /// When it was not loaded.
    pub fn customer(&self, id: CustomerId) -> Result<&Customer, ViewError> {
        self.customers.get(&id).map(|(customer, _)| customer).ok_or(ViewError::UnknownCustomer(id))
    }

    /// The subscriptions of a customer, oldest first.
    pub fn of_customer(&self, id: CustomerId) -> impl Iterator<Item = &Subscription> {
        self.by_customer.get(&id).into_iter().flatten().map(|place| &self.subscriptions[*place])
    }

    /// The subscriptions that have, or had, an external id, oldest first.
    pub fn with_external_id(
        &self,
        organization: OrganizationId,
        external_id: &str,
    ) -> impl Iterator<Item = &Subscription> {
        let name = (organization, external_id.to_owned());
        self.by_external_id.get(&name).into_iter().flatten().map(|place| &self.subscriptions[*place])
    }

    /// The version of a plan in force at `instant`; before the first version the first.
    ///
    /// # Errors
    /// When the plan has no version.
    pub fn plan_at(&self, id: PlanId, instant: Timestamp) -> Result<&Arc<RatablePlan>, ViewError> {
        let versions = self.plans.get(&id).map(Vec::as_slice).unwrap_or_default();
        in_force(versions, |ratable| ratable.plan.valid_from <= instant).ok_or(ViewError::UnknownPlan(id))
    }

    /// A version of a plan by its number.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn plan_version(&self, id: PlanId, version: u32) -> Result<&Arc<RatablePlan>, ViewError> {
        let versions = self.plans.get(&id).into_iter().flatten();
        versions.into_iter().find(|ratable| ratable.plan.version == version).ok_or(ViewError::UnknownPlan(id))
    }

    /// The version of a charge's metric in force at `instant`; before the first version the first.
    ///
    /// # Errors
    /// When the metric has no version.
    pub fn metric_at(&self, charge: &Charge, instant: Timestamp) -> Result<&Arc<Metric>, ViewError> {
        let versions = self.metrics.get(&charge.metric_id).map(Vec::as_slice).unwrap_or_default();
        let unknown = ViewError::UnknownMetric { charge: charge.id, metric: charge.metric_id };
        in_force(versions, |metric| metric.valid_from <= instant).ok_or(unknown)
    }

    /// A version of a charge's metric by its number.
    ///
    /// # Errors
    /// When there is no such version.
    pub fn metric_version(&self, charge: &Charge, version: u32) -> Result<&Arc<Metric>, ViewError> {
        let versions = self.metrics.get(&charge.metric_id).into_iter().flatten();
        let unknown = ViewError::UnknownMetric { charge: charge.id, metric: charge.metric_id };
        versions.into_iter().find(|metric| metric.version == version).ok_or(unknown)
    }

    /// The instant whose versions rate `period` of a subscription: when the period begins, or the subscription does.
    #[must_use]
    pub fn versions_at(subscription: &Subscription, period: &Period) -> Timestamp {
        subscription.started_at.map_or(period.start, |started_at| started_at.max(period.start))
    }

    /// The calendar of a subscription's usage periods; absent while it has not started.
    ///
    /// # Errors
    /// When its plan or its customer is missing, or the customer's timezone unreadable.
    pub fn usage_calendar(&self, subscription: &Subscription) -> Result<Option<BillingCalendar>, ViewError> {
        self.calendar(subscription, usage_interval)
    }

    /// The calendar of a subscription's flat fee; absent while it has not started.
    ///
    /// # Errors
    /// As [`RatingView::usage_calendar`].
    pub fn plan_calendar(&self, subscription: &Subscription) -> Result<Option<BillingCalendar>, ViewError> {
        self.calendar(subscription, |plan| plan.interval)
    }

    fn calendar(
        &self,
        subscription: &Subscription,
        interval: fn(&Plan) -> Interval,
    ) -> Result<Option<BillingCalendar>, ViewError> {
        let Some(anchor) = subscription.anchor() else {
            return Ok(None);
        };
        let zones = self.timezones(subscription.customer_id)?.clone();
        let plan = &self.plan_at(subscription.plan_id, subscription.created_at)?.plan;
        Ok(Some(BillingCalendar::new(interval(plan), subscription.billing_time, anchor, zones)))
    }

    /// The timezones of a customer.
    ///
    /// # Errors
    /// When the customer was not loaded, or a zone cannot be read.
    pub fn timezones(&self, customer: CustomerId) -> Result<&Timezones, ViewError> {
        let (_, zones) = self.customers.get(&customer).ok_or(ViewError::UnknownCustomer(customer))?;
        zones.as_ref().map_err(|error| error.clone().into())
    }

    /// The same catalog in which a plan always was `plan`.
    #[must_use]
    pub fn with_plan(&self, plan: Plan) -> Self {
        let mut other = self.clone();
        other.plans.insert(plan.id, vec![Arc::new(RatablePlan::new(plan))]);
        other
    }

    /// The same catalog in which these plans have these versions.
    pub(crate) fn with_plans(&self, plans: impl IntoIterator<Item = (PlanId, Vec<Arc<RatablePlan>>)>) -> Self {
        let mut other = self.clone();
        other.plans.extend(plans);
        other
    }

    /// Whether a version of a plan charges `code`.
    #[must_use]
    pub fn charges_code(&self, plan: &RatablePlan, code: &str) -> bool {
        plan.plan.charges.iter().any(|charge| self.code_of(charge) == Some(code))
    }

    /// The code of a charge's metric, which no edit changes.
    #[must_use]
    pub fn code_of(&self, charge: &Charge) -> Option<&str> {
        self.metrics.get(&charge.metric_id)?.first().map(|metric| metric.code.as_str())
    }

    /// Whether there is a metric of that code among those that were loaded.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        self.metrics.values().flatten().any(|metric| metric.code == code)
    }

    /// Codes of metrics that are recurring, or ever were, in any organization: what happens to their usage lasts.
    #[must_use]
    pub fn recurring_codes(&self) -> HashSet<&str> {
        let recurring = self.metrics.values().flatten().filter(|metric| metric.recurring);
        recurring.map(|metric| metric.code.as_str()).collect()
    }

    /// Every version of a plan, oldest first.
    #[must_use]
    pub fn plan_versions(&self, id: PlanId) -> &[Arc<RatablePlan>] {
        self.plans.get(&id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Usage may be billed monthly though the plan's interval is longer.
#[must_use]
pub fn usage_interval(plan: &Plan) -> Interval {
    match plan.interval {
        Interval::Quarterly | Interval::Semiannual | Interval::Yearly if plan.bill_charges_monthly => Interval::Monthly,
        interval => interval,
    }
}

/// The last of `versions` (oldest first) that has begun, else the first.
fn in_force<T>(versions: &[T], has_begun: impl Fn(&T) -> bool) -> Option<&T> {
    let later = versions.partition_point(has_begun);
    versions.get(later.saturating_sub(1))
}

/// A charge with its prices read.
///
/// # Errors
/// When its prices cannot be read.
pub fn ratable(charge: &Charge) -> Result<RatableCharge, ViewError> {
    let unpriced = |reason: PropertyError| ViewError::Charge { charge: charge.id, reason };
    let parse = |properties: &serde_json::Value| {
        let model =
            PriceModel::parse(charge.model, properties).map_err(|mut errors| unpriced(errors.swap_remove(0)))?;
        Ok::<_, ViewError>((model, group_keys(properties).map_err(unpriced)?))
    };
    let default = parse(&charge.properties)?;
    let mut filters = Vec::with_capacity(charge.filters.len());
    for filter in &charge.filters {
        let (model, keys) = parse(&overlaid(&charge.properties, &filter.properties))?;
        filters.push((filter, model, keys));
    }
    Ok(RatableCharge { charge: Arc::new(charge.clone()), lines: ChargeLines::new(default, filters) })
}
