//! Volume: all units at the price of the range they reach, and that range's flat amount; without usage the first range's.

use super::properties::Properties;
use super::tiers::{TierKeys, Tiers};
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

const FORMS: [TierKeys; 2] = [
    TierKeys { list: "volume_ranges", lower: "from_value", upper: "to_value", price: "per_unit_amount" },
    TierKeys { list: "tiers", lower: "from_value", upper: "up_to", price: "unit_price" },
];

/// Prices by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    tiers: Tiers,
}

impl Volume {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        Tiers::read(read, &FORMS, &Quantity::ONE).map(|tiers| Self { tiers })
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        let tier = self.tiers.reached_by(&usage.units);
        Priced::per_unit(&(&usage.units * &tier.price) + &tier.flat, usage.shown_units())
    }

    pub(super) fn details(&self, units: &Quantity) -> Value {
        let tier = self.tiers.reached_by(units);
        json!({
            "flat_unit_amount": tier.flat,
            "per_unit_amount": tier.price,
            "per_unit_total_amount": units * &tier.price,
        })
    }
}
