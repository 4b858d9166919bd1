//! Usage that is paid as it is accepted: each event once, and in all what the period comes to.

use crate::fixtures::{World, at, charge};
use crate::rating::item;
use crate::store::{Sent, fresh_store, send, snapshot_of};
use domain::catalog::{Aggregation, Charge, ChargeModel, Subscription};
use domain::ids::MetricId;
use domain::position::Cut;
use domain::time::Timestamp;
use rater::advance::AdvanceFee;
use rater::{Rater, RatingView};
use serde_json::{Value, json};
use std::sync::Arc;

fn in_advance(metric: MetricId, model: ChargeModel, properties: Value) -> Charge {
    let mut one = charge(metric, model, properties);
    one.pay_in_advance = true;
    one
}

const FEBRUARY: &str = "2024-02-10T00:00:00Z";

async fn fees(rater: &Rater, view: &Arc<RatingView>, s: &Subscription, after: &Cut, until: &Cut) -> Vec<AdvanceFee> {
    let items = vec![item(view, s, at(FEBRUARY)).unwrap()];
    let mut answered = rater.advance_fees(view, items, after, until).await.unwrap();
    answered.remove(0).fees.unwrap()
}

fn event(id: &str, code: &str, day: u32, properties: &str) -> Sent {
    Sent::new(id, code, "c", at(&format!("2024-02-{day:02}T06:00:00Z")), properties)
}

#[tokio::test]
async fn each_event_is_paid_once_however_often_one_asks_and_in_all_as_much_as_the_period_costs() {
    let mut world = World::new();
    let (tokens, other) =
        (world.metric("tokens", Aggregation::Sum, Some("v")), world.metric("level", Aggregation::Latest, Some("v")));
    let ranges = json!({"grouped_by": ["region"], "graduated_ranges": [
        {"from_value": 0, "to_value": 10, "per_unit_amount": "1", "flat_amount": "2"},
        {"from_value": 11, "to_value": null, "per_unit_amount": "0.5", "flat_amount": "3"},
    ]});
    let charges = vec![
        in_advance(tokens, ChargeModel::Graduated, ranges),
        charge(tokens, ChargeModel::Standard, json!({"amount": "100"})),
        // A newest value is no level that events raise: it is billed when the period ends.
        in_advance(other, ChargeModel::Standard, json!({"amount": "100"})),
    ];
    let plan = world.plan_with("p", charges);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, at("2024-01-01T00:00:00Z"), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &["region"])).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let mut cuts = vec![Cut::default()];
    for batch in [
        vec![
            event("t1", "tokens", 9, r#"{"v":8,"region":"eu"}"#),
            event("t2", "tokens", 3, r#"{"v":1,"region":"us"}"#),
        ],
        vec![
            event("t3", "tokens", 2, r#"{"v":4,"region":"eu"}"#),
            event("t1", "tokens", 9, r#"{"v":8,"region":"eu"}"#),
        ],
        vec![event("t4", "tokens", 12, r#"{"v":-6,"region":"eu"}"#), event("t5", "level", 12, r#"{"v":9}"#)],
        vec![event("t6", "tokens", 12, r#"{"v":7,"region":"eu"}"#), event("t7", "tokens", 13, r#"{"v":"x"}"#)],
    ] {
        send(&writer, &world, &batch).await;
        cuts.push(store.committed_cut().await.unwrap());
    }
    let mut step_by_step = Vec::new();
    for pair in cuts.windows(2) {
        step_by_step.extend(fees(&rater, &view, &s, &pair[0], &pair[1]).await);
    }
    let told: Vec<(String, String, i64)> =
        step_by_step.iter().map(|fee| (fee.line.key(), fee.units.to_string(), fee.amount_cents.0)).collect();
    let wanted = [
        (":[\"eu\"]", "8", 1_000),
        (":[\"us\"]", "1", 300),
        // Two units fill the first range, two enter the next.
        (":[\"eu\"]", "4", 600),
        // It sinks to 6 and rises to 13: one unit above its highest point.
        (":[\"eu\"]", "0", 0),
        (":[\"eu\"]", "1", 50),
    ];
    assert_eq!(told, wanted.map(|(key, units, cents)| (key.to_owned(), units.to_owned(), cents)));
    let at_once = fees(&rater, &view, &s, &cuts[0], &cuts[4]).await;
    assert_eq!(at_once, step_by_step);
    assert!(fees(&rater, &view, &s, &cuts[4], &cuts[4]).await.is_empty());
    let ids: std::collections::HashSet<_> = at_once.iter().map(|fee| fee.of.unwrap().id).collect();
    assert_eq!(ids.len(), at_once.len());
}

#[tokio::test]
async fn a_value_is_paid_for_the_days_left_when_it_comes_and_not_again_when_it_comes_back() {
    let mut world = World::new();
    let metric = world.metric("seats", Aggregation::UniqueCount, Some("v"));
    world.metrics[0].recurring = true;
    let mut one = in_advance(metric, ChargeModel::Standard, json!({"amount": "1"}));
    one.prorated = true;
    let plan = world.plan_with("p", vec![one]);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, at("2024-01-01T00:00:00Z"), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    send(&writer, &world, &[Sent::new("t0", "seats", "c", at("2024-01-20T00:00:00Z"), r#"{"v":"old"}"#)]).await;
    let before = store.committed_cut().await.unwrap();
    let sent = [
        event("t1", "seats", 23, r#"{"v":"a"}"#),
        event("t2", "seats", 24, r#"{"v":"a","operation_type":"remove"}"#),
        event("t3", "seats", 25, r#"{"v":"a"}"#),
        event("t4", "seats", 26, r#"{"v":"old"}"#),
        event("t5", "seats", 26, r#"{"v":"b"}"#),
    ];
    for one in &sent {
        send(&writer, &world, std::slice::from_ref(one)).await;
    }
    let until = store.committed_cut().await.unwrap();
    let found = fees(&rater, &view, &s, &before, &until).await;
    let cents: Vec<i64> = found.iter().map(|fee| fee.amount_cents.0).collect();
    // 7 of 29 days, and 4 of 29 for the second seat at once.
    assert_eq!(cents, [24, 0, 0, 0, 14]);
}

#[tokio::test]
async fn allowances_and_limits_of_a_percentage_hold_event_by_event() {
    let mut world = World::new();
    let metric = world.metric("paid", Aggregation::Sum, Some("v"));
    let free = json!({"rate": "5", "fixed_amount": "1", "free_units_per_total_aggregation": "3"});
    let limited = json!({"rate": "1", "fixed_amount": "0.5", "per_transaction_max_amount": "2", "per_transaction_min_amount": "1.75"});
    let charges =
        vec![in_advance(metric, ChargeModel::Percentage, free), in_advance(metric, ChargeModel::Percentage, limited)];
    let plan = world.plan_with("p", charges);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, at("2024-01-01T00:00:00Z"), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    send(&writer, &world, &[event("t1", "paid", 2, r#"{"v":5}"#), event("t2", "paid", 3, r#"{"v":1000}"#)]).await;
    let until = store.committed_cut().await.unwrap();
    let found = fees(&rater, &view, &s, &Cut::default(), &until).await;
    let cents: Vec<i64> = found.iter().map(|fee| fee.amount_cents.0).collect();
    assert_eq!(cents, [110, 5_100, 175, 200]);
    let when: Vec<Timestamp> = found.iter().map(|fee| fee.of.unwrap().timestamp).collect();
    assert_eq!(when[0], at("2024-02-02T06:00:00Z"));
}
