//! Customers with a subscription each, and events as pure functions of their number: what all fees must come to can be worked out
//! without keeping anything.

use domain::catalog::{
    Aggregation, BillingTime, Charge, ChargeModel, Customer, Interval, Metric, Plan, Subscription, SubscriptionStatus,
};
use domain::event_batch::{EventBatch, EventRow};
use domain::identity::Content;
use domain::ids::{ChargeId, CustomerId, MetricId, OrganizationId, PlanId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::snapshot::{CatalogSnapshot, MetricEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use rater::RatingView;
use serde_json::json;
use std::fmt::Write as _;
use std::sync::Arc;
use uuid::Uuid;

/// 2026-03-01T00:00:00Z.
pub(super) const MARCH: i64 = 1_772_323_200_000_000;
/// 31 days.
pub(super) const MONTH: u64 = 31 * 86_400_000_000;
pub(super) const CODE: &str = "tokens";
/// Rows of a batch.
pub(super) const BATCH: u64 = 10_000;

pub(super) struct Workload {
    pub(super) organization: OrganizationId,
    pub(super) subscriptions: u64,
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
    pub(super) fn new(subscriptions: u64) -> Self {
        Self { organization: OrganizationId(id(1, 0)), subscriptions }
    }

    pub(super) fn snapshot(&self) -> SnapshotCell {
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
    pub(super) fn view(&self) -> RatingView {
        let (customers, subscriptions) = (0..self.subscriptions).map(|number| self.account(number)).unzip();
        RatingView::new(customers, subscriptions, vec![self.plan()], vec![self.metric()])
    }

    /// The part of the catalog that one subscription needs.
    pub(super) fn view_of_one(&self, number: u64) -> RatingView {
        let (customer, subscription) = self.account(number);
        RatingView::new(vec![customer], vec![subscription], vec![self.plan()], vec![self.metric()])
    }

    fn account(&self, number: u64) -> (Customer, Subscription) {
        let customer = Customer {
            id: CustomerId(id(3, number)),
            organization: self.organization,
            external_id: customer_name(number),
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
    pub(super) fn plan_of_ten_charges(&self) -> Plan {
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

    /// Batch `number`: of each thousand rows 20 repeat an event of the batch before, and one is a copy with another timestamp or
    /// other content: a loser, whichever of the two comes first.
    pub(super) fn batch(&self, number: u64) -> EventBatch {
        let mut batch = EventBatch::new(self.organization, Timestamp(MARCH + MONTH.cast_signed()));
        let mut texts = Texts::default();
        for row in 0..BATCH {
            let (event, copy) = row_of(number, row);
            self.push(&mut batch, &mut texts, event, copy);
        }
        batch
    }

    fn push(&self, batch: &mut EventBatch, texts: &mut Texts, event: u64, copy: Copy) {
        let random = mixed(event);
        let value = value(event);
        texts.clear();
        let _ = write!(texts.transaction, "tx-{event:012}");
        texts.customer.push_str(&customer_name(random % self.subscriptions));
        let _ = write!(
            texts.properties,
            r#"{{"value":{}.{:03},"model":"m-{}","again":{}}}"#,
            value / 1_000,
            value % 1_000,
            random % 7,
            u8::from(copy == Copy::OtherContent)
        );
        let instant = mixed(random ^ 1) % (MONTH - 1) + u64::from(copy == Copy::OtherTimestamp);
        batch.push(&EventRow {
            transaction_id: &texts.transaction,
            timestamp: Timestamp(MARCH + instant.cast_signed()),
            content: Content {
                code: CODE,
                customer: &texts.customer,
                subscription: "",
                properties: &texts.properties,
                precise_total_amount_cents: "",
            },
        });
    }

    /// Events and units of all fees together, when so many rows were sent.
    pub(super) fn expected(&self, rows: u64) -> (u64, Quantity) {
        let all = (0..rows / BATCH).flat_map(|batch| (0..BATCH).map(move |row| row_of(batch, row)));
        let fresh = all.filter(|(_, copy)| *copy == Copy::Fresh);
        let (events, thousandths) =
            fresh.fold((0, 0), |(events, sum), (event, _)| (events + 1, sum + i128::from(value(event))));
        (events, Quantity::new(thousandths, 3))
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    Fresh,
    Exact,
    OtherTimestamp,
    OtherContent,
}

/// Which event a row of a batch holds. What is repeated are rows 0 and 5 to 24 of each thousand of the batch before, which are fresh.
fn row_of(batch: u64, row: u64) -> (u64, Copy) {
    let event = batch * BATCH + row;
    match row % 1_000 {
        25..45 if batch > 0 => (event - 20 - BATCH, Copy::Exact),
        500 if batch > 0 && batch.is_multiple_of(2) => (event - 500 - BATCH, Copy::OtherTimestamp),
        500 if batch > 0 => (event - 500 - BATCH, Copy::OtherContent),
        _ => (event, Copy::Fresh),
    }
}

/// Thousandths of a unit.
fn value(event: u64) -> u64 {
    mixed(mixed(event)) % 1_000_000
}

pub(super) fn customer_name(number: u64) -> String {
    format!("customer-{number:06}")
}

#[derive(Default)]
struct Texts {
    transaction: String,
    customer: String,
    properties: String,
}

impl Texts {
    fn clear(&mut self) {
        self.transaction.clear();
        self.customer.clear();
        self.properties.clear();
    }
}

/// Ten ranges of a graduated charge.
fn ten_ranges() -> serde_json::Value {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn of_a_thousand_rows_twenty_repeat_and_one_loses_and_each_copy_is_of_a_fresh_row() {
        let mut fresh: HashMap<u64, u64> = HashMap::new();
        let mut copies = Vec::new();
        for (event, copy) in (0..3).flat_map(|batch| (0..BATCH).map(move |row| row_of(batch, row))) {
            match copy {
                Copy::Fresh => *fresh.entry(event).or_default() += 1,
                _ => copies.push((event, copy)),
            }
        }
        assert!(fresh.values().all(|times| *times == 1));
        assert!(copies.iter().all(|(event, _)| fresh.contains_key(event)));
        let of = |kind: Copy| copies.iter().filter(|(_, copy)| *copy == kind).count();
        assert_eq!([Copy::Exact, Copy::OtherTimestamp, Copy::OtherContent].map(of), [400, 10, 10]);
        assert_eq!(Workload::new(7).expected(3 * BATCH).0, fresh.len() as u64);
    }
}
