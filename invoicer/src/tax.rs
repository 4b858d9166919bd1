//! Taxes of fees and invoices. Pure.
//!
//! I5: a fee's tax is exact ((amount − exact coupon share) × rate); what is rounded, once and half away from zero, is the invoice's tax (the exact sum over
//! all its fees and taxes) and, for the tax table, each tax over its fees. Cents shown per fee need not add up to either.

use crate::model::Fee;
use bigdecimal::{BigDecimal, RoundingMode, ToPrimitive};
use catalog::billing::Tax;
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A tax that a fee bears, as it was when the fee was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedTax {
    /// The tax.
    pub tax_id: Uuid,
    /// Its code.
    pub tax_code: String,
    /// Its name.
    pub tax_name: String,
    /// A fraction.
    pub tax_rate: Quantity,
}

impl From<&Arc<Tax>> for AppliedTax {
    fn from(tax: &Arc<Tax>) -> Self {
        Self { tax_id: tax.id, tax_code: tax.code.clone(), tax_name: tax.name.clone(), tax_rate: tax.rate.clone() }
    }
}

/// One row of an invoice's tax table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaxLine {
    /// The tax.
    #[serde(flatten)]
    pub tax: AppliedTax,
    /// Σ of the fees that bear it.
    pub base_amount_cents: MinorUnits,
    /// The tax on them, rounded once.
    pub amount_cents: MinorUnits,
}

/// What the taxes of an invoice come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvoiceTaxes {
    /// The exact sum, rounded once.
    pub amount: MinorUnits,
    /// By tax, in the order of codes.
    pub lines: Vec<TaxLine>,
}

/// Places to which a share of a coupon is kept: shares are quotients, most have no end.
pub const SHARE_PLACES: u32 = 30;
/// Sums of such shares are off by less than 10⁻²⁰ for any invoice that can be written (10⁷ lines × 10⁻³⁰ × a rate below 1,000), so
/// a sum this near to half a cent is half a cent.
const SETTLED_PLACES: i64 = 20;

/// A fee as its taxes see it.
#[derive(Clone, Copy, Debug)]
pub struct Taxed<'a> {
    /// What is owed.
    pub amount: MinorUnits,
    /// Its share of coupons, which is not taxed.
    pub coupons: &'a Quantity,
    /// The taxes it bears.
    pub taxes: &'a [AppliedTax],
}

impl<'a> Taxed<'a> {
    /// Of a fee.
    #[must_use]
    pub fn fee(fee: &'a Fee) -> Self {
        Self { amount: fee.amount, coupons: &fee.coupons, taxes: &fee.taxes }
    }

    /// What is taxed.
    #[must_use]
    pub fn base(&self) -> Quantity {
        &Quantity::from(self.amount.0) - self.coupons
    }

    /// The tax, rounded by itself: for showing.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn rounded_tax(&self) -> Result<MinorUnits, MoneyError> {
        rounded_sum(&exact_tax(&self.base(), self.taxes))
    }
}

/// The exact tax on a base.
#[must_use]
pub fn exact_tax(base: &Quantity, taxes: &[AppliedTax]) -> Quantity {
    let rate: Quantity = taxes.iter().map(|tax| &tax.tax_rate).sum();
    base * &rate
}

/// Rounded half away from zero.
///
/// # Errors
/// Past 64 bits.
pub fn rounded(exact: &Quantity) -> Result<MinorUnits, MoneyError> {
    let whole: BigDecimal = exact.to_big().with_scale_round(0, RoundingMode::HalfUp);
    whole.to_i64().map(MinorUnits).ok_or(MoneyError::TooLarge)
}

/// A sum over shares of coupons, rounded half away from zero as the sum without end would be.
///
/// # Errors
/// Past 64 bits.
pub fn rounded_sum(sum: &Quantity) -> Result<MinorUnits, MoneyError> {
    rounded(&Quantity::from(sum.to_big().with_scale_round(SETTLED_PLACES, RoundingMode::HalfUp)))
}

/// The taxes of an invoice, from its fees.
///
/// # Errors
/// When a sum passes 64 bits.
pub fn taxes_of<'a>(fees: impl IntoIterator<Item = Taxed<'a>>) -> Result<InvoiceTaxes, MoneyError> {
    let mut exact = Quantity::ZERO;
    let mut bases: BTreeMap<(String, Uuid, String), (AppliedTax, Quantity)> = BTreeMap::new();
    for fee in fees {
        if fee.taxes.is_empty() {
            continue;
        }
        let base = fee.base();
        exact += &exact_tax(&base, fee.taxes);
        for tax in fee.taxes {
            // The rate is part of the key: it may have been changed between two fees of one draft.
            let key = (tax.tax_code.clone(), tax.tax_id, tax.tax_rate.to_string());
            let (_, sum) = bases.entry(key).or_insert_with(|| (tax.clone(), Quantity::ZERO));
            *sum += &base;
        }
    }
    let line = |(tax, base): (AppliedTax, Quantity)| {
        let amount = rounded_sum(&(&base * &tax.tax_rate))?;
        Ok(TaxLine { tax, base_amount_cents: rounded_sum(&base)?, amount_cents: amount })
    };
    let lines = bases.into_values().map(line).collect::<Result<_, MoneyError>>()?;
    Ok(InvoiceTaxes { amount: rounded_sum(&exact)?, lines })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tax(code: u8, rate: &str) -> AppliedTax {
        let code_text = code.to_string();
        AppliedTax {
            tax_id: Uuid::from_u128(code.into()),
            tax_code: code_text.clone(),
            tax_name: code_text,
            tax_rate: rate.parse().unwrap(),
        }
    }

    fn taxed(cents: i64, taxes: &[AppliedTax]) -> Taxed<'_> {
        const NONE: &Quantity = &Quantity::ZERO;
        Taxed { amount: MinorUnits(cents), coupons: NONE, taxes }
    }

    fn total(lines: &[(i64, &[AppliedTax])]) -> i64 {
        taxes_of(lines.iter().map(|(cents, taxes)| taxed(*cents, taxes))).unwrap().amount.0
    }

    #[test]
    fn worked_examples_of_invoice_tax() {
        // 194 at 20 %: 38.8.
        assert_eq!(total(&[(194, &[tax(1, "0.2")])]), 39);
        // Eight fees of one cent at 40 %: 3.2, not eight times nothing.
        let cent = (1, &[tax(1, "0.4")][..]);
        assert_eq!(total(&[cent; 8]), 3);
        // 17,900 at 10 % and 14,900 at 10 % and 10 %.
        assert_eq!(total(&[(17_900, &[tax(1, "0.1")]), (14_900, &[tax(1, "0.1"), tax(2, "0.1")])]), 4770);
        // Six places and more.
        assert_eq!(total(&[(1_000_000, &[tax(1, "0.088755")])]), 88_755);
        assert_eq!(total(&[(-5, &[tax(1, "0.1")])]), -1, "half away from zero on either side");
        assert_eq!(total(&[(100, &[])]), 0);
    }

    proptest! {
        #[test]
        fn the_invoices_tax_is_the_rational_sum_rounded_once(
            lines in proptest::collection::vec((-1_000_000_i64..1_000_000, proptest::collection::vec(0_i64..2_000_000, 0..3)), 0..12)
        ) {
            let fees: Vec<(MinorUnits, Vec<AppliedTax>)> = lines
                .iter()
                .map(|(cents, rates)| {
                    let rated = |(rate, code): (&i64, u8)| {
                        AppliedTax { tax_rate: Quantity::new(i128::from(*rate), 6), ..tax(code, "0") }
                    };
                    (MinorUnits(*cents), rates.iter().zip(0_u8..).map(rated).collect())
                })
                .collect();
            // In millionths of a cent, as whole numbers.
            let exact: i128 = lines.iter().map(|(cents, rates)| i128::from(*cents) * i128::from(rates.iter().sum::<i64>())).sum();
            let rounded = (exact.abs() * 2 + 1_000_000) / 2_000_000 * exact.signum();
            let taxes = taxes_of(fees.iter().map(|(amount, taxes)| taxed(amount.0, taxes))).unwrap();
            prop_assert_eq!(i128::from(taxes.amount.0), rounded);
            // Rows are rounded one by one: each may be off by half a cent.
            let rows: i64 = taxes.lines.iter().map(|line| line.amount_cents.0).sum();
            let most_off = i64::try_from(taxes.lines.len() / 2 + 1).unwrap();
            prop_assert!((rows - taxes.amount.0).abs() <= most_off);
        }
    }
}
