//! What a price says beside its amount (unit amount, details), and what it reads of single events.

use super::dynamic::Dynamic;
use super::*;
use serde_json::json;

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn parsed(model: ChargeModel, properties: serde_json::Value) -> PriceModel {
    PriceModel::parse(model, &properties).unwrap()
}

/// Events of so many units, each with its prorated ones.
fn usage(events: &[(&str, &str)]) -> UsageToPrice {
    let events: Vec<EventUnits> = events
        .iter()
        .map(|(units, prorated)| EventUnits { units: quantity(units), prorated_units: quantity(prorated) })
        .collect();
    UsageToPrice {
        units: events.iter().map(|event| &event.prorated_units).sum(),
        full_units: Some(events.iter().map(|event| &event.units).sum()),
        events_count: events.len() as u64,
        events: Some(events),
        dynamic_total: None,
    }
}

fn ranges() -> serde_json::Value {
    json!({"graduated_ranges": [
        {"from_value": 0, "to_value": 10, "per_unit_amount": "5", "flat_amount": "100"},
        {"from_value": 11, "to_value": 20, "per_unit_amount": "4", "flat_amount": "50"},
        {"from_value": 21, "to_value": null, "per_unit_amount": "3"}]})
}

#[test]
fn a_prorated_graduated_event_pays_where_it_lies_and_a_range_once_entered_keeps_its_flat_amount() {
    let model = parsed(ChargeModel::Graduated, ranges());
    // To 8: 40, of which a half. To 12: 2 × 5 + 2 × 4, of which a quarter. Back to 6: the same 18 and 2 × 5, of which a half. Flat: 150.
    let priced = model.price(&usage(&[("8", "4"), ("4", "1"), ("-6", "-3")])).unwrap();
    assert_eq!(priced.amount, quantity("160.5"));
    // Per whole unit, of which 6 are left.
    assert_eq!(priced.unit_amount, quantity("26.75"));
    assert_eq!(model.details(&usage(&[("8", "4")])).unwrap(), json!({}), "events priced where they lie fill no ranges");
}

#[test]
fn one_bound_clamps_alone_and_two_may_be_equal() {
    let amount = |properties, units| {
        let priced = parsed(ChargeModel::Standard, properties).price(&UsageToPrice::of(quantity(units), 1));
        priced.unwrap().amount.to_string()
    };
    assert_eq!(amount(json!({"amount": "2", "min_price": "5"}), "1"), "5");
    assert_eq!(amount(json!({"amount": "2", "max_price": "5"}), "9"), "5");
    assert_eq!(amount(json!({"amount": "2", "min_price": "5", "max_price": "5"}), "9"), "5");
}

#[test]
fn a_simulation_is_one_imagined_event_of_all_units() {
    let standard = parsed(ChargeModel::Standard, json!({"amount": "2"}));
    assert_eq!(standard.price(&UsageToPrice::simulated(quantity("3"))).unwrap().amount, quantity("6"));
    let first_is_free = parsed(ChargeModel::Percentage, json!({"rate": "10", "free_units_per_events": 1}));
    assert!(first_is_free.price(&UsageToPrice::simulated(quantity("3"))).unwrap().amount.is_zero());
}

#[test]
fn a_dynamic_event_costs_what_it_states_in_minor_units_or_else_price_times_quantity() {
    let cost = |stated: Option<&str>, exponent| {
        let stated = stated.map(quantity);
        Dynamic::event_amount(stated.as_ref(), exponent, &quantity("2.5"), &quantity("4")).to_string()
    };
    assert_eq!([cost(Some("125"), 2), cost(Some("125"), 0), cost(None, 2)], ["1.25", "125", "10"]);
    let named = |properties| match parsed(ChargeModel::Dynamic, properties) {
        PriceModel::Dynamic(dynamic) => [dynamic.price_field, dynamic.quantity_field],
        other => panic!("{other:?}"),
    };
    assert_eq!(named(json!({})), ["unit_price", "quantity"]);
    assert_eq!(named(json!({"price_field": "p", "quantity_field": "q"})), ["p", "q"]);
    assert!(PriceModel::parse(ChargeModel::Dynamic, &json!({"price_field": ""})).is_err());
    assert_eq!(parsed(ChargeModel::Dynamic, json!({})).needs(), Needs { events: false, dynamic_total: true });
}

#[test]
fn a_percentage_reads_events_only_for_allowances_and_limits() {
    let plain = parsed(ChargeModel::Percentage, json!({"rate": "1"}));
    assert_eq!(plain.price(&UsageToPrice::of(quantity("100"), 1)).unwrap().amount, Quantity::ONE);
    for limit in ["per_transaction_min_amount", "per_transaction_max_amount"] {
        assert!(parsed(ChargeModel::Percentage, json!({"rate": "1", limit: "5"})).needs().events, "{limit}");
    }
    let limits = |least: &str| {
        let properties = json!({"rate": "1", "per_transaction_min_amount": least, "per_transaction_max_amount": "5"});
        PriceModel::parse(ChargeModel::Percentage, &properties)
    };
    assert!(limits("4").is_ok() && limits("5").is_ok() && limits("6").is_err());
}

#[test]
fn details_tell_how_an_amount_came_about() {
    let package = parsed(ChargeModel::Package, json!({"amount": "5", "package_size": 10, "free_units": 3}));
    let told = package.details(&UsageToPrice::of(quantity("25"), 1)).unwrap();
    let wanted =
        json!({"free_units": "3", "paid_units": "22", "per_package_size": "10", "per_package_unit_amount": "5"});
    assert_eq!(told, wanted);
    let shares = json!({"graduated_percentage_ranges": [
        {"from_value": 0, "to_value": 100, "rate": "2"}, {"from_value": 101, "to_value": null, "rate": "1", "flat_amount": "7"}]});
    let told = parsed(ChargeModel::GraduatedPercentage, shares).details(&UsageToPrice::of(quantity("150"), 1)).unwrap();
    let told = &told["graduated_percentage_ranges"];
    assert_eq!([&told[0]["rate"], &told[1]["rate"]], ["2", "1"]);
    assert_eq!([&told[0]["total_with_flat_amount"], &told[1]["total_with_flat_amount"]], ["2", "7.5"]);
    let properties = json!({"rate": "10", "fixed_amount": "1", "free_units_per_total_aggregation": "12"});
    let events = usage(&[("5", "5"), ("5", "5"), ("5", "5")]);
    let told = parsed(ChargeModel::Percentage, properties).details(&events).unwrap();
    let wanted = json!({"units": "15", "free_units": "12", "paid_units": "3", "free_events": "2", "paid_events": "1",
        "rate": "10", "per_unit_total_amount": "0.3", "fixed_fee_unit_amount": "1", "fixed_fee_total_amount": "1",
        "min_max_adjustment_total_amount": "0"});
    assert_eq!(told, wanted);
    let by_count = parsed(ChargeModel::Percentage, json!({"rate": "10", "free_units_per_events": 2}));
    let told = by_count.details(&events).unwrap();
    assert_eq!([&told["free_units"], &told["free_events"], &told["paid_units"]], ["10", "2", "5"]);
}
