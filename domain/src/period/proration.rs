//! Proration: the share of a period, in local days, that a flat amount is owed for.
//!
//! A day that is touched counts whole: a subscription that runs from noon to the next morning owes two days. Who counts the
//! day of a change (the old plan or the new one) is billing's decision; here only days are counted.

use crate::money::MinorUnits;
use crate::quantity::Quantity;
use bigdecimal::num_bigint::BigInt;
use num_traits::ToPrimitive;

/// `days` of `of` local days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Proration {
    /// Days owed.
    pub days: u32,
    /// Days of the whole period, at least 1.
    pub of: u32,
}

impl Proration {
    /// The whole period.
    pub const WHOLE: Proration = Proration { days: 1, of: 1 };

    /// Whether nothing is taken off.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.days >= self.of
    }

    /// `amount × days / of`, rounded once, half away from zero.
    #[must_use]
    pub fn of_minor_units(&self, amount: MinorUnits) -> MinorUnits {
        if self.is_whole() {
            return amount;
        }
        // 64 bits × 32 bits fits 128; doubling for the half adds one.
        let (days, of) = (i128::from(self.days), i128::from(self.of.max(1)));
        let share = i128::from(amount.0) * days;
        let rounded = (share.abs() * 2 + of) / (of * 2) * share.signum();
        // days < of, so the result is no larger than the amount.
        MinorUnits(rounded.to_i64().unwrap_or(amount.0))
    }

    /// `quantity × days / of`, rounded up (away from what is free) to `precision` digits, as prorated units are.
    #[must_use]
    pub fn of_quantity_up(&self, quantity: &Quantity, precision: u32) -> Quantity {
        let scale = Quantity::from(bigdecimal::BigDecimal::new(BigInt::from(10).pow(precision), 0));
        let share = &(quantity * &Quantity::from(u64::from(self.days))) * &scale;
        let steps = share.divided_up(&Quantity::from(u64::from(self.of.max(1)))).unwrap_or(share);
        &steps * &Quantity::new(1, precision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_once_half_away_from_zero() {
        let share = |days, of, amount| Proration { days, of }.of_minor_units(MinorUnits(amount)).0;
        assert_eq!(share(6, 31, 1000), 194);
        assert_eq!(share(25, 28, 1_000_000) - share(25, 28, 100_000), 803_571);
        assert_eq!((share(1, 2, 1), share(1, 2, 0), share(1, 2, -1)), (1, 0, -1));
        assert_eq!([30, 31].map(|days| Proration { days, of: 31 }.is_whole()), [false, true]);
        assert_eq!(share(31, 31, i64::MAX), i64::MAX);
        assert_eq!(share(30, 31, i64::MIN), -8_925_843_906_633_654_008);
    }

    #[test]
    fn prorated_units_are_rounded_up_to_five_digits() {
        let share = |days, of: u32, quantity: &str| {
            Proration { days, of }.of_quantity_up(&quantity.parse().unwrap(), 5).to_string()
        };
        assert_eq!(share(52, 31, "1"), "1.67742");
        assert_eq!(share(16, 31, "1"), "0.51613");
        assert_eq!(share(31, 31, "1"), "1");
        assert_eq!(share(1, 3, "0.3"), "0.1");
    }
}
