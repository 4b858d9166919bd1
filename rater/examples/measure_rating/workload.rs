//! Customers with a subscription each, and events as pure functions of their number.

use domain::catalog::{
    Aggregation, BillingTime, Charge, ChargeModel, Customer, Interval, Metric, Plan, Subscription, SubscriptionStatus,
};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use rater::RatingView;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// 2026-03-01T00:00:00Z.
pub const MARCH: i64 = 1_772_323_200_000_000;
/// 31 days.
pub const MONTH: i64 = 31 * 86_400_000_000;
pub const CODE: &str = "tokens";

pub struct Workload {
    pub organization: OrganizationId,
    pub subscriptions: u64,
}

/// A cheap mixer (splitmix64): numbers to what looks random.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn id(kind: u128, number: u64) -> Uuid {
    Uuid::from_u128(kind << 64 | u128::from(number))
}

impl Workload {
    pub fn new(subscriptions: u64) -> Self {
        Self { organization: OrganizationId(id(1, 0)), subscriptions }
    }

    pub fn snapshot(&self) -> SnapshotCell {
        let mut entry = OrganizationEntry::default();
        let metric = MetricEntry {
            id: MetricId(id(2, 0)),
            version: 1,
            aggregation: Aggregation::Sum,
            field_name: Some("value".into()),
            dimensions: Vec::new(),
        };
        entry.metrics.insert(CODE.into(), metric);
        let organizations = [(self.organization, Arc::new(entry))].into();
        SnapshotCell::fixed(CatalogSnapshot { organizations, ..CatalogSnapshot::default() })
    }

    /// Everything rating needs of the catalog: one plan with a graduated charge of ten ranges.
    pub fn view(&self) -> RatingView {
        let (customers, subscriptions) = (0..self.subscriptions).map(|number| self.account(number)).unzip();
        RatingView::new(customers, subscriptions, vec![self.plan()], vec![self.metric()])
    }

    fn account(&self, number: u64) -> (Customer, Subscription) {
        let customer = Customer {
            id: CustomerId(id(3, number)),
            organization: self.organization,
            external_id: format!("customer-{number:06}"),
            name: String::new(),
            timezones: vec![(Timestamp(0), "UTC".into())],
            net_payment_term_days: 0,
            invoice_grace_period_days: 0,
        };
        let subscription = Subscription {
            id: SubscriptionId(id(4, number)),
            organization: self.organization,
            external_id: format!("subscription-{number:06}"),
            customer_id: customer.id,
            plan_id: PlanId(id(5, 0)),
            status: SubscriptionStatus::Active,
            billing_time: BillingTime::Calendar,
            started_at: Some(Timestamp(MARCH)),
            ended_at: None,
            created_at: Timestamp(MARCH),
            pay_in_advance: false,
            trial_period_days: 0,
            anchor_at: None,
            ending: domain::catalog::Ending::Bills,
            unused_advance: domain::catalog::UnusedAdvance::Credit,
        };
        (customer, subscription)
    }

    fn metric(&self) -> Metric {
        Metric {
            id: MetricId(id(2, 0)),
            version: 1,
            valid_from: Timestamp(0),
            code: CODE.into(),
            name: "Tokens".into(),
            aggregation: Aggregation::Sum,
            field_name: Some("value".into()),
            expression: None,
            recurring: false,
            rounding: None,
            filters: Vec::new(),
        }
    }

    /// The plan with ten charges, half of them by range.
    pub fn plan_of_ten_charges(&self) -> Plan {
        let mut plan = self.plan();
        let by_range = plan.charges.remove(0);
        for number in 0..10 {
            let mut charge = by_range.clone();
            charge.id = ChargeId(id(7, number));
            if number % 2 == 0 {
                (charge.model, charge.properties) =
                    (ChargeModel::Standard, json!({"amount": format!("0.00{number}1")}));
            }
            plan.charges.push(charge);
        }
        plan
    }

    fn plan(&self) -> Plan {
        let charge = Charge {
            id: ChargeId(id(6, 0)),
            metric_id: MetricId(id(2, 0)),
            model: ChargeModel::Graduated,
            properties: json!({ "graduated_ranges": ten_ranges() }),
            invoice_display_name: None,
            min_amount: MinorUnits(0),
            pay_in_advance: false,
            prorated: false,
            invoiceable: true,
            filters: Vec::new(),
        };
        Plan {
            id: PlanId(id(5, 0)),
            version: 1,
            valid_from: Timestamp(0),
            code: "p".into(),
            name: "P".into(),
            interval: Interval::Monthly,
            amount: MinorUnits(0),
            currency: Currency::USD,
            pay_in_advance: false,
            trial_period_days: 0,
            bill_charges_monthly: false,
            charges: vec![charge],
        }
    }

    pub fn batch(&self, number: u64, size: u64) -> EventBatch {
        let mut batch = EventBatch::new(self.organization, Timestamp(MARCH + MONTH));
        let (mut transaction, mut customer, mut properties) = (String::new(), String::new(), String::new());
        for event in number * size..(number + 1) * size {
            let random = mixed(event);
            for text in [&mut transaction, &mut customer, &mut properties] {
                text.clear();
            }
            let value = mixed(random) % 1_000_000;
            let _ = write!(transaction, "tx-{event:012}");
            let _ = write!(customer, "customer-{:06}", random % self.subscriptions);
            let _ =
                write!(properties, r#"{{"value":{}.{:03},"model":"m-{}"}}"#, value / 1_000, value % 1_000, random % 7);
            batch.push(&EventRow {
                transaction_id: &transaction,
                timestamp: Timestamp(MARCH + (mixed(random ^ 1) % MONTH as u64) as i64),
                content: Content {
                    code: CODE,
                    customer: &customer,
                    subscription: "",
                    properties: &properties,
                    precise_total_amount_cents: "",
                },
            });
        }
        batch
    }
}

/// Ten ranges of a graduated charge.
pub fn ten_ranges() -> serde_json::Value {
    let range = |number: u64| {
        json!({
            "from_value": number * 1_000 + u64::from(number > 0),
            "to_value": if number == 9 { None } else { Some((number + 1) * 1_000) },
            "per_unit_amount": format!("0.00{}", 9 - number),
            "flat_amount": "0.5",
        })
    };
    (0..10).map(range).collect()
}
