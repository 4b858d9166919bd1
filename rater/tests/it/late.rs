//! Late events and voids become the difference to what was billed; shards change nothing.

use crate::fixtures::{World, at, charge, day};
use crate::rating::item;
use crate::store::{Sent, fresh_store, send, snapshot_of};
use domain::catalog::{Aggregation, ChargeModel};
use domain::ids::ChargeId;
use rater::late::{AdjustedStretch, BilledStretch, Changes};
use rater::shard::Shard;
use rater::{Figures, RatedItem, Rater, RatingItem};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn billed(rated: &RatedItem) -> BilledStretch {
    let fees = rated.fees.as_ref().unwrap();
    let by_line = fees.iter().map(|fee| ((fee.charge.id, fee.line.key()), Figures::from(fee.clone())));
    BilledStretch { item: rated.item.clone(), billed: by_line.collect() }
}

/// Line key, units and cents of each difference.
fn told(stretch: &AdjustedStretch) -> Vec<(String, String, i64)> {
    let lines = stretch.lines.as_ref().unwrap();
    lines.iter().map(|line| (line.line_key.clone(), line.units.to_string(), line.amount_cents.0)).collect()
}

/// What is billed once the differences are.
fn with_adjustments(stretch: &BilledStretch, adjusted: &AdjustedStretch) -> BilledStretch {
    let mut all: BTreeMap<(ChargeId, String), Figures> = stretch.billed.clone();
    for line in adjusted.lines.as_ref().unwrap() {
        all.insert((line.charge, line.line_key.clone()), line.now.clone());
    }
    BilledStretch { item: stretch.item.clone(), billed: all }
}

#[tokio::test]
async fn late_events_and_voids_are_found_and_become_differences_once() {
    let mut world = World::new();
    let metric = world.metric("tokens", Aggregation::Sum, Some("v"));
    let ranges = json!({"grouped_by": ["region"], "graduated_ranges": [
        {"from_value": 0, "to_value": 100, "per_unit_amount": "1", "flat_amount": "0"},
        {"from_value": 101, "to_value": null, "per_unit_amount": "0.1", "flat_amount": "5"},
    ]});
    let plan = world.plan_with("p", vec![charge(metric, ChargeModel::Graduated, ranges)]);
    let (one, other) = (world.customer("c"), world.customer("other"));
    let s = world.subscription(one, "s", plan, day(0), None);
    let quiet = world.subscription(other, "quiet", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &["region"])).await;
    let event = |id: &str, when: &str, v: &str, region: &str| {
        Sent::new(id, "tokens", "c", at(when), &format!("{{\"v\":{v},\"region\":\"{region}\"}}"))
    };
    let (january, february) = (at("2026-01-10T00:00:00Z"), at("2026-02-01T00:00:00Z"));
    let first = [event("t1", "2026-01-10T00:00:00Z", "95", "eu"), event("t2", "2026-01-11T00:00:00Z", "3", "us")];
    send(&writer, &world, &first).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let billed_at = store.committed_cut().await.unwrap();
    let items: Vec<RatingItem> = [&s, &quiet].map(|s| item(&view, s, january).unwrap()).to_vec();
    let bills: Vec<BilledStretch> = rater.rate(&view, items, &billed_at).await.unwrap().iter().map(billed).collect();
    assert!(
        rater
            .changed_subscriptions(&view, february, &billed_at, &billed_at)
            .await
            .unwrap()
            .subscriptions()
            .next()
            .is_none()
    );

    // A late event crosses into the next range, another opens a group, a void empties one; February is not late.
    let late = [
        event("t3", "2026-01-20T00:00:00Z", "15", "eu"),
        event("t4", "2026-01-21T00:00:00Z", "2", "asia"),
        event("t5", "2026-02-01T00:00:00Z", "1000", "eu"),
    ];
    send(&writer, &world, &late).await;
    writer.void(world.organization, "t2", at("2026-02-03T00:00:00Z")).await.unwrap();
    let now = store.committed_cut().await.unwrap();
    let changes = rater.changed_subscriptions(&view, february, &billed_at, &now).await.unwrap();
    assert_eq!(changes.subscriptions().collect::<Vec<_>>(), [s.id]);
    let none = rater.changed_subscriptions(&view, january, &billed_at, &now).await.unwrap();
    assert_eq!(none, Changes::default(), "nothing changed before the tenth");
    let touched: Vec<bool> = bills.iter().map(|bill| changes.touch(&bill.item)).collect();
    assert_eq!(touched, [true, false]);
    assert!(!changes.touch(&item(&view, &s, at("2026-03-10T00:00:00Z")).unwrap()));

    let adjusted = rater.adjustments(&view, bills.clone(), &now).await.unwrap();
    // 95 → 110: 5 more at 1, 10 at 0.1, and the flat 5.
    let wanted = [(":[\"asia\"]", "2", 200), (":[\"eu\"]", "15", 1_100), (":[\"us\"]", "-3", -300)];
    assert_eq!(told(&adjusted[0]), wanted.map(|(key, units, cents)| (key.to_owned(), units.to_owned(), cents)));
    assert!(told(&adjusted[1]).is_empty());

    // Once that is billed too, nothing is left; edits of the plan change nothing.
    let mut next_plan = world.plans[0].clone();
    (next_plan.version, next_plan.valid_from) = (2, at("2026-02-01T00:00:00Z"));
    next_plan.charges[0].properties =
        json!({"graduated_ranges": [{"from_value": 0, "to_value": null, "per_unit_amount": "9", "flat_amount": "0"}]});
    world.plans.push(next_plan);
    let view = Arc::new(world.view());
    let again = vec![with_adjustments(&bills[0], &adjusted[0])];
    assert!(told(&rater.adjustments(&view, again, &now).await.unwrap()[0]).is_empty());
}

#[tokio::test]
async fn what_changes_in_a_recurring_metric_changes_every_later_period() {
    let mut world = World::new();
    let metric = world.metric("seats", Aggregation::Sum, Some("v"));
    world.metrics[0].recurring = true;
    let plan = world.plan("p", &[metric]);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    send(&writer, &world, &[Sent::new("t1", "seats", "c", day(3), "{\"v\":5}")]).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let before = store.committed_cut().await.unwrap();
    let march = item(&view, &s, at("2026-03-10T00:00:00Z")).unwrap();
    let bill = billed(&rater.rate(&view, vec![march.clone()], &before).await.unwrap()[0]);
    let named = Sent::new("t2", "seats", "", day(4), "{\"v\":2}").of_subscription("s");
    send(&writer, &world, &[named]).await;
    let now = store.committed_cut().await.unwrap();
    let changes = rater.changed_subscriptions(&view, march.to, &before, &now).await.unwrap();
    assert!(changes.touch(&march));
    let adjusted = rater.adjustments(&view, vec![bill], &now).await.unwrap();
    assert_eq!(told(&adjusted[0]), [(String::new(), "2".to_owned(), 200)]);
}

#[tokio::test]
async fn another_number_of_shards_gives_the_same_fees() {
    let mut world = World::new();
    let (calls, level) = (world.count_metric("calls"), world.metric("level", Aggregation::WeightedSum, Some("v")));
    world.metrics[1].recurring = true;
    let plan = world.plan("p", &[calls, level]);
    let mut events = Vec::new();
    for number in 0..40 {
        let customer = world.customer(&format!("c{}", number / 2));
        world.subscription(customer, &format!("s{number}"), plan, day(0), None);
        for (place, code) in ["calls", "level"].into_iter().enumerate() {
            let (id, name) = (format!("t{number}-{place}"), format!("c{}", number / 2));
            events.push(Sent::new(&id, code, &name, day(number % 28), &format!("{{\"v\":{number}}}")));
        }
    }
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    send(&writer, &world, &events).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let cut = store.committed_cut().await.unwrap();
    let items: Vec<RatingItem> = world.subscriptions.iter().map(|s| item(&view, s, day(40)).unwrap()).collect();
    let mut by_number = Vec::new();
    for shards in [1, 2, 5] {
        let mut fees = Vec::new();
        for index in 0..shards {
            let share = Shard::new(index, shards).unwrap().of(items.clone());
            for rated in rater.rate(&view, share, &cut).await.unwrap() {
                fees.push((rated.item.subscription, rated.fees.unwrap()));
            }
        }
        fees.sort_by_key(|(subscription, _)| *subscription);
        by_number.push(fees);
    }
    assert_eq!(by_number[0].len(), 40);
    assert!(by_number.iter().all(|fees| *fees == by_number[0]));
}
