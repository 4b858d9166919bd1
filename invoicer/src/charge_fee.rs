//! Rated usage as fees of the ledger. Pure.
//!
//! What rating gives in currency units stands in the ledger in minor units, exactly; the rounded amount is taken over as it is.
//! A fee's properties say what it was priced by (the charge's prices overlaid by its filter's), and which filter and group
//! it is.

use crate::assemble::PlannedLine;
use crate::model::{Fee, FeeKind, FeeVersions, PaidAhead};
use domain::ids::{ChargeId, FeeId};
use domain::money::Currency;
use domain::pricing::overlaid;
use domain::quantity::Quantity;
use rater::RatedCharge;
use rater::advance::{AdvanceFee, is_billed_already};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Digits of a price of a unit that is worked out from an amount; for people.
const UNIT_DIGITS: u32 = 15;

/// Makes fees; one maker for many, so that the prices of a charge are written as JSON once.
#[derive(Debug, Default)]
pub struct ChargeFees {
    prices: HashMap<(ChargeId, u32, Option<usize>), String>,
}

impl ChargeFees {
    /// The fees of one stretch, in the order they were rated, without those that were paid as their events came in.
    pub fn of(&mut self, line: &PlannedLine, rated: Vec<RatedCharge>) -> Vec<Fee> {
        rated.into_iter().filter(|charge| !is_billed_already(charge)).map(|charge| self.fee(line, charge)).collect()
    }

    /// What usage that is paid in advance owes for one stretch: of an event, or of what the stretch began with.
    pub fn in_advance(&mut self, line: &PlannedLine, paid: AdvanceFee) -> Fee {
        let of = paid.of.map_or(PaidAhead::Carried, |event| PaidAhead::Event(event.id));
        let unit_amount = paid.amount.divided(&paid.units, UNIT_DIGITS).unwrap_or_default();
        let rated = RatedCharge {
            charge: paid.charge,
            metric: paid.metric,
            line: paid.line,
            units: paid.units,
            full_units: None,
            amount: paid.amount,
            amount_cents: paid.amount_cents,
            unit_amount,
            events_count: u64::from(paid.of.is_some()),
            invalid_count: 0,
            fingerprint: paid.of.map_or(0, |event| event.fingerprint),
        };
        Fee { in_advance: Some(of), ..self.fee(line, rated) }
    }

    fn fee(&mut self, line: &PlannedLine, rated: RatedCharge) -> Fee {
        let plan = &line.plan.plan;
        Fee {
            id: FeeId(uuid::Uuid::now_v7()),
            kind: FeeKind::Charge,
            subscription: Some(line.due.subscription),
            plan: Some(plan.id),
            charge: Some(rated.charge.id),
            line_key: rated.line.key(),
            description: description(&rated),
            metric_code: Some(rated.metric.code.clone()),
            properties: self.properties(plan.version, &rated),
            unit_amount: in_minor_units(plan.currency, &rated.unit_amount),
            amount: rated.amount_cents,
            precise_amount: in_minor_units(plan.currency, &rated.amount),
            units: rated.units,
            events_count: rated.events_count,
            fingerprint: Some(rated.fingerprint),
            from: line.due.from,
            to: line.due.to,
            versions: FeeVersions { plan: plan.version, metric: Some(rated.metric.version) },
            taxes: Vec::new(),
            adjusts: None,
            in_advance: None,
            coupons: Quantity::ZERO,
        }
    }

    fn properties(&mut self, plan_version: u32, rated: &RatedCharge) -> String {
        let line = &rated.line;
        if line.true_up {
            return serde_json::json!({ "true_up": true, "min_amount_cents": rated.charge.min_amount }).to_string();
        }
        let place = (rated.charge.id, plan_version, line.filter);
        if line.group.0.is_empty() {
            return self.prices.entry(place).or_insert_with(|| Value::Object(prices(rated)).to_string()).clone();
        }
        let mut all = prices(rated);
        all.insert("group".into(), line.group.to_json());
        Value::Object(all).to_string()
    }
}

/// The prices of a fee's charge and filter, and what the filter accepts.
fn prices(rated: &RatedCharge) -> Map<String, Value> {
    let charge = &rated.charge;
    let own = rated.line.filter.and_then(|place| charge.filters.get(place));
    let priced_by = match own {
        Some(filter) => overlaid(&charge.properties, &filter.properties),
        None => charge.properties.clone(),
    };
    let mut all = match priced_by {
        Value::Object(all) => all,
        // The catalog writes objects only; anything else is kept where it can be seen.
        other => Map::from_iter([("prices".to_owned(), other)]),
    };
    all.insert("charge_model".into(), serde_json::json!(charge.model));
    if own.is_some() {
        all.insert("filter".into(), serde_json::json!(rated.line.filter_values));
    }
    all
}

fn description(rated: &RatedCharge) -> String {
    let line = &rated.line;
    let named = line.display_name.as_ref().or(rated.charge.invoice_display_name.as_ref());
    let name = named.unwrap_or(&rated.metric.name);
    if line.true_up { format!("{name} (up to the minimum)") } else { name.clone() }
}

/// Currency units as exact minor units.
fn in_minor_units(currency: Currency, units: &Quantity) -> Quantity {
    // ISO 4217 knows exponents 0 to 4.
    units * &Quantity::from(10_i64.pow(currency.exponent()))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn amounts_change_from_currency_units_to_minor_units_without_rounding() {
        let cents = |currency: &str, amount: &str| {
            in_minor_units(currency.parse().unwrap(), &amount.parse().unwrap()).to_string()
        };
        assert_eq!(cents("USD", "0.004"), "0.4");
        assert_eq!(cents("JPY", "12.5"), "12.5");
        assert_eq!(cents("KWD", "1.2345"), "1234.5");
    }
}
