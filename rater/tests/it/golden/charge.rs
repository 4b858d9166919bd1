//! Cases of charge models: given units, and usage that grows event by event.

use super::check::{Check, given};
use crate::fixtures;
use domain::catalog::{Aggregation, ChargeFilter, ChargeModel};
use domain::ids::MetricId;
use domain::money::Currency;
use domain::pricing::{EventUnits, PriceModel, UsageToPrice, advance_fee};
use domain::quantity::Quantity;
use rater::aggregate::MetricRules;
use rater::price::{Terms, price_charge};
use rater::usage::{EventRules, LineUsage, UsageEvent, from_events};
use rater::view::{RatableCharge, ratable};
use rater::{RatedCharge, aggregate::Span};
use serde_json::{Value, json};
use std::sync::Arc;

/// Every key of a case.
pub const KEYS: &[&str] = &["id", "source_spec", "note", "charge_model", "properties", "input", "expected"];
const INPUT_KEYS: &[&str] = &["units", "events", "extra"];
/// `premium` and `chargeable` name the published program's edition and class: prices do not depend on them.
const EXTRA_KEYS: &[&str] = &[
    "adjacent_ranges",
    "billable_metric",
    "chargeable",
    "custom_aggregation",
    "events_count",
    "full_units_number",
    "groups",
    "mode",
    "precise_total_amount_cents",
    "premium",
    "prorated",
    "running_total",
    "single_tier_only",
];

pub fn check(case: &Value, check: &mut Check) {
    let extra = &case["input"]["extra"];
    check.only_keys("input.", &case["input"], INPUT_KEYS);
    check.only_keys("input.extra.", extra, EXTRA_KEYS);
    match extra["mode"].as_str() {
        _ if extra["single_tier_only"] == true => single_tier(case, check),
        Some("pay_in_advance_one_fee_per_event") => fees_in_advance(case, check),
        Some("current_usage_after_each_event") => steps(case, check),
        None if extra.get("billable_metric").is_some() => steps(case, check),
        None if extra.get("groups").is_some() => given_groups(case, check),
        None => given_units(case, check),
        Some(other) => check.differ("mode", "a mode that is known", other),
    }
}

fn model(case: &Value) -> ChargeModel {
    serde_json::from_value(case["charge_model"].clone()).unwrap()
}

/// Units, and what the case says of the events behind them.
fn given_units(case: &Value, check: &mut Check) {
    let (input, extra) = (&case["input"], &case["input"]["extra"]);
    let mut properties = case["properties"].clone();
    let units = given(&input["units"]);
    let mut usage = UsageToPrice::of(units.clone(), extra["events_count"].as_u64().unwrap_or(0));
    usage.full_units = extra.get("full_units_number").map(given);
    usage.events = Some(events(input, &units));
    // Here what the events state is in minor units of a currency with two digits.
    usage.dynamic_total = extra.get("precise_total_amount_cents").map(|cents| &given(cents) * &Quantity::new(1, 2));
    if let Some(agreed) = extra.get("custom_aggregation") {
        properties["custom_amount"] = agreed["amount"].clone();
    }
    let prices = PriceModel::parse(model(case), &properties).unwrap();
    let priced = prices.price(&usage).unwrap();
    check.top("amount", &priced.amount);
    check.top("unit_amount", &priced.unit_amount);
    if check.wants("details") {
        let details = prices.details(&usage).unwrap();
        compare_details(check, "details", &check.expected()["details"], &details);
        check.covered("details");
    }
}

/// The events of a case: listed, or known by the running totals they left and the rest of the units.
fn events(input: &Value, units: &Quantity) -> Vec<EventUnits> {
    let listed = input["events"].as_array().cloned().unwrap_or_default();
    if !listed.is_empty() {
        let prorated = |event: &Value| EventUnits {
            units: given(&event["units"]),
            prorated_units: given(&event["prorated_units"]),
        };
        let whole = |event: &Value| EventUnits::whole(given(&event["value"]));
        return listed
            .iter()
            .map(|event| if event.get("units").is_some() { prorated(event) } else { whole(event) })
            .collect();
    }
    let totals = input["extra"]["running_total"].as_array().cloned().unwrap_or_default();
    let mut before = Quantity::ZERO;
    let mut events = Vec::new();
    for total in totals.iter().map(given).chain([units.clone()]) {
        events.push(EventUnits::whole(&total - &before));
        before = total;
    }
    events
}

/// A difference for every key of `want` that is not the same in `got`.
fn compare_details(check: &mut Check, path: &str, want: &Value, got: &Value) {
    match want {
        Value::Object(fields) => {
            for (key, value) in fields {
                compare_details(check, &format!("{path}.{key}"), value, &got[key]);
            }
        }
        Value::Array(items) => {
            check.same(&format!("{path}.length"), &json!(items.len()), &json!(got.as_array().map_or(0, Vec::len)));
            for (place, item) in items.iter().enumerate() {
                compare_details(check, &format!("{path}[{place}]"), item, &got[place]);
            }
        }
        Value::Null => check.same(path, want, got),
        number => match super::check::number(got) {
            Some(found) => check.number(path, number, &found),
            None => check.differ(path, number, got),
        },
    }
}

/// One range out of many: what lies before it and after it is free here.
fn single_tier(case: &Value, check: &mut Check) {
    let (key, price) = match model(case) {
        ChargeModel::Graduated => ("graduated_ranges", "per_unit_amount"),
        _ => ("graduated_percentage_ranges", "rate"),
    };
    let tier = case["properties"][key][0].clone();
    let adjacent = case["input"]["extra"]["adjacent_ranges"] == true;
    let step = if adjacent { Quantity::ZERO } else { Quantity::ONE };
    let before = &given(&tier["from_value"]) - &step;
    let after = &given(&tier["to_value"]) + &step;
    let ranges = json!([
        {"from_value": "0", "to_value": before, price: "0"}, tier, {"from_value": after, "to_value": null, price: "0"},
    ]);
    let prices = PriceModel::parse(model(case), &json!({ key: ranges })).unwrap();
    let usage = UsageToPrice::of(given(&case["input"]["units"]), 0);
    let details = prices.details(&usage).unwrap();
    compare_details(check, "details", &check.expected()["details"], &details[key][1]);
    check.covered("details");
}

fn given_groups(case: &Value, check: &mut Check) {
    let prices = PriceModel::parse(model(case), &case["properties"]).unwrap();
    let groups = case["input"]["extra"]["groups"].as_array().unwrap();
    for want in check.expected()["groups"].as_array().unwrap() {
        let group = groups.iter().find(|group| group["grouped_by"] == want["grouped_by"]).unwrap();
        let usage = UsageToPrice::of(given(&group["units"]), group["events_count"].as_u64().unwrap());
        let priced = prices.price(&usage).unwrap();
        check.number("groups.amount", &want["amount"], &priced.amount);
        check.number("groups.unit_amount", &want["unit_amount"], &priced.unit_amount);
    }
    check.covered("groups");
}

/// A charge with the metric that the case describes.
struct Metered {
    ratable: RatableCharge,
    rules: MetricRules,
}

impl Metered {
    fn of(case: &Value) -> Self {
        let described = &case["input"]["extra"]["billable_metric"];
        let aggregation = match described["aggregation_type"].as_str() {
            Some("count_agg") => Aggregation::Count,
            Some("sum_agg") => Aggregation::Sum,
            other => panic!("no metric of type {other:?}"),
        };
        let mut world = fixtures::World::new();
        world.metric("m", aggregation, described["field_name"].as_str());
        let mut charge = fixtures::charge(MetricId::random(), model(case), case["properties"].clone());
        for filter in case["properties"]["filters"].as_array().into_iter().flatten() {
            charge.filters.push(ChargeFilter {
                values: serde_json::from_value(filter["values"].clone()).unwrap(),
                properties: filter["properties"].clone(),
                invoice_display_name: None,
            });
        }
        let rules = MetricRules::new(Arc::new(world.metrics.remove(0))).unwrap();
        Self { ratable: ratable(&charge).unwrap(), rules }
    }

    fn fees(&self, events: &[UsageEvent]) -> Vec<RatedCharge> {
        let rules = EventRules {
            lines: &self.ratable.lines,
            metric: &self.rules,
            keys: self.ratable.lines.keys(),
            span: whole_month(),
            exponent: Currency::USD.exponent(),
            prorated: false,
        };
        let terms = Terms {
            ratable: &self.ratable,
            metric: &self.rules.metric,
            currency: Currency::USD,
            minimum_share: domain::period::Proration::WHOLE,
        };
        let mut fees = Vec::new();
        price_charge(terms, from_events(rules, events), &mut fees).unwrap();
        fees
    }

    /// The usage of the one line that a charge without filters has.
    fn usage(&self, events: &[UsageEvent]) -> LineUsage {
        let rules = EventRules {
            lines: &self.ratable.lines,
            metric: &self.rules,
            keys: &[],
            span: whole_month(),
            exponent: Currency::USD.exponent(),
            prorated: false,
        };
        from_events(rules, events).into_values().next().unwrap()
    }
}

fn whole_month() -> Span {
    super::aggregation::span("2023-02-01T00:00:00Z", "2023-02-28T23:59:59.999Z", 28)
}

/// The case's events; where it gives no times, one second after another.
fn usage_events(case: &Value) -> Vec<UsageEvent> {
    let listed = case["input"]["events"].as_array().unwrap();
    let event = |(place, event): (usize, &Value)| {
        let place = i64::try_from(place).unwrap();
        let default = domain::time::Timestamp(fixtures::at("2023-02-01T00:00:00Z").0 + place * 1_000_000);
        UsageEvent {
            timestamp: event["timestamp"].as_str().map_or(default, fixtures::at),
            id: domain::identity::EventId(u128::try_from(place).unwrap()),
            term: 1,
            properties: event["properties"].to_string(),
            precise_total: event["precise_total_amount_cents"].as_str().unwrap_or_default().to_owned(),
        }
    };
    listed.iter().enumerate().map(event).collect()
}

fn total_units(fees: &[RatedCharge]) -> Quantity {
    fees.iter().map(|fee| &fee.units).sum()
}

/// Usage after each event, and in the end.
fn steps(case: &Value, check: &mut Check) {
    let metered = Metered::of(case);
    let events = usage_events(case);
    let expected = check.expected();
    for (place, step) in expected["steps"].as_array().into_iter().flatten().enumerate() {
        let fees = metered.fees(&events[..events.len().min(place + 1)]);
        let cents: i64 = fees.iter().map(|fee| fee.amount_cents.0).sum();
        for (key, want) in step.as_object().unwrap() {
            match key.as_str() {
                "units" => check.number(&format!("steps[{place}].units"), want, &total_units(&fees)),
                "amount_cents" => check.number(&format!("steps[{place}].amount_cents"), want, &Quantity::from(cents)),
                other => check.differ(&format!("steps[{place}]"), "a key that is known", other),
            }
        }
    }
    check.covered("steps");
    let fees = metered.fees(&events);
    check.top("amount", &fees.iter().map(|fee| &fee.amount).sum());
    check_filters(case, &fees, check);
    check_groups(&fees, check);
}

fn check_filters(case: &Value, fees: &[RatedCharge], check: &mut Check) {
    let given_filters = case["properties"]["filters"].as_array().cloned().unwrap_or_default();
    for want in check.expected()["filters"].as_array().into_iter().flatten() {
        let is_meant = |filter: &Value| {
            ["values", "age"].iter().all(|key| want.get(key).is_none() || filter.get(key) == want.get(key))
        };
        let place = given_filters.iter().position(is_meant);
        let fee = fees.iter().find(|fee| fee.line.filter == place && place.is_some()).unwrap();
        check_fee("filters", want, fee, &["values", "age"], check);
    }
    check.covered("filters");
}

fn check_groups(fees: &[RatedCharge], check: &mut Check) {
    for want in check.expected()["groups"].as_array().into_iter().flatten() {
        let fee = fees.iter().find(|fee| fee.line.group.to_json() == want["grouped_by"]).unwrap();
        check_fee("groups", want, fee, &["grouped_by"], check);
    }
    check.covered("groups");
}

fn check_fee(path: &str, want: &Value, fee: &RatedCharge, names: &[&str], check: &mut Check) {
    for (key, value) in want.as_object().unwrap() {
        let got = match key.as_str() {
            "units" => fee.units.clone(),
            "events_count" => Quantity::from(fee.events_count),
            "amount_cents" => Quantity::from(fee.amount_cents.0),
            name if names.contains(&name) => continue,
            other => {
                check.differ(path, "a key that is known", other);
                continue;
            }
        };
        check.number(&format!("{path}.{key}"), value, &got);
    }
}

/// One fee for each event, as it is accepted.
fn fees_in_advance(case: &Value, check: &mut Check) {
    let metered = Metered::of(case);
    let events = usage_events(case);
    let prices = &metered.ratable.lines.all()[0].model;
    let usage_after = |number: usize| {
        let usage = metered.usage(&events[..number]);
        UsageToPrice {
            units: usage.quantity,
            events_count: usage.events_count,
            events: usage.events,
            ..UsageToPrice::default()
        }
    };
    for (place, want) in check.expected()["fees"].as_array().into_iter().flatten().enumerate() {
        let (before, with) = (usage_after(place), usage_after(place + 1));
        let amount = advance_fee(prices, &before, &with).unwrap();
        let cents = Currency::USD.to_minor_units(&amount.to_big()).unwrap();
        let path = format!("fees[{place}]");
        check.number(&format!("{path}.amount_cents"), &want["amount_cents"], &Quantity::from(cents.0));
        check.number(&format!("{path}.units"), &want["units"], &(&with.units - &before.units));
        let one = with.events_count - before.events_count;
        check.number(&format!("{path}.events_count"), &want["events_count"], &Quantity::from(one));
        check.same(&format!("{path}.keys"), &json!(want.as_object().unwrap().len()), &json!(3));
    }
    check.covered("fees");
}
