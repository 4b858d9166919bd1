//! The cases that billing systems are known to get wrong.

use crate::fixtures::{World, at, charge, day};
use crate::naive::{self, NaiveFee};
use crate::store::{Sent, execute, fresh_store, send, snapshot_of};
use aggregator::EventStore;
use domain::catalog::{Aggregation, ChargeFilter, ChargeModel, Subscription};
use domain::period::Proration;
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use num_rational::BigRational;
use rater::{FeeToProve, Figures, RatedCharge, RatedItem, Rater, RatingItem, RatingView};
use serde_json::json;
use std::sync::Arc;

/// A cut after everything a test sends.
fn all() -> Cut {
    Cut::direct(u64::MAX >> 1)
}

/// The stretch of the period that contains `instant`.
pub fn item(view: &RatingView, subscription: &Subscription, instant: Timestamp) -> Option<RatingItem> {
    let calendar = view.usage_calendar(subscription).unwrap().unwrap();
    let period = calendar.period_containing(instant);
    let (from, to) = period.clipped(subscription.started_at, subscription.ended_at)?;
    Some(RatingItem { subscription: subscription.id, period, from, to, minimum_share: Proration::WHOLE })
}

pub async fn rate(store: &EventStore, view: &Arc<RatingView>, items: Vec<RatingItem>) -> Vec<RatedItem> {
    Rater::new(store.clone()).rate(view, items, &all()).await.unwrap()
}

fn rational(quantity: &Quantity) -> BigRational {
    naive::rational(&quantity.to_string())
}

pub fn seen(fee: &RatedCharge) -> NaiveFee {
    NaiveFee {
        units: rational(&fee.units),
        amount: rational(&fee.amount),
        cents: fee.amount_cents.0.into(),
        events_count: fee.events_count,
        invalid_count: fee.invalid_count,
        fingerprint: fee.fingerprint,
    }
}

fn to_prove(rated: &RatedItem, fee: &RatedCharge) -> FeeToProve {
    let plan = &rated.plan.as_ref().unwrap().plan;
    FeeToProve {
        item: rated.item.clone(),
        plan: plan.id,
        plan_version: plan.version,
        charge: fee.charge.id,
        metric_version: fee.metric.version,
        line_key: fee.line.key(),
        cut: all(),
        billed: Figures::from(fee.clone()),
    }
}

#[tokio::test]
async fn two_organizations_that_share_all_names_are_billed_apart() {
    let world_with = |price: &str| {
        let mut world = World::new();
        let metric = world.count_metric("api");
        let plan = world.plan_with("p", vec![charge(metric, ChargeModel::Standard, json!({ "amount": price }))]);
        let customer = world.customer("c");
        world.subscription(customer, "s", plan, day(0), None);
        world
    };
    let (one, other) = (world_with("1"), world_with("10"));
    let (writer, store, _) = fresh_store(snapshot_of(&[&one, &other], &[])).await;
    let event = |id: &str| Sent::new(id, "api", "c", day(3), "{}");
    send(&writer, &one, &[event("t1"), event("t2"), event("t3")]).await;
    send(&writer, &other, &[event("t1")]).await;

    let mut merged = World::new();
    for world in [&one, &other] {
        merged.customers.extend(world.customers.clone());
        merged.subscriptions.extend(world.subscriptions.clone());
        merged.plans.extend(world.plans.clone());
        merged.metrics.extend(world.metrics.clone());
    }
    let view = Arc::new(merged.view());
    let items = [&one, &other].map(|world| item(&view, &world.subscriptions[0], day(3)).unwrap());
    let rated = rate(&store, &view, items.to_vec()).await;
    let cents = |place: usize| rated[place].fees.as_ref().unwrap()[0].amount_cents.0;
    assert_eq!((cents(0), cents(1)), (300, 1000));
}

#[tokio::test]
async fn one_customer_with_two_subscriptions_to_one_metric_is_billed_apart() {
    let mut world = World::new();
    let metric = world.metric("tokens", Aggregation::Sum, Some("v"));
    let plan = world.plan("p", &[metric]);
    let customer = world.customer("c");
    let first = world.subscription(customer, "first", plan, day(0), None);
    let second = world.subscription(customer, "second", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let event = |id: &str, v: &str, name: &str| {
        Sent::new(id, "tokens", "c", day(2), &format!("{{\"v\":{v}}}")).of_subscription(name)
    };
    let mut foreign = event("t5", "1000", "first");
    foreign.customer = "somebody else".into();
    let sent = [event("t1", "1", "first"), event("t2", "10", "second"), event("t3", "100", ""), foreign];
    send(&writer, &world, &sent).await;
    let view = Arc::new(world.view());
    let items = [&first, &second].map(|s| item(&view, s, day(2)).unwrap());
    let rated = rate(&store, &view, items.to_vec()).await;
    let units = |place: usize| rated[place].fees.as_ref().unwrap()[0].units.to_string();
    // Unnamed usage is the older one's; names that do not fit together are nobody's.
    assert_eq!((units(0), units(1)), ("101".into(), "10".into()));
}

#[tokio::test]
async fn a_charge_that_cannot_be_priced_keeps_no_other_subscription_from_its_bill() {
    let mut world = World::new();
    let metric = world.count_metric("api");
    let good = world.plan("good", &[metric]);
    let bad = world.plan_with("bad", vec![charge(metric, ChargeModel::Standard, json!({"amount": "?"}))]);
    let customer = world.customer("c");
    let fine = world.subscription(customer, "fine", good, day(0), None);
    let broken = world.subscription(customer, "broken", bad, day(0), None);
    let (_writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let view = Arc::new(world.view());
    let items = [&broken, &fine].map(|s| item(&view, s, day(2)).unwrap());
    let rated = rate(&store, &view, items.to_vec()).await;
    assert!(rated[0].fees.as_ref().unwrap_err().to_string().contains("amount is not a decimal number"));
    assert_eq!(rated[1].fees.as_ref().unwrap()[0].amount_cents.0, 0);
}

#[tokio::test]
async fn a_least_amount_adds_what_the_fees_of_a_charge_lack_for_the_days_owed() {
    let mut world = World::new();
    let metric = world.count_metric("m");
    let mut one = charge(metric, ChargeModel::Standard, json!({"amount": "0"}));
    one.min_amount = domain::money::MinorUnits(10_000);
    for (region, price) in [("europe", "20"), ("usa", "50")] {
        one.filters.push(ChargeFilter {
            values: [("region".to_owned(), vec![region.to_owned()])].into(),
            properties: json!({ "amount": price }),
            invoice_display_name: None,
        });
    }
    let plan = world.plan_with("p", vec![one]);
    let customer = world.customer("c");
    let start = at("2026-01-08T00:00:00Z");
    let s = world.subscription(customer, "s", plan, start, Some(at("2026-02-25T08:00:00Z")));
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &["region"])).await;
    let event = |id: &str, region: &str| {
        Sent::new(id, "m", "c", at("2026-02-25T07:59:00Z"), &format!("{{\"region\":\"{region}\"}}"))
    };
    send(&writer, &world, &[event("t1", "usa"), event("t2", "europe")]).await;
    let view = Arc::new(world.view());
    let mut stretch = item(&view, &s, at("2026-02-10T00:00:00Z")).unwrap();
    stretch.minimum_share = stretch.period.proration(stretch.from, stretch.to);
    let rated = rate(&store, &view, vec![stretch]).await;
    let cents: Vec<i64> = rated[0].fees.as_ref().unwrap().iter().map(|fee| fee.amount_cents.0).collect();
    assert_eq!(cents, [2000, 5000, 0, 1929]);
}

#[tokio::test]
async fn prices_that_look_at_single_events_are_exact_too() {
    let mut world = World::new();
    let metric = world.metric("paid", Aggregation::Sum, Some("v"));
    let percentage = json!({"rate": "1", "fixed_amount": "1", "per_transaction_max_amount": "12", "per_transaction_min_amount": "1.75"});
    let plan = world.plan_with(
        "p",
        vec![
            charge(metric, ChargeModel::Percentage, percentage),
            charge(metric, ChargeModel::Dynamic, json!({"grouped_by": ["k"]})),
        ],
    );
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let event = |id: &str, v: &str, k: &str, precise: &str| {
        let mut sent = Sent::new(
            id,
            "paid",
            "c",
            day(2),
            &format!("{{\"v\":\"{v}\",\"k\":\"{k}\",\"unit_price\":\"0.5\",\"quantity\":3}}"),
        );
        sent.precise_total = precise.into();
        sent
    };
    send(
        &writer,
        &world,
        &[event("t1", "100", "a", "10.1"), event("t2", "1000", "b", "901.9"), event("t3", "10000", "b", "")],
    )
    .await;
    let view = Arc::new(world.view());
    let rated = rate(&store, &view, vec![item(&view, &s, day(2)).unwrap()]).await;
    let fees: Vec<_> = rated[0]
        .fees
        .as_ref()
        .unwrap()
        .iter()
        .map(|fee| (fee.line.key(), fee.units.to_string(), fee.amount_cents.0))
        .collect();
    assert_eq!(
        fees,
        [
            (String::new(), "11100".into(), 2500),
            (":[\"a\"]".into(), "100".into(), 10),
            (":[\"b\"]".into(), "11000".into(), 902 + 150),
        ]
    );
}

#[tokio::test]
async fn a_fee_is_proved_from_its_events_and_a_change_behind_the_products_back_is_found() {
    let mut world = World::new();
    let metric = world.metric("tokens", Aggregation::Sum, Some("v"));
    let mut one = charge(metric, ChargeModel::Standard, json!({"amount": "0.01", "grouped_by": ["region"]}));
    one.min_amount = domain::money::MinorUnits(500);
    let plan = world.plan_with("p", vec![one]);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (writer, store, config) = fresh_store(snapshot_of(&[&world], &["region"])).await;
    let events: Vec<Sent> = (0..50_i64)
        .map(|n| {
            let region = ["eu", "us"][usize::try_from(n).unwrap() % 2];
            Sent::new(
                &format!("t{n}"),
                "tokens",
                "c",
                Timestamp(day(2).0 + n),
                &format!("{{\"v\":{n},\"region\":\"{region}\"}}"),
            )
        })
        .collect();
    send(&writer, &world, &events).await;
    let view = Arc::new(world.view());
    let rated = rate(&store, &view, vec![item(&view, &s, day(2)).unwrap()]).await;
    let fees = rated[0].fees.as_ref().unwrap();
    assert_eq!(fees.len(), 2);
    let rater = Rater::new(store);
    for fee in fees {
        let proof = rater.prove(&view, &to_prove(&rated[0], fee)).await.unwrap();
        assert!(proof.holds, "{proof:?}");
        let page = aggregator::reads::PageRequest { skip: 5, limit: 10 };
        let members = rater.events_of_fee(&view, &to_prove(&rated[0], fee), page).await.unwrap();
        assert_eq!(members.len(), 10);
    }
    delete_one(&config, "t3").await;
    let holds: Vec<bool> = {
        let mut verdicts = Vec::new();
        for fee in fees {
            verdicts.push(rater.prove(&view, &to_prove(&rated[0], fee)).await.unwrap().holds);
        }
        verdicts
    };
    // t3 is in the group "us", the second.
    assert_eq!(holds, [true, false]);
}

/// Deletes a row of the rating table, as somebody with a database client might.
async fn delete_one(config: &aggregator::StoreConfig, transaction_id: &str) {
    let database = &config.database;
    let deletion = format!(
        "ALTER TABLE {database}.events DELETE WHERE transaction_id = '{transaction_id}' SETTINGS mutations_sync = 2"
    );
    execute(config, deletion).await;
}
