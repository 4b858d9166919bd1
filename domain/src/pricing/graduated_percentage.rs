//! Graduated percentage: as graduated, but the price in each range is a share in percent of what lies in it.

use super::properties::Properties;
use super::tiers::{TierKeys, Tiers};
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

const FORMS: [TierKeys; 1] =
    [TierKeys { list: "graduated_percentage_ranges", lower: "from_value", upper: "to_value", price: "rate" }];
/// One percent.
const PERCENT: Quantity = Quantity::new(1, 2);
const HUNDRED: Quantity = Quantity::new(100, 0);

/// Rates by range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraduatedPercentage {
    tiers: Tiers,
}

impl GraduatedPercentage {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        Tiers::read(read, &FORMS, &PERCENT).map(|tiers| Self { tiers })
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        Priced::per_unit(self.tiers.amount_of(&usage.units), usage.shown_units())
    }

    pub(super) fn details(&self, units: &Quantity) -> Value {
        json!({ "graduated_percentage_ranges": self.tiers.details(units, |tier| ("rate", &tier.price * &HUNDRED)) })
    }
}
