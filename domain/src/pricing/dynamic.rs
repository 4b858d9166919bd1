//! Dynamic: each event says what it costs: `precise_total_amount_cents`, else price × quantity of two of its properties. The
//! amount is the sum of that; whoever has the events adds it up ([`UsageToPrice::dynamic_total`]).

use super::properties::Properties;
use super::{Priced, PricingError, UsageToPrice};
use crate::quantity::Quantity;

/// Where an event says what it costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dynamic {
    /// Property that holds the price of a unit.
    pub price_field: String,
    /// Property that holds the number of units.
    pub quantity_field: String,
}

impl Dynamic {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        let price_field = read.name("price_field", "unit_price");
        let quantity_field = read.name("quantity_field", "quantity");
        Some(Self { price_field: price_field?, quantity_field: quantity_field? })
    }

    /// What one event costs in currency units: what it states in minor units of 10^-`exponent`, else price × quantity; a
    /// missing factor is 0.
    #[must_use]
    pub fn event_amount(stated: Option<&Quantity>, exponent: u32, price: &Quantity, quantity: &Quantity) -> Quantity {
        match stated {
            Some(minor_units) => minor_units * &Quantity::new(1, exponent),
            None => price * quantity,
        }
    }
}

pub(super) fn price(usage: &UsageToPrice) -> Result<Priced, PricingError> {
    let total = usage.dynamic_total.clone().ok_or(PricingError::NeedsDynamicTotal)?;
    Ok(Priced::per_unit(total, usage.shown_units()))
}
