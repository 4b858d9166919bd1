//! The worked numbers of the pricing cookbook, priced by the models that bill.
//!
//! Recipes about more than prices (another metric, filters, groups, least amounts, proration) are rated end to end by the
//! binary's own tests, which play every recipe over HTTP.

mod recipes;

use super::dynamic::Dynamic;
use super::*;
use crate::money::Currency;
use recipes::{Recipe, recipes};
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../../../docs/pricing-cookbook.md");

fn quantity(value: &Value) -> Quantity {
    Quantity::from_json(value).unwrap_or_else(|fault| panic!("{value}: {fault}"))
}

fn is_about_prices_alone(recipe: &Recipe) -> bool {
    let more = ["filters", "min_amount_cents", "prorated"];
    recipe.metric.is_none()
        && more.iter().all(|key| recipe.charge.get(key).is_none())
        && recipe.charge["properties"].get("grouped_by").is_none()
}

/// What an event of a dynamic charge costs in US dollars.
fn dynamic_amount(event: &Map<String, Value>) -> Quantity {
    let number = |key: &str| event.get(key).map(quantity);
    let (price, units) = (number("unit_price").unwrap_or_default(), number("quantity").unwrap_or_default());
    Dynamic::event_amount(number("precise_total_amount_cents").as_ref(), 2, &price, &units)
}

fn usage(recipe: &Recipe) -> UsageToPrice {
    let events: Vec<EventUnits> = recipe.events.iter().map(|event| EventUnits::whole(quantity(&event["n"]))).collect();
    UsageToPrice {
        units: events.iter().map(|event| &event.units).sum(),
        full_units: None,
        events_count: events.len() as u64,
        events: Some(events),
        dynamic_total: Some(recipe.events.iter().map(dynamic_amount).collect::<Vec<_>>().iter().sum()),
    }
}

#[test]
fn every_price_in_the_cookbook_is_what_the_models_come_to() {
    let mut models = std::collections::BTreeSet::new();
    for recipe in recipes(PAGE).iter().filter(|recipe| is_about_prices_alone(recipe)) {
        let place = format!("docs/pricing-cookbook.md, charge at line {}", recipe.line);
        let name = recipe.charge["charge_model"].clone();
        let model: ChargeModel =
            serde_json::from_value(name.clone()).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        let model = PriceModel::parse(model, &recipe.charge["properties"]);
        let usage = usage(recipe);
        let priced = model.unwrap_or_else(|faults| panic!("{place}: {faults:?}")).price(&usage).unwrap();
        let cents = Currency::USD.to_minor_units(&priced.amount.to_big()).unwrap();
        let [fee] = recipe.fees.as_slice() else { panic!("{place}: one charge without filters has one fee") };
        assert_eq!(fee["amount_cents"], cents.to_string(), "{place}");
        assert_eq!(fee["units"], usage.units.to_string(), "{place}");
        models.insert(name.to_string());
    }
    assert_eq!(models.len(), 8, "the cookbook has a recipe for every model: {models:?}");
}
