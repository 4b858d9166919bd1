//! What bad input comes to (ARCHITECTURE.md has the table): one bad event never keeps a period from its bill.

use crate::fixtures::{World, charge, day};
use crate::rating::{item, rate};
use crate::store::{Sent, fresh_store, send, snapshot_of};
use domain::catalog::{Aggregation, ChargeModel};
use domain::pricing::PriceModel;
use serde_json::json;
use std::sync::Arc;

/// JSON text of the property, and what a sum makes of it: a number, nothing (missing), or unusable.
const VALUES: [(Option<&str>, Option<&str>, bool); 16] = [
    (Some("5"), Some("5"), false),
    (Some("\"2.5\""), Some("2.5"), false),
    (Some("-1e1"), Some("-10"), false),
    (None, None, false),
    (Some("null"), None, true),
    (Some("\"abc\""), None, true),
    (Some("\"\""), None, true),
    (Some("\" 5\""), None, true),
    (Some("\"0x10\""), None, true),
    (Some("\"NaN\""), None, true),
    (Some("\"-Infinity\""), None, true),
    (Some("true"), None, true),
    (Some("[5]"), None, true),
    (Some("{\"v\":5}"), None, true),
    (Some("1e39"), None, true),
    (Some("0.000000000000000000000000000000000000001"), None, true),
];

#[tokio::test]
async fn one_bad_event_is_counted_and_keeps_no_period_from_its_bill() {
    let mut world = World::new();
    let sum = world.metric("sum", Aggregation::Sum, Some("v"));
    let quotient = world.metric("quotient", Aggregation::Custom, None);
    world.metrics[1].expression = Some("10 / (v - 5)".into());
    let plan = world.plan("p", &[sum, quotient]);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let mut events = Vec::new();
    for (place, (value, _, _)) in VALUES.iter().enumerate() {
        let properties = value.map_or("{}".to_owned(), |value| format!("{{\"v\":{value}}}"));
        for code in ["sum", "quotient"] {
            events.push(Sent::new(&format!("{code}{place}"), code, "c", day(2), &properties));
        }
    }
    send(&writer, &world, &events).await;
    let view = Arc::new(world.view());
    let rated = rate(&store, &view, vec![item(&view, &s, day(2)).unwrap()]).await;
    let fees = rated[0].fees.as_ref().unwrap();
    let unusable = VALUES.iter().filter(|(_, _, unusable)| *unusable).count() as u64;
    assert_eq!((fees[0].units.to_string(), fees[0].events_count, fees[0].invalid_count), ("-2.5".into(), 16, unusable));
    // 5 divides by zero, and an expression has no value where its property is missing; 10 / −2.5 and 10 / −15 are left.
    let custom = &fees[1];
    assert_eq!((custom.events_count, custom.invalid_count), (16, unusable + 2));
    assert_eq!(custom.units.to_string(), "-4.66666666666666666667");
}

#[tokio::test]
async fn an_amount_that_no_ledger_can_hold_names_its_metric_and_keeps_only_its_own_subscription_from_a_bill() {
    let mut world = World::new();
    let sum = world.metric("tokens", Aggregation::Sum, Some("v"));
    let plan = world.plan_with("p", vec![charge(sum, ChargeModel::Standard, json!({"amount": "1"}))]);
    let (heavy, light) = (world.customer("heavy"), world.customer("light"));
    let heavy = world.subscription(heavy, "a", plan, day(0), None);
    let light = world.subscription(light, "b", plan, day(0), None);
    let (writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    // 92,233,720,368,547,758.07 is the greatest amount of cents in 64 bits.
    let events = [
        Sent::new("t1", "tokens", "heavy", day(2), r#"{"v":92233720368547758.08}"#),
        Sent::new("t2", "tokens", "light", day(2), r#"{"v":92233720368547758.07}"#),
    ];
    send(&writer, &world, &events).await;
    let view = Arc::new(world.view());
    let items = [&heavy, &light].map(|subscription| item(&view, subscription, day(2)).unwrap()).to_vec();
    let rated = rate(&store, &view, items).await;
    let problem = rated[0].fees.as_ref().unwrap_err().to_string();
    assert!(problem.contains("tokens"), "{problem}");
    assert_eq!(rated[1].fees.as_ref().unwrap()[0].amount_cents.0, i64::MAX);
}

#[tokio::test]
async fn a_stretch_of_zero_length_comes_to_nothing() {
    let mut world = World::new();
    let aggregations = [Aggregation::WeightedSum, Aggregation::Average, Aggregation::Sum, Aggregation::Latest];
    let metrics: Vec<_> = aggregations.iter().map(|one| world.metric(&format!("{one:?}"), *one, Some("v"))).collect();
    let plan = world.plan("p", &metrics);
    let customer = world.customer("c");
    let s = world.subscription(customer, "s", plan, day(0), None);
    let (_writer, store, _) = fresh_store(snapshot_of(&[&world], &[])).await;
    let view = Arc::new(world.view());
    let mut empty = item(&view, &s, day(2)).unwrap();
    (empty.from, empty.to) = (day(2), day(2));
    let rated = rate(&store, &view, vec![empty]).await;
    assert!(rated[0].fees.as_ref().unwrap().iter().all(|fee| fee.amount_cents.0 == 0 && fee.events_count == 0));
}

#[test]
fn prices_that_cannot_be_exact_or_contradict_each_other_are_refused_with_range_and_field() {
    let faults = |model, properties| -> Vec<String> {
        PriceModel::parse(model, &properties).unwrap_err().iter().map(ToString::to_string).collect()
    };
    let forty_digits = "1234567890123456789012345678901234567890";
    assert!(
        faults(ChargeModel::Standard, json!({"amount": forty_digits}))[0].starts_with("amount has more than 38 digits")
    );
    let ranges = |bounds: [(i64, Option<i64>); 2]| {
        let range =
            |(from, to)| json!({"from_value": from, "to_value": to, "per_unit_amount": "1", "flat_amount": "0"});
        json!({"graduated_ranges": bounds.map(range)})
    };
    for (bounds, place) in [
        ([(0, Some(10)), (5, None)], "graduated_ranges[1].from_value"),
        ([(0, Some(10)), (20, None)], "graduated_ranges[1].from_value"),
        ([(0, Some(10)), (11, Some(20))], "graduated_ranges[1].to_value"),
        ([(0, None), (11, None)], "graduated_ranges[0].to_value"),
        ([(3, Some(10)), (11, None)], "graduated_ranges[0].from_value"),
    ] {
        let told = faults(ChargeModel::Graduated, ranges(bounds));
        assert!(told.iter().any(|fault| fault.starts_with(place)), "{bounds:?}: {told:?}");
    }
    assert!(!faults(ChargeModel::Package, json!({"amount": "1", "package_size": 0})).is_empty());
    assert!(!faults(ChargeModel::Standard, json!({"amount": "-1"})).is_empty());
    assert!(!faults(ChargeModel::Standard, json!({"amount": "NaN"})).is_empty());
    assert!(!faults(ChargeModel::Standard, json!({})).is_empty());
}

#[test]
fn a_zone_that_does_not_exist_keeps_only_its_own_customer_from_a_bill() {
    let mut world = World::new();
    let metric = world.count_metric("m");
    let plan = world.plan("p", &[metric]);
    let (lost, fine) = (world.customer_in("lost", "Mars/Olympus"), world.customer("fine"));
    let (lost, fine) =
        (world.subscription(lost, "a", plan, day(0), None), world.subscription(fine, "b", plan, day(0), None));
    let view = world.view();
    let problem = view.usage_calendar(&lost).unwrap_err().to_string();
    assert!(problem.contains("'Mars/Olympus' is not an IANA time zone"), "{problem}");
    assert!(view.usage_calendar(&fine).unwrap().is_some());
}
