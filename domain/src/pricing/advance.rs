//! Charges that are paid in advance: one fee for each event, as it is accepted. Pure; who counts the events decides when.
//!
//! What is paid is never given back inside the period: an event owes for what it raises the level above its highest point so
//! far ([`AdvanceLevel`]). Where prices depend on the events before it, it owes the difference it makes ([`advance_fee`]).

use super::{PriceModel, PricingError, UsageToPrice};
use crate::quantity::Quantity;

/// How far usage of a period is paid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvanceLevel {
    /// Units after the events so far.
    pub current: Quantity,
    /// The most they ever were: so many are paid.
    pub maximum: Quantity,
}

impl AdvanceLevel {
    /// Takes the next event's units (negative ones lower the level) and answers for how many more units a fee is owed.
    pub fn add(&mut self, units: &Quantity) -> Quantity {
        self.current += units;
        let owed = (&self.current - &self.maximum).or_zero();
        self.maximum = self.maximum.clone().max(self.current.clone());
        owed
    }
}

/// The exact amount that one event owes in currency units: usage with it, less usage before it.
///
/// # Errors
/// As [`PriceModel::price`].
pub fn advance_fee(model: &PriceModel, before: &UsageToPrice, with: &UsageToPrice) -> Result<Quantity, PricingError> {
    // Before the first event nothing is owed yet, not even a first range's flat amount: the first event brings it.
    let paid = if before.events_count == 0 { Quantity::ZERO } else { model.price(before)?.amount };
    Ok(&model.price(with)?.amount - &paid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ChargeModel;
    use serde_json::json;

    #[test]
    fn a_level_that_sinks_gives_nothing_back_and_owes_nothing_until_it_is_above_its_peak() {
        let mut level = AdvanceLevel::default();
        let owed: Vec<String> = [10_i64, -4, 3, 5].map(|units| level.add(&Quantity::from(units)).to_string()).into();
        assert_eq!(owed, ["10", "0", "0", "4"]);
    }

    #[test]
    fn an_event_owes_the_difference_it_makes() {
        let ranges = json!({"graduated_ranges": [
            {"to_value": 1, "per_unit_amount": "5", "flat_amount": "100"}, {"per_unit_amount": "1", "flat_amount": "7"},
        ]});
        let model = PriceModel::parse(ChargeModel::Graduated, &ranges).unwrap();
        let usage = |events: u64| UsageToPrice::of(Quantity::from(events), events);
        let fees: Vec<String> =
            (1..4).map(|number| advance_fee(&model, &usage(number - 1), &usage(number)).unwrap().to_string()).collect();
        assert_eq!(fees, ["105", "8", "1"]);
    }
}
