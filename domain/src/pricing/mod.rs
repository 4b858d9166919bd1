//! Price models: how the units of one fee become an exact amount in currency units.
//!
//! A charge's properties are parsed once, when a plan is written ([`PriceModel::parse`] names range and field of every
//! mistake) and again when it is rated; what parses can be priced. One file per model. Pricing is pure and exact: it uses
//! [`Quantity`] throughout, rounds nothing but the unit amount that is shown ([`UNIT_AMOUNT_DIGITS`]), and leaves cents to the
//! one place that makes them ([`crate::money::Currency::to_minor_units`], I5).
//!
//! Prices are in currency units: `"0.01"` is one cent in USD. Keys a model does not know are ignored, as the contract has it.
//!
//! | model | properties | amount of u units |
//! |---|---|---|
//! | standard | `amount` (else `unit_price`), `min_price`, `max_price` | u × price, clamped |
//! | graduated | `graduated_ranges` (else `tiers`) | each range at its price + `flat_amount` of each range entered; the first is always entered |
//! | volume | `volume_ranges` (else `tiers`) | all u at the price of the range they reach + its `flat_amount` |
//! | package | `amount` (else `unit_price`), `package_size`, `free_units` | started packages × amount |
//! | percentage | `rate` (else `percentage`), `fixed_amount`, `free_units_per_events`, `free_units_per_total_aggregation`, `per_transaction_min_amount`, `per_transaction_max_amount` | see [`percentage`] |
//! | graduated_percentage | `graduated_percentage_ranges` | as graduated, at a rate in percent |
//! | custom | `custom_amount` (else `unit_price`) | the amount, or u × price |
//! | dynamic | `price_field`, `quantity_field` | what the events say ([`UsageToPrice::dynamic_total`]) |
//!
//! Units below zero (corrections can outweigh usage): standard, graduated, volume, percentage and custom price them at their
//! first price, so that the amount is negative too; a package charge has no negative packages and gives 0.

mod advance;
mod custom;
pub mod dynamic;
mod graduated;
mod graduated_percentage;
mod overlay;
mod package;
pub mod percentage;
mod properties;
mod standard;
mod tiers;
mod volume;

pub use advance::{AdvanceLevel, advance_fee};
pub use overlay::{group_keys, overlaid};
pub use properties::PropertyError;

use crate::catalog::ChargeModel;
use crate::quantity::Quantity;
use properties::Properties;

/// Digits after the decimal point of a unit amount that is a quotient. It is shown, never multiplied: the amount is exact.
pub const UNIT_AMOUNT_DIGITS: u32 = 15;

/// The units of one event, for the models that price events one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventUnits {
    /// Its value.
    pub units: Quantity,
    /// Its value for the days it counts in the period; the same when the charge is not prorated.
    pub prorated_units: Quantity,
}

impl EventUnits {
    /// An event of a charge that is not prorated.
    #[must_use]
    pub fn whole(units: Quantity) -> Self {
        Self { prorated_units: units.clone(), units }
    }
}

/// What a model may need to know of a period's usage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageToPrice {
    /// The metric's quantity, rounded, and prorated when the charge is.
    pub units: Quantity,
    /// The quantity before proration; the unit amount is per such unit.
    pub full_units: Option<Quantity>,
    /// Events that make up the quantity.
    pub events_count: u64,
    /// Those events in the order they count, when [`PriceModel::needs`] asks for them or the charge is prorated.
    pub events: Option<Vec<EventUnits>>,
    /// Σ price × quantity of the events in currency units, when [`PriceModel::needs`] asks for it.
    pub dynamic_total: Option<Quantity>,
}

impl UsageToPrice {
    /// So many units, of events nobody looks at.
    #[must_use]
    pub fn of(units: Quantity, events_count: u64) -> Self {
        Self { units, events_count, ..Self::default() }
    }

    /// Made-up units for a simulation: no event is counted, one imagined event carries them, a dynamic charge is 0.
    #[must_use]
    pub fn simulated(units: Quantity) -> Self {
        let events = Some(vec![EventUnits::whole(units.clone())]);
        Self { units, events, dynamic_total: Some(Quantity::ZERO), ..Self::default() }
    }

    /// The units that the unit amount is per.
    fn shown_units(&self) -> &Quantity {
        self.full_units.as_ref().unwrap_or(&self.units)
    }
}

/// An amount, exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// In currency units, not rounded.
    pub amount: Quantity,
    /// Amount per unit in currency units, to [`UNIT_AMOUNT_DIGITS`]; 0 without units. (Package: per unit that is not free.)
    pub unit_amount: Quantity,
}

impl Priced {
    fn per_unit(amount: Quantity, units: &Quantity) -> Self {
        let unit_amount = amount.divided(units, UNIT_AMOUNT_DIGITS).unwrap_or_default();
        Self { amount, unit_amount }
    }
}

/// What of the usage a model reads beside units and number of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`UsageToPrice::events`].
    pub events: bool,
    /// [`UsageToPrice::dynamic_total`].
    pub dynamic_total: bool,
}

/// Why usage cannot be priced.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum PricingError {
    /// The model prices events one by one and was given none.
    #[error("this charge is priced event by event, and the events were not given")]
    NeedsEvents,
    /// The model sums amounts that the events carry and was not given the sum.
    #[error("this charge is priced by amounts in its events, and their total was not given")]
    NeedsDynamicTotal,
}

/// A charge's model with its prices, parsed and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceModel {
    /// Units × price.
    Standard(standard::Standard),
    /// Each range at its own price.
    Graduated(graduated::Graduated),
    /// All units at the price of the range they reach.
    Volume(volume::Volume),
    /// Started packages.
    Package(package::Package),
    /// A share of the quantity, with fixed fees.
    Percentage(percentage::Percentage),
    /// A share per range.
    GraduatedPercentage(graduated_percentage::GraduatedPercentage),
    /// A given amount, or units × price.
    Custom(custom::Custom),
    /// What the events say.
    Dynamic(dynamic::Dynamic),
}

impl PriceModel {
    /// Reads and checks a charge's properties.
    ///
    /// # Errors
    /// Every mistake, each with the path of its field, such as `graduated_ranges[1].to_value`.
    pub fn parse(model: ChargeModel, properties: &serde_json::Value) -> Result<Self, Vec<PropertyError>> {
        let mut read = Properties::new(properties);
        let parsed = match model {
            ChargeModel::Standard => standard::Standard::read(&mut read).map(Self::Standard),
            ChargeModel::Graduated => graduated::Graduated::read(&mut read).map(Self::Graduated),
            ChargeModel::Volume => volume::Volume::read(&mut read).map(Self::Volume),
            ChargeModel::Package => package::Package::read(&mut read).map(Self::Package),
            ChargeModel::Percentage => percentage::Percentage::read(&mut read).map(Self::Percentage),
            ChargeModel::GraduatedPercentage => {
                graduated_percentage::GraduatedPercentage::read(&mut read).map(Self::GraduatedPercentage)
            }
            ChargeModel::Custom => custom::Custom::read(&mut read).map(Self::Custom),
            ChargeModel::Dynamic => dynamic::Dynamic::read(&mut read).map(Self::Dynamic),
        };
        if let Err(error) = group_keys(properties) {
            read.report(error);
        }
        read.finish(parsed)
    }

    /// What of the usage it reads beside units and number of events.
    #[must_use]
    pub fn needs(&self) -> Needs {
        match self {
            Self::Percentage(percentage) => Needs { events: percentage.needs_events(), dynamic_total: false },
            Self::Dynamic(_) => Needs { events: false, dynamic_total: true },
            _ => Needs::default(),
        }
    }

    /// The exact amount of `usage`.
    ///
    /// # Errors
    /// When [`PriceModel::needs`] something that was not given.
    pub fn price(&self, usage: &UsageToPrice) -> Result<Priced, PricingError> {
        match self {
            Self::Standard(model) => Ok(model.price(usage)),
            Self::Graduated(model) => Ok(model.price(usage)),
            Self::Volume(model) => Ok(model.price(usage)),
            Self::Package(model) => Ok(model.price(usage)),
            Self::Percentage(model) => model.price(usage),
            Self::GraduatedPercentage(model) => Ok(model.price(usage)),
            Self::Custom(model) => Ok(model.price(usage)),
            Self::Dynamic(_) => dynamic::price(usage),
        }
    }

    /// How the amount came about, for people: ranges with their units, free units, fixed fees. Empty where there is nothing
    /// to tell beside units and price, and where proration prices each event where it lies.
    ///
    /// # Errors
    /// As [`PriceModel::price`].
    pub fn details(&self, usage: &UsageToPrice) -> Result<serde_json::Value, PricingError> {
        match self {
            Self::Graduated(_) if usage.full_units.is_some() => Ok(serde_json::json!({})),
            Self::Graduated(model) => Ok(model.details(&usage.units)),
            Self::Volume(model) => Ok(model.details(&usage.units)),
            Self::Package(model) => Ok(model.details(&usage.units)),
            Self::Percentage(model) => model.details(usage),
            Self::GraduatedPercentage(model) => Ok(model.details(&usage.units)),
            Self::Standard(_) | Self::Custom(_) | Self::Dynamic(_) => Ok(serde_json::json!({})),
        }
    }
}

#[cfg(test)]
mod cookbook;
#[cfg(test)]
mod shown_tests;
#[cfg(test)]
mod tests;
