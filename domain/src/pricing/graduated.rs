//! Graduated: the units in each range at that range's price, and the flat amount of each range entered. The first range is
//! always entered: its flat amount is due without usage too.
//!
//! Prorated, each event is priced where it lies: the ranges between the level before it and after it share its prorated units
//! as they share its whole units. A range's flat amount is due once the level was ever in it.

use super::properties::Properties;
use super::tiers::{TierKeys, Tiers};
use super::{EventUnits, Priced, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

const FORMS: [TierKeys; 2] = [
    TierKeys { list: "graduated_ranges", lower: "from_value", upper: "to_value", price: "per_unit_amount" },
    TierKeys { list: "tiers", lower: "from_value", upper: "up_to", price: "unit_price" },
];

/// Digits after the decimal point of one event's amount when proration makes it a quotient.
const QUOTIENT_DIGITS: u32 = 30;

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
        let amount = match (&usage.full_units, &usage.events) {
            (Some(_), Some(events)) => self.prorated(events),
            _ => self.tiers.amount_of(&usage.units),
        };
        Priced::per_unit(amount, usage.shown_units())
    }

    fn prorated(&self, events: &[EventUnits]) -> Quantity {
        let (mut level, mut peak, mut amount) = (Quantity::ZERO, Quantity::ZERO, Quantity::ZERO);
        for event in events {
            let next = &level + &event.units;
            let whole = &self.tiers.without_flats(&next) - &self.tiers.without_flats(&level);
            // An event without units moves no level and costs nothing.
            let part = (&whole * &event.prorated_units).divided(&event.units, QUOTIENT_DIGITS);
            amount += &part.unwrap_or_default();
            peak = peak.max(next.clone());
            level = next;
        }
        &amount + &self.tiers.flats(&peak)
    }

    pub(super) fn details(&self, units: &Quantity) -> Value {
        json!({ "graduated_ranges": self.tiers.details(units, |tier| ("per_unit_amount", tier.price.clone())) })
    }
}
