//! Standard: units × price, with an optional least and greatest amount for the period.

use super::properties::Properties;
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;

/// A price per unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standard {
    price: Quantity,
    /// Billed also without usage.
    least: Option<Quantity>,
    greatest: Option<Quantity>,
}

impl Standard {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        let price = read.required_amount(["amount", "unit_price"]);
        // 0 means "none" for both, as the contract has it.
        let least = read.amount("min_price").filter(|least| !least.is_zero());
        let greatest = read.amount("max_price").filter(|greatest| !greatest.is_zero());
        if let (Some(least), Some(greatest)) = (&least, &greatest)
            && least > greatest
        {
            read.reject("min_price", format!("is greater than max_price ({greatest})"));
        }
        Some(Self { price: price?, least, greatest })
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        let mut amount = &usage.units * &self.price;
        let mut clamped = usage.full_units.is_some();
        for (limit, beyond) in [(&self.least, std::cmp::Ordering::Less), (&self.greatest, std::cmp::Ordering::Greater)]
        {
            if let Some(limit) = limit
                && amount.cmp(limit) == beyond
            {
                (amount, clamped) = (limit.clone(), true);
            }
        }
        if clamped || usage.units.is_zero() {
            return Priced::per_unit(amount, usage.shown_units());
        }
        Priced { amount, unit_amount: self.price.clone() }
    }
}
