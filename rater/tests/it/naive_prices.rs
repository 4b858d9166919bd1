//! Prices in plain loops and rational numbers, with no code of the product.

use crate::naive::rational;
use domain::catalog::ChargeModel;
use num_rational::BigRational;
use serde_json::Value;

/// What a price may look at.
pub struct NaiveUsage {
    pub units: BigRational,
    /// Events that are charged for.
    pub events_count: u64,
    /// What each brings, in the order of their time.
    pub each: Vec<BigRational>,
    /// What the events say they cost.
    pub stated: BigRational,
}

pub fn whole(number: impl Into<num_bigint::BigInt>) -> BigRational {
    BigRational::from_integer(number.into())
}

pub fn number(value: &Value) -> BigRational {
    value.as_str().map(rational).unwrap_or_else(|| rational(&value.to_string()))
}

fn optional(prices: &Value, key: &str) -> Option<BigRational> {
    prices.get(key).map(number).filter(|value| *value != whole(0))
}

pub fn price(model: ChargeModel, prices: &Value, usage: &NaiveUsage) -> BigRational {
    let (zero, units) = (whole(0), &usage.units);
    match model {
        ChargeModel::Standard => {
            let mut amount = units * number(&prices["amount"]);
            if let Some(least) = optional(prices, "min_price") {
                amount = amount.max(least);
            }
            optional(prices, "max_price").map_or(amount.clone(), |greatest| amount.min(greatest))
        }
        ChargeModel::Package => {
            let paid = (units - number(&prices["free_units"])).max(zero);
            (paid / number(&prices["package_size"])).ceil() * number(&prices["amount"])
        }
        ChargeModel::Graduated => by_range(&prices["graduated_ranges"], "per_unit_amount", &whole(1), units),
        ChargeModel::GraduatedPercentage => {
            by_range(&prices["graduated_percentage_ranges"], "rate", &whole(100), units)
        }
        ChargeModel::Volume => {
            let ranges = prices["volume_ranges"].as_array().unwrap();
            let reached =
                ranges.iter().find(|range| range["to_value"].is_null() || *units <= number(&range["to_value"]));
            let range = reached.unwrap();
            units * number(&range["per_unit_amount"]) + number(&range["flat_amount"])
        }
        ChargeModel::Custom => match prices.get("custom_amount") {
            Some(agreed) => number(agreed),
            None => units * number(&prices["unit_price"]),
        },
        ChargeModel::Dynamic => usage.stated.clone(),
        ChargeModel::Percentage => percentage(prices, usage),
    }
}

/// The first range is always entered; each further one when units reach past the one before.
fn by_range(ranges: &Value, key: &str, divisor: &BigRational, units: &BigRational) -> BigRational {
    let (mut lower, mut total) = (whole(0), whole(0));
    for (place, range) in ranges.as_array().unwrap().iter().enumerate() {
        if place > 0 && *units <= lower {
            break;
        }
        let upper = if range["to_value"].is_null() { units.clone() } else { number(&range["to_value"]) };
        let inside = units.clone().min(upper.clone()) - &lower;
        total += inside * number(&range[key]) / divisor + number(&range["flat_amount"]);
        lower = upper;
    }
    total
}

fn percentage(prices: &Value, usage: &NaiveUsage) -> BigRational {
    let (rate, fixed) = (number(&prices["rate"]) / whole(100), optional(prices, "fixed_amount").unwrap_or(whole(0)));
    let free_events = prices.get("free_units_per_events").and_then(Value::as_u64).filter(|events| *events > 0);
    let free_units = optional(prices, "free_units_per_total_aggregation");
    let (least, greatest) =
        (optional(prices, "per_transaction_min_amount"), optional(prices, "per_transaction_max_amount"));
    let (mut used, mut wholly_free, mut by_event) = (whole(0), 0_u64, whole(0));
    for (place, units) in usage.each.iter().enumerate() {
        let among_free = free_events.is_none_or(|allowed| u64::try_from(place).unwrap() < allowed);
        let allowance = free_events.is_some() || free_units.is_some();
        let (free, all_of_it) = match (&free_units, allowance && among_free) {
            (_, false) => (whole(0), false),
            (None, true) => (units.clone(), true),
            (Some(allowed), true) => {
                let left = allowed - &used;
                let free = units.clone().max(whole(0)).min(left.clone());
                let all_of_it = free == *units && left != whole(0);
                (free, all_of_it)
            }
        };
        used += &free;
        if all_of_it {
            wholly_free += 1;
            continue;
        }
        let mut amount = (units - free) * &rate + &fixed;
        if let Some(least) = &least {
            amount = amount.max(least.clone());
        }
        if let Some(greatest) = &greatest {
            amount = amount.min(greatest.clone());
        }
        by_event += amount;
    }
    if least.is_some() || greatest.is_some() {
        return by_event;
    }
    let allowance = free_events.is_some() || free_units.is_some();
    let paid = if allowance { (&usage.units - used).max(whole(0)) } else { usage.units.clone() };
    let paid_events = usage.events_count.saturating_sub(wholly_free);
    let fixed_in_all = if usage.units == whole(0) { whole(0) } else { fixed * whole(paid_events) };
    paid * rate + fixed_in_all
}
