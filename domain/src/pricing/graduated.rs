//! Graduated: the units in each range at that range's price, and the flat amount of each range entered. The first range is
//! always entered: its flat amount is due without usage too.

use super::properties::Properties;
use super::tiers::{TierKeys, Tiers};
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

const FORMS: [TierKeys; 2] = [
    TierKeys { list: "graduated_ranges", lower: "from_value", upper: "to_value", price: "per_unit_amount" },
    TierKeys { list: "tiers", lower: "from_value", upper: "up_to", price: "unit_price" },
];

/// Prices by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graduated {
    tiers: Tiers,
}

impl Graduated {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        Tiers::read(read, &FORMS, &Quantity::ONE).map(|tiers| Self { tiers })
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        Priced::per_unit(self.tiers.amount_of(&usage.units), usage.shown_units())
    }

    pub(super) fn details(&self, units: &Quantity) -> Value {
        json!({ "graduated_ranges": self.tiers.details(units, |tier| ("per_unit_amount", tier.price.clone())) })
    }
}
