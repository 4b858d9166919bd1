//! Random catalogs and events: every fee of every aggregation × price model × filter × group × period × timezone, recurring and
//! prorated or not, equals what plain loops with rational numbers come to ([`crate::naive`]).

use crate::fixtures::{World, charge, day};
use crate::naive::{self, NaiveEvent, NaiveFee, REGIONS, Stretch, WORTHS};
use crate::rating::{item, rate, seen};
use crate::store::{Sent, fresh_store, send, snapshot_of};
use domain::catalog::{Aggregation, BillingTime, ChargeFilter, ChargeModel, Interval, MetricFilter};
use domain::time::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a random case is made of.
#[derive(Clone, Debug)]
struct Case {
    zones: Vec<usize>,
    intervals: Vec<usize>,
    charges: Vec<RandomCharge>,
    metric_filter: bool,
    recurring: bool,
    subscriptions: Vec<RandomSubscription>,
    events: Vec<RandomEvent>,
}

/// Metric, price model, seed of its prices, whether it is grouped and filtered (bits), whether it is prorated.
type RandomCharge = (usize, usize, u32, usize, bool);
/// Customer, name, day it starts, days it lasts, whether its periods are counted from its start.
type RandomSubscription = (usize, usize, i64, Option<i64>, bool);
/// Metric, customer, name, microseconds after the first day, worth, region, kind, whether it removes, whether it states a cost.
type RandomEvent = (usize, usize, usize, i64, usize, usize, usize, bool, bool);

const ZONES: [&str; 4] = ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Apia"];
const INTERVALS: [Interval; 5] =
    [Interval::Weekly, Interval::Monthly, Interval::Quarterly, Interval::Semiannual, Interval::Yearly];
const MODELS: [ChargeModel; 8] = [
    ChargeModel::Standard,
    ChargeModel::Graduated,
    ChargeModel::Volume,
    ChargeModel::Package,
    ChargeModel::Percentage,
    ChargeModel::GraduatedPercentage,
    ChargeModel::Custom,
    ChargeModel::Dynamic,
];
const METRICS: [(&str, Aggregation); 9] = [
    ("count", Aggregation::Count),
    ("sum", Aggregation::Sum),
    ("max", Aggregation::Max),
    ("unique", Aggregation::UniqueCount),
    ("min", Aggregation::Min),
    ("average", Aggregation::Average),
    ("latest", Aggregation::Latest),
    ("weighted", Aggregation::WeightedSum),
    ("custom", Aggregation::Custom),
];

fn any_case() -> impl Strategy<Value = Case> {
    let subscription = (0..2_usize, 0..3_usize, 0_i64..40, prop::option::of(1_i64..60), any::<bool>());
    // Half of the events lie on whole days, where periods begin and end.
    let when = prop_oneof![(-5_i64..75).prop_map(|d| d * 86_400_000_000), -432_000_000_000_i64..6_480_000_000_000];
    let event = (
        0..METRICS.len(),
        0..4_usize,
        0..4_usize,
        when,
        0..WORTHS.len(),
        0..REGIONS.len(),
        0..REGIONS.len(),
        any::<bool>(),
        any::<bool>(),
    );
    let one_charge = (0..METRICS.len(), 0..MODELS.len(), any::<u32>(), 0..4_usize, prop::bool::weighted(0.3));
    (
        prop::collection::vec(0..ZONES.len(), 2),
        prop::collection::vec(0..INTERVALS.len(), 2),
        prop::collection::vec(one_charge, 1..8),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(subscription, 1..5),
        prop::collection::vec(event, 0..160),
    )
        .prop_map(|(zones, intervals, charges, metric_filter, recurring, subscriptions, events)| Case {
            zones,
            intervals,
            charges,
            metric_filter,
            recurring,
            subscriptions,
            events,
        })
}

fn prices(model: ChargeModel, seed: u32) -> Value {
    let (a, b) = (format!("0.{}", 1 + seed % 97), format!("{}.05", seed % 7));
    let ranges = |price: &str| {
        json!([
            {"from_value": 0, "to_value": 2, price: a, "flat_amount": b},
            {"from_value": 3, "to_value": 7, price: b, "flat_amount": "0"},
            {"from_value": 8, "to_value": null, price: "0.001", "flat_amount": a},
        ])
    };
    match model {
        ChargeModel::Standard if seed.is_multiple_of(5) => json!({"amount": a, "min_price": "0.3", "max_price": "7"}),
        ChargeModel::Standard => json!({ "amount": a }),
        ChargeModel::Graduated => json!({ "graduated_ranges": ranges("per_unit_amount") }),
        ChargeModel::GraduatedPercentage => json!({ "graduated_percentage_ranges": ranges("rate") }),
        ChargeModel::Volume => json!({ "volume_ranges": ranges("per_unit_amount") }),
        ChargeModel::Package => json!({"amount": a, "package_size": 1 + seed % 3, "free_units": seed % 4}),
        ChargeModel::Custom if seed.is_multiple_of(2) => json!({ "custom_amount": b }),
        ChargeModel::Custom => json!({ "unit_price": a }),
        ChargeModel::Dynamic => json!({"price_field": "v", "quantity_field": "v"}),
        ChargeModel::Percentage => percentage_prices(seed, &a, &b),
    }
}

/// Each option is there or not by a bit of the seed.
fn percentage_prices(seed: u32, a: &str, b: &str) -> Value {
    let mut prices = json!({ "rate": a });
    let options: [(&str, Value); 5] = [
        ("fixed_amount", json!(b)),
        ("free_units_per_events", json!(1 + seed % 3)),
        ("free_units_per_total_aggregation", json!(format!("{}.5", seed % 6))),
        ("per_transaction_min_amount", json!("0.01")),
        ("per_transaction_max_amount", json!("2.5")),
    ];
    for (bit, (key, value)) in options.into_iter().enumerate() {
        if seed >> (8 + bit) & 1 == 1 {
            prices[key] = value;
        }
    }
    prices
}

/// Proration changes sums, counts and expressions; with prices by range it is per event, which the golden cases check.
fn may_be_prorated(metric: usize, model: usize) -> bool {
    use Aggregation::{Count, Custom, Sum};
    matches!(METRICS[metric].1, Count | Sum | Custom)
        && matches!(MODELS[model], ChargeModel::Standard | ChargeModel::Package | ChargeModel::Volume)
}

fn world_of(case: &Case) -> World {
    let mut world = World::new();
    for (code, aggregation) in METRICS {
        world.metric(code, aggregation, (aggregation != Aggregation::Count).then_some("v"));
        let metric = world.metrics.last_mut().unwrap();
        // The catalog lets no minimum, average or expression persist.
        let may_persist = !matches!(aggregation, Aggregation::Min | Aggregation::Average | Aggregation::Custom);
        metric.recurring = case.recurring && may_persist;
        metric.expression = (aggregation == Aggregation::Custom).then(|| "(v + 1) * -v / 4".to_owned());
    }
    if case.metric_filter {
        world.metrics[1].filters = vec![MetricFilter { key: "kind".into(), values: vec!["eu".into(), "5".into()] }];
    }
    let plans = [0, 1].map(|plan| {
        let charges = case.charges.iter().skip(plan).map(|given| charge_of(&world, given)).collect();
        let id = world.plan_with(&format!("p{plan}"), charges);
        world.plans[plan].interval = INTERVALS[case.intervals[plan]];
        id
    });
    let customers = [0, 1].map(|number| world.customer_in(&format!("c{number}"), ZONES[case.zones[number]]));
    for (customer, name, start, length, anniversary) in &case.subscriptions {
        let end = length.map(|days| day(start + days));
        let plan = plans[(customer + name) % 2];
        world.subscription(customers[*customer], &format!("s{name}"), plan, day(*start), end);
        let made = world.subscriptions.last_mut().unwrap();
        made.billing_time = if *anniversary { BillingTime::Anniversary } else { BillingTime::Calendar };
    }
    world
}

fn charge_of(world: &World, (metric, model, seed, shape, prorated): &RandomCharge) -> domain::catalog::Charge {
    let mut one = charge(world.metrics[*metric].id, MODELS[*model], prices(MODELS[*model], *seed));
    one.prorated = *prorated && may_be_prorated(*metric, *model);
    if shape & 1 == 1 {
        one.properties["grouped_by"] = json!(["kind"]);
    }
    if shape & 2 == 2 {
        let filters = [json!({"region": ["eu", "us"]}), json!({"region": ["5"], "kind": ["*any value*"]})];
        for (place, values) in filters.into_iter().enumerate() {
            let other = seed.wrapping_add(u32::try_from(place).unwrap() + 1);
            one.filters.push(ChargeFilter {
                values: serde_json::from_value(values).unwrap(),
                properties: whole_prices(&one.properties, MODELS[*model], other),
                invoice_display_name: None,
            });
        }
    }
    one
}

/// Prices of a filter that leave nothing of the charge's own in force: what one has and the other has not is spelled out.
fn whole_prices(own: &Value, model: ChargeModel, seed: u32) -> Value {
    let mut filter = prices(model, seed);
    for key in own.as_object().unwrap().keys().filter(|key| *key != "grouped_by") {
        if filter.get(key).is_none() {
            filter[key] = match (model, key.as_str()) {
                // Of these two the first that is there counts.
                (ChargeModel::Custom, _) => continue,
                (_, "free_units_per_events") => json!(0),
                _ => json!("0"),
            };
        }
    }
    filter
}

fn events_of(case: &Case) -> Vec<NaiveEvent> {
    let mut events = Vec::new();
    for (number, event) in case.events.iter().enumerate() {
        let (metric, customer, name, micros, worth, region, kind, removes, states) = event;
        let mut properties = Vec::new();
        for (key, text) in [("v", WORTHS[*worth].0), ("region", REGIONS[*region].0), ("kind", REGIONS[*kind].0)] {
            properties.extend(text.map(|text| format!("\"{key}\":{text}")));
        }
        if *removes {
            properties.push("\"operation_type\":\"remove\"".into());
        }
        let named = |which: &usize, prefix: &str| if *which < 3 { format!("{prefix}{which}") } else { String::new() };
        let (customer, subscription) = match (named(customer, "c"), named(name, "s")) {
            (customer, subscription) if customer.is_empty() && subscription.is_empty() => ("c0".into(), String::new()),
            names => names,
        };
        let sent = Sent {
            transaction_id: format!("t{number}"),
            code: METRICS[*metric].0.into(),
            customer,
            subscription,
            timestamp: day(0).0 + micros,
            properties: format!("{{{}}}", properties.join(",")),
            precise_total: if *states { "12.345".into() } else { String::new() },
        };
        events.push(NaiveEvent { sent, worth: *worth, region: *region, kind: *kind, removes: *removes });
    }
    events
}

/// Rates every subscription's period around `instant` and compares fee by fee; answers how many fees there were.
async fn check_case(case: &Case, extracted: &[&str], instant: Timestamp) -> usize {
    let world = world_of(case);
    let events = events_of(case);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], extracted)).await;
    let sent: Vec<Sent> = events.iter().map(|event| event.sent.clone()).collect();
    let (first, second) = sent.split_at(sent.len() / 2);
    send(&writer, &world, first).await;
    send(&writer, &world, second).await;
    send(&writer, &world, first).await;
    let view = Arc::new(world.view());
    let items: Vec<_> = world.subscriptions.iter().filter_map(|s| item(&view, s, instant)).collect();
    let mut compared = 0;
    for rated in rate(&store, &view, items).await {
        let subscription = view.subscription(rated.item.subscription).unwrap();
        let plan = &rated.plan.as_ref().unwrap().plan;
        let stretch = Stretch { from: rated.item.from, to: rated.item.to, period: rated.item.period };
        let wanted: Vec<_> =
            plan.charges.iter().map(|charge| naive::fees(&world, charge, subscription, &stretch, &events)).collect();
        let fits = |fee: &NaiveFee| i64::try_from(fee.cents.clone()).is_ok();
        if !wanted.iter().flat_map(BTreeMap::values).all(fits) {
            let problem = rated.fees.as_ref().unwrap_err();
            assert!(problem.to_string().contains("passes 9,223,372,036,854,775,807 minor units"), "{problem}");
            continue;
        }
        let fees = rated.fees.as_ref().unwrap();
        for (charge, of_charge) in plan.charges.iter().zip(wanted) {
            let got: BTreeMap<String, NaiveFee> =
                fees.iter().filter(|fee| fee.charge.id == charge.id).map(|fee| (fee.line.key(), seen(fee))).collect();
            let metric = naive::metric_of(&world, charge);
            assert_eq!(got, of_charge, "{} {:?} {:?}", subscription.external_id, metric, charge);
            compared += got.len();
        }
    }
    compared
}

/// Random cases a run, of some dozens of fees each; more with `TOLLGATE_TEST_ROUNDS` (a soak).
fn rounds() -> i64 {
    std::env::var("TOLLGATE_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(32)
}

#[tokio::test]
async fn every_fee_equals_that_of_plain_loops() {
    let mut runner = TestRunner::new(Config::default());
    let mut compared = 0;
    for round in 0..rounds() {
        let case = any_case().new_tree(&mut runner).unwrap().current();
        // Printed when the test fails: engines are too slow to shrink a case by.
        println!("{case:?}");
        let extracted: &[&str] = if round % 3 == 0 { &[] } else { &["kind", "operation_type", "region"] };
        compared += check_case(&case, extracted, day(round % 24 * 3)).await;
    }
    println!("{compared} fees compared");
    assert!(compared > 0);
}
