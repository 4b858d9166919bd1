//! What a credit note comes to: what is credited of an invoice's fees, with the coupons and taxes that go with it. Pure.
//!
//! A fee's coupons and taxes are taken back in proportion to what is credited of it. Sums are rounded over everything credited of an
//! invoice so far, less what its earlier notes came to: many notes come to what one would, and notes over all fees come to exactly
//! what was billed.

use crate::ledger::fees::StoredFee;
use crate::tax::{AppliedTax, SHARE_PLACES, TaxLine, exact_tax, rounded_sum};
use domain::ids::FeeId;
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;
use std::collections::{BTreeMap, HashMap};

/// What is credited of one fee, before coupons and taxes, in minor units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteItem {
    /// Of which.
    pub fee: FeeId,
    /// How much.
    pub amount: Quantity,
}

/// What earlier notes have credited of an invoice; those that were voided left out.
#[derive(Clone, Debug, Default)]
pub struct CreditedBefore {
    /// Of each fee, before coupons and taxes.
    pub fees: HashMap<FeeId, Quantity>,
    /// In all, after coupons and before taxes.
    pub net: MinorUnits,
    /// Taxes in all.
    pub tax: MinorUnits,
    /// Paid back in all.
    pub refunded: MinorUnits,
}

/// What a note comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteSums {
    /// Coupons that are not given back.
    pub coupons: MinorUnits,
    /// After coupons, before taxes.
    pub net: MinorUnits,
    /// Taxes.
    pub tax: MinorUnits,
    /// Each tax, rounded by itself.
    pub taxes: Vec<TaxLine>,
}

impl NoteSums {
    /// What the customer gets.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn total(&self) -> Result<MinorUnits, MoneyError> {
        self.net.plus(self.tax)
    }
}

/// Why fees cannot be credited so.
#[derive(Debug, thiserror::Error)]
pub enum NotCredited {
    /// The fee is another invoice's.
    #[error("fee {0} is not on the invoice")]
    AnotherFee(FeeId),
    /// Named twice.
    #[error("fee {0} is named twice")]
    Twice(FeeId),
    /// Nothing, or less.
    #[error("an amount to credit is more than 0")]
    NotPositive,
    /// More than is left.
    #[error("of fee {fee} at most {left} can be credited still")]
    TooMuch {
        /// Which.
        fee: FeeId,
        /// How much of it.
        left: Quantity,
    },
    /// Past 64 bits.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// What crediting these items comes to.
///
/// # Errors
/// When an item is none of the fees', is named twice, or is more than was billed and not yet credited.
pub fn note_sums(fees: &[StoredFee], before: &CreditedBefore, items: &[NoteItem]) -> Result<NoteSums, NotCredited> {
    let mut cumulated = before.fees.clone();
    let mut gross = Quantity::ZERO;
    let mut bases: BTreeMap<(String, String), (AppliedTax, Quantity)> = BTreeMap::new();
    for (place, item) in items.iter().enumerate() {
        let fee = fees.iter().find(|fee| fee.id == item.fee).ok_or(NotCredited::AnotherFee(item.fee))?;
        if items.iter().take(place).any(|earlier| earlier.fee == item.fee) {
            return Err(NotCredited::Twice(item.fee));
        }
        if !item.amount.is_positive() {
            return Err(NotCredited::NotPositive);
        }
        let credited = cumulated.entry(fee.id).or_default();
        let left = &Quantity::from(fee.amount.0) - credited;
        if item.amount > left {
            return Err(NotCredited::TooMuch { fee: fee.id, left: left.or_zero() });
        }
        *credited += &item.amount;
        gross += &item.amount;
        let net = after_coupons(fee, &item.amount);
        for tax in &fee.taxes {
            let key = (tax.tax_code.clone(), tax.tax_rate.to_string());
            bases.entry(key).or_insert_with(|| (tax.clone(), Quantity::ZERO)).1 += &net;
        }
    }
    let (mut net, mut tax) = (Quantity::ZERO, Quantity::ZERO);
    for fee in fees {
        let Some(amount) = cumulated.get(&fee.id) else { continue };
        let one = after_coupons(fee, amount);
        tax += &exact_tax(&one, &fee.taxes);
        net += &one;
    }
    // A note that was voided may have taken a rounding with it: never less than nothing.
    let rest = |all: &Quantity, earlier: MinorUnits| -> Result<MinorUnits, MoneyError> {
        Ok(rounded_sum(all)?.plus(MinorUnits(-earlier.0))?.max(MinorUnits::ZERO))
    };
    let (net, tax) = (rest(&net, before.net)?, rest(&tax, before.tax)?);
    let coupons = rounded_sum(&gross)?.plus(MinorUnits(-net.0))?.max(MinorUnits::ZERO);
    let line = |(tax, base): (AppliedTax, Quantity)| {
        let amount_cents = rounded_sum(&(&base * &tax.tax_rate))?;
        Ok(TaxLine { tax, base_amount_cents: rounded_sum(&base)?, amount_cents })
    };
    let taxes = bases.into_values().map(line).collect::<Result<_, MoneyError>>()?;
    Ok(NoteSums { coupons, net, tax, taxes })
}

/// What coupons have left of a part of a fee.
fn after_coupons(fee: &StoredFee, amount: &Quantity) -> Quantity {
    if fee.coupons.is_zero() {
        return amount.clone();
    }
    let share = (&fee.coupons * amount).divided(&Quantity::from(fee.amount.0), SHARE_PLACES);
    amount - &share.unwrap_or(Quantity::ZERO)
}
