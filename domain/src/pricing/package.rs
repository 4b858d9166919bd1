//! Package: units past the free ones are sold in packages; a started package is due whole.

use super::properties::Properties;
use super::{Priced, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

/// A price per package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    price: Quantity,
    /// Units in a package, more than 0.
    size: Quantity,
    free: Quantity,
}

impl Package {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        let price = read.required_amount(["amount", "unit_price"]);
        let size = read.number("package_size").unwrap_or(Quantity::ONE);
        if !size.is_positive() {
            read.reject("package_size", "must be greater than 0");
        }
        let free = read.amount("free_units").unwrap_or_default();
        Some(Self { price: price?, size, free })
    }

    fn paid_units(&self, units: &Quantity) -> Quantity {
        (units - &self.free).or_zero()
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Priced {
        let paid = self.paid_units(&usage.units);
        // The size is greater than 0, so there is a quotient.
        let packages = paid.divided_up(&self.size).unwrap_or_default();
        Priced::per_unit(&packages * &self.price, &paid)
    }

    pub(super) fn details(&self, units: &Quantity) -> Value {
        json!({
            "free_units": self.free,
            "paid_units": self.paid_units(units),
            "per_package_size": self.size,
            "per_package_unit_amount": self.price,
        })
    }
}
