//! Price models against the contract's worked examples and a naive oracle of rational numbers.

use super::*;
use bigdecimal::num_bigint::BigInt;
use num_rational::BigRational;
use proptest::prelude::*;
use serde_json::{Value, json};

fn quantity(text: &str) -> Quantity {
    text.parse().unwrap()
}

fn amount(model: ChargeModel, properties: &Value, units: &str) -> String {
    let model = PriceModel::parse(model, properties).unwrap();
    model.price(&UsageToPrice::of(quantity(units), 1)).unwrap().amount.to_string()
}

fn errors(model: ChargeModel, properties: &Value) -> Vec<String> {
    PriceModel::parse(model, properties).unwrap_err().iter().map(ToString::to_string).collect()
}

fn ranges() -> Value {
    json!([
        {"from_value": 0, "to_value": 10, "per_unit_amount": "5", "flat_amount": "100"},
        {"from_value": 11, "to_value": 20, "per_unit_amount": "4", "flat_amount": "50"},
        {"from_value": 21, "to_value": null, "per_unit_amount": "3"},
    ])
}

#[test]
fn standard_multiplies_and_clamps_between_its_least_and_greatest_amount() {
    let model = ChargeModel::Standard;
    assert_eq!(amount(model, &json!({"amount": "1.15"}), "3.5"), "4.025");
    assert_eq!(amount(model, &json!({"amount": 1.15, "unit_price": "9"}), "3.5"), "4.025");
    let clamped = json!({"unit_price": "2", "min_price": "5", "max_price": "20"});
    assert_eq!(["0", "3", "99"].map(|units| amount(model, &clamped, units)), ["5", "6", "20"]);
    assert_eq!(amount(model, &json!({"amount": "2"}), "-3"), "-6");
}

#[test]
fn a_graduated_range_holds_its_end_minus_the_end_before_it() {
    let model = ChargeModel::Graduated;
    let properties = json!({ "graduated_ranges": ranges() });
    for (units, wanted) in
        [("0", "100"), ("10", "150"), ("10.5", "202"), ("11", "204"), ("20", "240"), ("21", "243"), ("25", "255")]
    {
        assert_eq!(amount(model, &properties, units), wanted, "{units}");
    }
    let tiers = json!({"tiers": [{"up_to": 10, "unit_price": 5}, {"up_to": 20, "unit_price": 4}, {"unit_price": 3}]});
    for (units, wanted) in [("10", "50"), ("10.5", "52"), ("11", "54"), ("25", "105"), ("-2", "-10")] {
        assert_eq!(amount(model, &tiers, units), wanted, "{units}");
    }
}

#[test]
fn a_fractional_unit_between_whole_bounds_is_split() {
    let properties = json!({"graduated_ranges": [
        {"from_value": 0, "to_value": 1000, "per_unit_amount": "1"},
        {"from_value": 1001, "to_value": null, "per_unit_amount": "2"},
    ]});
    assert_eq!(amount(ChargeModel::Graduated, &properties, "1000"), "1000");
    assert_eq!(amount(ChargeModel::Graduated, &properties, "1000.5"), "1001");
}

#[test]
fn volume_prices_all_units_by_the_range_they_reach_its_end_included() {
    let properties = json!({ "volume_ranges": ranges() });
    for (units, wanted) in [("0", "100"), ("10", "150"), ("11", "94"), ("15", "110"), ("20.5", "61.5"), ("21", "63")] {
        assert_eq!(amount(ChargeModel::Volume, &properties, units), wanted, "{units}");
    }
}

#[test]
fn a_started_package_is_due_whole() {
    let properties = json!({"amount": "500", "package_size": 50, "free_units": 10});
    for (units, wanted) in [
        ("-5", "0"),
        ("10", "0"),
        ("10.1", "500"),
        ("11", "500"),
        ("60", "500"),
        ("100", "1000"),
        ("101", "1000"),
        ("110.5", "1500"),
    ] {
        assert_eq!(amount(ChargeModel::Package, &properties, units), wanted, "{units}");
    }
}

#[test]
fn a_custom_amount_is_due_whatever_the_usage() {
    assert_eq!(amount(ChargeModel::Custom, &json!({"custom_amount": "20", "unit_price": "3"}), "0"), "20");
    assert_eq!(amount(ChargeModel::Custom, &json!({"unit_price": "3"}), "2"), "6");
}

#[test]
fn models_that_need_the_events_say_so_instead_of_guessing() {
    let free = PriceModel::parse(ChargeModel::Percentage, &json!({"rate": "1", "free_units_per_events": 1})).unwrap();
    assert!(free.needs().events);
    assert_eq!(free.price(&UsageToPrice::of(Quantity::ONE, 1)), Err(PricingError::NeedsEvents));
    let plain = PriceModel::parse(ChargeModel::Percentage, &json!({"rate": "1", "free_units_per_events": 0})).unwrap();
    assert_eq!(plain.needs(), Needs::default());
    let dynamic = PriceModel::parse(ChargeModel::Dynamic, &json!({})).unwrap();
    assert_eq!(dynamic.price(&UsageToPrice::of(Quantity::ONE, 1)), Err(PricingError::NeedsDynamicTotal));
    assert_eq!(dynamic.price(&UsageToPrice::simulated(Quantity::ONE)).unwrap().amount, Quantity::ZERO);
}

#[test]
fn an_event_that_fits_its_allowance_exactly_is_free() {
    let model = PriceModel::parse(
        ChargeModel::Percentage,
        &json!({"rate": "10", "fixed_amount": "1", "free_units_per_total_aggregation": "15"}),
    );
    let usage = |values: &[&str]| {
        let events: Vec<_> = values.iter().map(|value| EventUnits::whole(quantity(value))).collect();
        let units = events.iter().map(|event| &event.units).sum();
        UsageToPrice { events_count: events.len() as u64, events: Some(events), ..UsageToPrice::of(units, 0) }
    };
    let model = model.unwrap();
    assert_eq!(model.price(&usage(&["10", "5"])).unwrap().amount, Quantity::ZERO);
    assert_eq!(model.price(&usage(&["10", "6"])).unwrap().amount, quantity("1.1"));
    assert_eq!(model.price(&usage(&["15", "0"])).unwrap().amount, Quantity::ONE);
}

#[test]
fn mistakes_in_properties_name_range_and_field() {
    let range = |from: Value, to: Value| json!({"from_value": from, "to_value": to, "per_unit_amount": "1"});
    let graduated = |list: Vec<Value>| errors(ChargeModel::Graduated, &json!({ "graduated_ranges": list }));
    for (given, wanted) in [
        (
            graduated(vec![range(json!(0), json!(10)), range(json!(12), json!(null))]),
            "graduated_ranges[1].from_value leaves a gap: the range before it ends at 10",
        ),
        (
            graduated(vec![range(json!(0), json!(10)), range(json!(9), json!(null))]),
            "graduated_ranges[1].from_value overlaps: the range before it ends at 10",
        ),
        (
            graduated(vec![range(json!(0), json!(10)), range(json!(10), json!(10)), range(json!(11), json!(null))]),
            "graduated_ranges[1].to_value must be greater than 10, where the range before it ends",
        ),
        (
            graduated(vec![range(json!(0), json!(10))]),
            "graduated_ranges[0].to_value must be null or left out in the last range: units beyond it would have no price",
        ),
        (
            graduated(vec![range(json!(0), json!(null)), range(json!(0), json!(null))]),
            "graduated_ranges[0].to_value is missing, but only the last range may be unbounded: the ranges overlap",
        ),
        (
            graduated(vec![json!({"from_value": 0, "per_unit_amount": "x"})]),
            "graduated_ranges[0].per_unit_amount is not a decimal number such as \"12\" or \"0.005\"",
        ),
        (
            graduated(vec![json!({"from_value": 0})]),
            "graduated_ranges[0].per_unit_amount is required (or 'flat_amount')",
        ),
        (graduated(vec![json!({"per_unit_amount": "-1"})]), "graduated_ranges[0].per_unit_amount must not be negative"),
        (graduated(vec![json!(5)]), "graduated_ranges[0] must be an object"),
        (graduated(vec![]), "graduated_ranges is required, with at least one range ('graduated_ranges' or 'tiers')"),
        (errors(ChargeModel::Graduated, &json!({"graduated_ranges": "x"})), "graduated_ranges must be a list"),
        (errors(ChargeModel::Standard, &json!({})), "amount is required (or 'unit_price')"),
        (
            errors(ChargeModel::Standard, &json!({"amount": true})),
            "amount is not a decimal number such as \"12\" or \"0.005\"",
        ),
        (
            errors(ChargeModel::Standard, &json!({"amount": "1".repeat(40)})),
            "amount has more than 38 digits before or 38 after the decimal point",
        ),
        (
            errors(ChargeModel::Standard, &json!({"amount": "1", "min_price": 3, "max_price": 2})),
            "min_price is greater than max_price (2)",
        ),
        (errors(ChargeModel::Standard, &json!([])), "properties must be an object"),
        (
            errors(ChargeModel::Package, &json!({"amount": "1", "package_size": 0})),
            "package_size must be greater than 0",
        ),
        (
            errors(ChargeModel::Percentage, &json!({"rate": "1", "free_units_per_events": 1.5})),
            "free_units_per_events must be a whole number below 2^64",
        ),
        (
            errors(ChargeModel::Standard, &json!({"amount": "1", "grouped_by": "region"})),
            "grouped_by must be a list of property names",
        ),
        (
            errors(ChargeModel::Dynamic, &json!({"pricing_group_keys": ["a", "a"]})),
            "pricing_group_keys names a property twice",
        ),
    ] {
        assert_eq!(given.first().map(String::as_str), Some(wanted), "{given:?}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let list = json!({"volume_ranges": [{"per_unit_amount": "x", "flat_amount": -1}, {"to_value": "?", "per_unit_amount": 1}]});
    assert_eq!(errors(ChargeModel::Volume, &list).len(), 3);
}

#[test]
fn a_filter_that_names_a_price_beats_the_other_spelling_of_its_charge() {
    let merged = overlaid(&json!({"amount": "10", "min_price": "1"}), &json!({"unit_price": "3"}));
    assert_eq!(merged, json!({"min_price": "1", "unit_price": "3"}));
    assert_eq!(overlaid(&json!({"amount": "10"}), &json!(null)), json!({"amount": "10"}));
}

fn rational(value: &Quantity) -> BigRational {
    let (mantissa, scale) = value.to_big().into_bigint_and_exponent();
    BigRational::from(mantissa) / BigRational::from(BigInt::from(10)).pow(i32::try_from(scale).unwrap())
}

fn decimal(digits: u32) -> impl Strategy<Value = String> {
    (0_i64..10_i64.pow(digits), 0_u32..4)
        .prop_map(|(mantissa, scale)| Quantity::new(i128::from(mantissa), scale).to_string())
}

/// (end or unbounded, price, flat amount) of each range, ends growing.
fn any_ranges() -> impl Strategy<Value = Vec<(Option<String>, String, String)>> {
    prop::collection::vec((1_i64..500, decimal(5), decimal(4)), 1..8).prop_map(|list| {
        let (count, mut end) = (list.len(), 0);
        list.into_iter()
            .enumerate()
            .map(|(index, (width, price, flat))| {
                end += width;
                ((index + 1 < count).then(|| end.to_string()), price, flat)
            })
            .collect()
    })
}

/// Unit by unit, as slow as it is plain: how much of `units` lies in each range is asked anew for each range.
fn naive_graduated(ranges: &[(Option<String>, String, String)], units: &Quantity) -> BigRational {
    let (units, zero) = (rational(units), BigRational::from(BigInt::from(0)));
    let mut lower = zero.clone();
    let mut total = zero.clone();
    for (index, (upper, price, flat)) in ranges.iter().enumerate() {
        if index > 0 && units <= lower {
            break;
        }
        let upper = upper.as_ref().map_or(units.clone(), |upper| rational(&quantity(upper)));
        let inside = units.clone().min(upper.clone()) - &lower;
        total += inside * rational(&quantity(price)) + rational(&quantity(flat));
        lower = upper;
    }
    total
}

proptest! {
    #[test]
    fn graduated_and_volume_equal_a_naive_walk(ranges in any_ranges(), whole_step: bool, units in decimal(7), negative: bool) {
        let mut lower = Quantity::ZERO;
        let list: Vec<Value> = ranges.iter().map(|(upper, price, flat)| {
            let from = if whole_step && !lower.is_zero() { &lower + &Quantity::ONE } else { lower.clone() };
            lower = upper.as_ref().map_or(Quantity::ZERO, |upper| quantity(upper));
            json!({"from_value": from, "to_value": upper, "per_unit_amount": price, "rate": price, "flat_amount": flat})
        }).collect();
        let units = if negative { -&quantity(&units) } else { quantity(&units) };
        let price = |model, key: &str| {
            let model = PriceModel::parse(model, &json!({ key: list })).unwrap();
            (rational(&model.price(&UsageToPrice::of(units.clone(), 1)).unwrap().amount), model)
        };
        let (graduated, model) = price(ChargeModel::Graduated, "graduated_ranges");
        prop_assert_eq!(&graduated, &naive_graduated(&ranges, &units));

        let details = model.details(&UsageToPrice::of(units.clone(), 1)).unwrap();
        let shown = details["graduated_ranges"].as_array().unwrap();
        let total: Quantity = shown.iter().map(|range| Quantity::from_json(&range["total_with_flat_amount"]).unwrap()).fold(Quantity::ZERO, |a, b| &a + &b);
        prop_assert_eq!(rational(&total), graduated);

        let hundredth: Vec<_> = ranges.iter().map(|(upper, rate, flat)| (upper.clone(), format!("{rate}e-2"), flat.clone())).collect();
        let (share, _) = price(ChargeModel::GraduatedPercentage, "graduated_percentage_ranges");
        prop_assert_eq!(share, naive_graduated(&hundredth, &units));

        let reached = ranges.iter().find(|(upper, _, _)| upper.as_ref().is_none_or(|upper| units <= quantity(upper))).unwrap();
        let (volume, _) = price(ChargeModel::Volume, "volume_ranges");
        prop_assert_eq!(volume, rational(&units) * rational(&quantity(&reached.1)) + rational(&quantity(&reached.2)));
    }

    #[test]
    fn a_package_charge_equals_counting_packages(units in decimal(5), size in 1_i64..200, free in 0_i64..300, price in decimal(5)) {
        let properties = json!({"amount": price, "package_size": size, "free_units": free});
        let model = PriceModel::parse(ChargeModel::Package, &properties).unwrap();
        let units = quantity(&units);
        let mut left = rational(&units) - BigRational::from(BigInt::from(free));
        let mut packages = 0;
        while left > BigRational::from(BigInt::from(0)) {
            left -= BigRational::from(BigInt::from(size));
            packages += 1;
        }
        let priced = model.price(&UsageToPrice::of(units, 1)).unwrap();
        prop_assert_eq!(rational(&priced.amount), BigRational::from(BigInt::from(packages)) * rational(&quantity(&price)));
    }

    #[test]
    fn a_percentage_charge_equals_paying_event_by_event(
        values in prop::collection::vec(decimal(4), 0..12), rate in decimal(3), fixed in decimal(3),
        free_events in 0_u64..6, free_units in decimal(4), least in decimal(3), extra in decimal(3), limited: bool,
    ) {
        let greatest = &quantity(&least) + &quantity(&extra);
        let mut properties = json!({"rate": rate, "fixed_amount": fixed, "free_units_per_events": free_events, "free_units_per_total_aggregation": free_units});
        if limited {
            properties["per_transaction_min_amount"] = json!(least);
            properties["per_transaction_max_amount"] = json!(greatest);
        }
        let model = PriceModel::parse(ChargeModel::Percentage, &properties).unwrap();
        let events: Vec<_> = values.iter().map(|value| EventUnits::whole(quantity(value))).collect();
        let units: Quantity = events.iter().map(|event| &event.units).sum();
        let usage = UsageToPrice { events_count: events.len() as u64, events: Some(events), ..UsageToPrice::of(units.clone(), 0) };

        let zero = BigRational::from(BigInt::from(0));
        let number = |text: &str| rational(&quantity(text));
        let (mut left, mut wanted) = (number(&free_units), zero.clone());
        for (index, value) in values.iter().map(|value| number(value)).enumerate() {
            let by_count = free_events == 0 || (index as u64) < free_events;
            let no_allowance = free_events == 0 && number(&free_units) == zero;
            let free = match (by_count && !no_allowance, number(&free_units) == zero) {
                (false, _) => None,
                (true, true) => Some(value.clone()),
                (true, false) if left > zero => Some(left.clone().min(value.clone())),
                (true, false) => None,
            };
            let part = free.clone().unwrap_or(zero.clone());
            left -= &part;
            if free.is_some() && part == value { continue; }
            let mut fee = (value - part) * number(&rate) / BigRational::from(BigInt::from(100)) + number(&fixed);
            if limited && number(&least) != zero { fee = fee.max(number(&least)); }
            if limited && !greatest.is_zero() { fee = fee.min(rational(&greatest)); }
            wanted += fee;
        }
        let has_limit = limited && !greatest.is_zero();
        if units.is_zero() && !has_limit { wanted = zero; }
        prop_assert_eq!(rational(&model.price(&usage).unwrap().amount), wanted);
    }

    #[test]
    fn no_properties_make_the_parser_panic(text in "[\\[\\]{}:,\"a-z0-9. ]{0,40}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            for model in [ChargeModel::Standard, ChargeModel::Graduated, ChargeModel::Volume, ChargeModel::Package, ChargeModel::Percentage, ChargeModel::GraduatedPercentage, ChargeModel::Custom, ChargeModel::Dynamic] {
                let _ = PriceModel::parse(model, &value);
            }
        }
    }
}
