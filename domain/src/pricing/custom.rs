//! Custom: an amount that was agreed, whatever the usage (also without any); else units × price.

use super::properties::Properties;
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;

/// An agreed amount, or a price per unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Custom {
    /// The amount of every period.
    Amount(Quantity),
    /// The amount of a unit.
    UnitPrice(Quantity),
}

impl Custom {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        if read.get("custom_amount").is_some() {
            return read.amount("custom_amount").map(Self::Amount);
        }
        read.required_amount(["custom_amount", "unit_price"]).map(Self::UnitPrice)
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        let amount = match self {
            Self::Amount(amount) => amount.clone(),
            Self::UnitPrice(price) => &usage.units * price,
        };
        Priced::per_unit(amount, usage.shown_units())
    }
}
