//! A closed period rated again gives the same fees (I3), and recurring and prorated usage goes on from period to period.

use crate::fixtures::{World, at, charge, day};
use crate::store::{Sent, execute, fresh_store, send, snapshot_of};
use domain::catalog::{Aggregation, ChargeModel, Subscription};
use domain::period::Proration;
use domain::position::Cut;
use domain::time::Timestamp;
use rater::{FeeToProve, Figures, RatedItem, Rater, RatingItem, RatingView, Since};
use serde_json::json;
use std::sync::Arc;

async fn rate_at(
    rater: &Rater,
    view: &Arc<RatingView>,
    subscription: &Subscription,
    instant: Timestamp,
    cut: &Cut,
) -> RatedItem {
    let period = view.usage_calendar(subscription).unwrap().unwrap().period_containing(instant);
    let (from, to) = period.clipped(subscription.started_at, subscription.ended_at).unwrap();
    let item = RatingItem { subscription: subscription.id, period, from, to, minimum_share: Proration::WHOLE };
    rater.rate(view, vec![item], cut).await.unwrap().remove(0)
}

#[tokio::test]
async fn a_closed_period_stays_what_it_was_after_late_events_voids_edits_replays_and_merges() {
    let mut world = World::new();
    let metric = world.metric("tokens", Aggregation::Sum, Some("v"));
    let plan = world.plan_with("p", vec![charge(metric, ChargeModel::Standard, json!({"amount": "0.01"}))]);
    let customer = world.customer_in("c", "Asia/Tokyo");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (writer, store, config) = fresh_store(snapshot_of(&[&world], &[])).await;
    let event =
        |id: &str, when: &str, v: &str| Sent::new(id, "tokens", "c", at(when), &format!("{{\"v\":{v},\"w\":1}}"));
    send(&writer, &world, &[event("t1", "2026-01-10T00:00:00Z", "100"), event("t2", "2026-01-11T00:00:00Z", "20")])
        .await;
    let rater = Rater::new(store.clone());
    let cut = store.committed_cut().await.unwrap();
    let january = at("2026-01-15T00:00:00Z");
    let before = rate_at(&rater, &Arc::new(world.view()), &s, january, &cut).await;
    let fee = before.fees.as_ref().unwrap()[0].clone();
    assert_eq!((fee.units.to_string().as_str(), fee.amount_cents.0, fee.events_count), ("120", 120, 2));

    // Late events, a copy, a void; then a new price, another property, another timezone, a younger subscription.
    send(&writer, &world, &[event("t3", "2026-01-12T00:00:00Z", "3"), event("t1", "2026-01-13T00:00:00Z", "100")])
        .await;
    writer.void(world.organization, "t2", at("2026-02-10T00:00:00Z")).await.unwrap();
    // Everything sent once more, and all parts of the store merged into one.
    send(&writer, &world, &[event("t1", "2026-01-10T00:00:00Z", "100"), event("t2", "2026-01-11T00:00:00Z", "20")])
        .await;
    for table in ["events", "event_ids"] {
        execute(&config, format!("OPTIMIZE TABLE {}.{table} FINAL", config.database)).await;
    }
    let edited = at("2026-02-05T00:00:00Z");
    let mut next_plan = world.plans[0].clone();
    (next_plan.version, next_plan.valid_from) = (2, edited);
    next_plan.charges[0].properties = json!({"amount": "99"});
    world.plans.push(next_plan);
    let mut next_metric = world.metrics[0].clone();
    (next_metric.version, next_metric.valid_from, next_metric.field_name) = (2, edited, Some("w".into()));
    world.metrics.push(next_metric);
    world.customers[0].timezones.push((edited, "America/New_York".into()));
    world.subscription(customer, "younger", plan, day(0), None);

    let view = Arc::new(world.view());
    let again = rate_at(&rater, &view, &s, january, &cut).await;
    assert_eq!(again.item, before.item);
    assert_eq!(again.fees, before.fees);
    let to_prove = FeeToProve {
        item: before.item.clone(),
        plan,
        plan_version: 1,
        charge: fee.charge.id,
        metric_version: 1,
        line_key: fee.line.key(),
        cut: cut.clone(),
        billed: Figures::from(fee),
    };
    let proof = rater.prove(&view, &to_prove).await.unwrap();
    assert!(proof.holds, "{proof:?}");
    assert_eq!(proof.since, Since { late_events: 1, voided_events: 1 });
    let now = store.committed_cut().await.unwrap();
    let adjusted = rate_at(&rater, &view, &s, january, &now).await;
    assert_eq!(adjusted.fees.unwrap()[0].units.to_string(), "103");
}

#[tokio::test]
async fn recurring_units_stay_and_count_for_their_days() {
    let mut world = World::new();
    let metric = world.metric("seats", Aggregation::Sum, Some("v"));
    world.metrics[0].recurring = true;
    let mut prorated = charge(metric, ChargeModel::Standard, json!({"amount": "1"}));
    prorated.prorated = true;
    let plan = world.plan_with("p", vec![prorated]);
    let customer = world.customer("c");
    let start = at("2024-01-01T00:00:00Z");
    let s = world.subscription(customer, "s", plan, start, Some(at("2024-02-12T06:00:00Z")));
    let next = world.subscription(customer, "s", plan, at("2024-02-12T06:00:00Z"), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    send(&writer, &world, &[Sent::new("t1", "seats", "c", at("2024-01-02T00:00:00Z"), "{\"v\":5}")]).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let cut = store.committed_cut().await.unwrap();
    for (subscription, instant, units, cents, events) in [
        // 30 of 31 days; 12 of 29, carried over; 18 of 29, carried over from the subscription before.
        (&s, "2024-01-15T00:00:00Z", "4.83871", 484, 1),
        (&s, "2024-02-05T00:00:00Z", "2.06897", 207, 0),
        (&next, "2024-02-20T00:00:00Z", "3.10345", 310, 0),
        (&next, "2024-03-20T00:00:00Z", "5", 500, 0),
    ] {
        let rated = rate_at(&rater, &view, subscription, at(instant), &cut).await;
        let fee = &rated.fees.as_ref().unwrap()[0];
        assert_eq!(
            (fee.units.to_string().as_str(), fee.amount_cents.0, fee.events_count),
            (units, cents, events),
            "{instant}"
        );
        let to_prove = FeeToProve {
            item: rated.item.clone(),
            plan,
            plan_version: 1,
            charge: fee.charge.id,
            metric_version: 1,
            line_key: fee.line.key(),
            cut: cut.clone(),
            billed: Figures::from(fee.clone()),
        };
        assert!(rater.prove(&view, &to_prove).await.unwrap().holds);
    }
}

#[tokio::test]
async fn periods_of_a_recurring_metric_that_are_rated_at_once_do_not_take_from_one_another() {
    let mut world = World::new();
    let seats = world.metric("seats", Aggregation::Sum, Some("v"));
    let users = world.metric("users", Aggregation::UniqueCount, Some("v"));
    for metric in &mut world.metrics {
        metric.recurring = true;
    }
    let plan = world.plan("p", &[seats, users]);
    let customer = world.customer("c");
    let ended = at("2026-02-12T06:00:00Z");
    let first = world.subscription(customer, "s", plan, day(0), Some(ended));
    let next = world.subscription(customer, "s", plan, ended, None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let event = |code: &str, number: i64| Sent::new(&format!("{code}{number}"), code, "c", day(number), "{\"v\":5}");
    send(&writer, &world, &[event("seats", 2), event("seats", 33), event("seats", 50), event("users", 2)]).await;
    let (rater, view) = (Rater::new(store.clone()), Arc::new(world.view()));
    let cut = store.committed_cut().await.unwrap();
    let item = |subscription: &Subscription, instant: &str| {
        let period = view.usage_calendar(subscription).unwrap().unwrap().period_containing(at(instant));
        let (from, to) = period.clipped(subscription.started_at, subscription.ended_at).unwrap();
        RatingItem { subscription: subscription.id, period, from, to, minimum_share: Proration::WHOLE }
    };
    let january = "2026-01-15T00:00:00Z";
    let (february, march) = ("2026-02-20T00:00:00Z", "2026-03-20T00:00:00Z");
    let items =
        vec![item(&first, january), item(&first, "2026-02-05T00:00:00Z"), item(&next, february), item(&next, march)];
    let together = rater.rate(&view, items.clone(), &cut).await.unwrap();
    let units =
        |rated: &RatedItem| rated.fees.as_ref().unwrap().iter().map(|fee| fee.units.to_string()).collect::<Vec<_>>();
    assert_eq!(together.iter().map(units).collect::<Vec<_>>(), [["5", "1"], ["10", "1"], ["15", "1"], ["15", "1"]]);
    for (one, with_others) in items.into_iter().zip(&together) {
        let alone = rater.rate(&view, vec![one], &cut).await.unwrap().remove(0);
        assert_eq!(alone.fees, with_others.fees);
    }
}
