//! A small catalog in memory, for tests.

use crate::view::RatingView;
use domain::catalog::{
    Aggregation, BillingTime, Charge, ChargeModel, Customer, Interval, Metric, Plan, Subscription, SubscriptionStatus,
};
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use serde_json::{Value, json};

/// What a test puts in.
pub struct World {
    pub organization: OrganizationId,
    pub customers: Vec<Customer>,
    pub subscriptions: Vec<Subscription>,
    pub plans: Vec<Plan>,
    pub metrics: Vec<Metric>,
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Midnight of the given day after 2026-01-01, UTC.
pub fn day(number: i64) -> Timestamp {
    Timestamp(at("2026-01-01T00:00:00Z").0 + number * 86_400 * MICROS_PER_SECOND)
}

impl World {
    pub fn new() -> Self {
        Self {
            organization: OrganizationId::random(),
            customers: Vec::new(),
            subscriptions: Vec::new(),
            plans: Vec::new(),
            metrics: Vec::new(),
        }
    }

    pub fn view(&self) -> RatingView {
        RatingView::new(self.customers.clone(), self.subscriptions.clone(), self.plans.clone(), self.metrics.clone())
    }

    pub fn metric(&mut self, code: &str, aggregation: Aggregation, field_name: Option<&str>) -> MetricId {
        let id = MetricId::random();
        self.metrics.push(Metric {
            id,
            version: 1,
            valid_from: day(0),
            code: code.into(),
            name: code.to_uppercase(),
            aggregation,
            field_name: field_name.map(Into::into),
            expression: None,
            recurring: false,
            rounding: None,
            filters: Vec::new(),
        });
        id
    }

    pub fn count_metric(&mut self, code: &str) -> MetricId {
        self.metric(code, Aggregation::Count, None)
    }

    pub fn customer(&mut self, external_id: &str) -> CustomerId {
        self.customer_in(external_id, "UTC")
    }

    pub fn customer_in(&mut self, external_id: &str, zone: &str) -> CustomerId {
        let id = CustomerId::random();
        self.customers.push(Customer {
            id,
            organization: self.organization,
            external_id: external_id.into(),
            name: external_id.into(),
            timezones: vec![(day(0), zone.into())],
            net_payment_term_days: 0,
            invoice_grace_period_days: 0,
        });
        id
    }

    pub fn plan(&mut self, code: &str, metrics: &[MetricId]) -> PlanId {
        let charges =
            metrics.iter().map(|metric| charge(*metric, ChargeModel::Standard, json!({"amount": "1"}))).collect();
        self.plan_with(code, charges)
    }

    pub fn plan_with(&mut self, code: &str, charges: Vec<Charge>) -> PlanId {
        let id = PlanId::random();
        self.plans.push(Plan {
            id,
            version: 1,
            valid_from: day(0),
            code: code.into(),
            name: code.into(),
            interval: Interval::Monthly,
            amount: MinorUnits(0),
            currency: Currency::USD,
            pay_in_advance: false,
            trial_period_days: 0,
            bill_charges_monthly: false,
            charges,
        });
        id
    }

    pub fn new_plan_version(&mut self, id: PlanId, valid_from: Timestamp, metrics: &[MetricId]) {
        let latest = self.plans.iter().filter(|plan| plan.id == id).max_by_key(|plan| plan.version).unwrap();
        let charges =
            metrics.iter().map(|metric| charge(*metric, ChargeModel::Standard, json!({"amount": "1"}))).collect();
        let next = Plan { version: latest.version + 1, valid_from, charges, ..latest.clone() };
        self.plans.push(next);
    }

    pub fn subscription(
        &mut self,
        customer: CustomerId,
        external_id: &str,
        plan: PlanId,
        started_at: Timestamp,
        ended_at: Option<Timestamp>,
    ) -> Subscription {
        let number = i64::try_from(self.subscriptions.len()).unwrap();
        let subscription = Subscription {
            id: SubscriptionId::random(),
            organization: self.organization,
            external_id: external_id.into(),
            customer_id: customer,
            plan_id: plan,
            status: SubscriptionStatus::Active,
            billing_time: BillingTime::Calendar,
            started_at: Some(started_at),
            ended_at,
            created_at: Timestamp(day(0).0 + number),
            pay_in_advance: false,
            trial_period_days: 0,
            anchor_at: None,
            ending: domain::catalog::Ending::Bills,
            unused_advance: domain::catalog::UnusedAdvance::Credit,
        };
        self.subscriptions.push(subscription.clone());
        subscription
    }
}

/// A charge without options.
pub fn charge(metric: MetricId, model: ChargeModel, properties: Value) -> Charge {
    Charge {
        id: ChargeId::random(),
        metric_id: metric,
        model,
        properties,
        invoice_display_name: None,
        min_amount: MinorUnits(0),
        pay_in_advance: false,
        prorated: false,
        invoiceable: true,
        filters: Vec::new(),
    }
}
