//! Discounts on the lines of an invoice. Pure.
//!
//! Coupons are used in this order: those limited to metrics, those limited to plans, the others; inside each in the order in which
//! they were applied to the customer. Each takes off what those before it have left. What it takes off is whole minor units; each
//! line's share is exact to thirty places, and the shares add up to the discount.

use super::bill::{Bill, BillLine};
use super::fund::{CouponTerms, Discount, Fund, FundTerms};
use crate::model::InvoiceKind;
use crate::tax::{SHARE_PLACES, rounded_sum};
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;

/// Whether coupons are used on invoices of a kind: those of subscriptions, not what is sold by hand or paid ahead.
#[must_use]
pub fn discounts(kind: InvoiceKind) -> bool {
    matches!(kind, InvoiceKind::Subscription | InvoiceKind::ProgressiveBilling)
}

/// The place of a coupon in the order of use.
#[must_use]
pub fn rank(terms: &CouponTerms) -> u8 {
    match (terms.metrics.is_empty(), terms.plans.is_empty()) {
        (false, _) => 0,
        (true, false) => 1,
        (true, true) => 2,
    }
}

/// What a coupon takes off a bill now, which is spread over its lines.
///
/// # Errors
/// Past 64 bits.
pub fn discount(bill: &mut Bill, fund: &Fund) -> Result<MinorUnits, MoneyError> {
    let FundTerms::Coupon(terms) = &fund.terms else { return Ok(MinorUnits::ZERO) };
    let wrong_currency = fund.currency.is_some_and(|currency| currency != bill.currency);
    if wrong_currency || (fund.balance == 0 && !terms.endless) {
        return Ok(MinorUnits::ZERO);
    }
    let lines: Vec<usize> = (0..bill.lines.len()).filter(|line| applies(terms, &bill.lines[*line])).collect();
    let left: Vec<Quantity> = lines.iter().map(|line| bill.lines[*line].left()).collect();
    let base: Quantity = left.iter().sum();
    // Lines below nothing count against the whole: a discount never takes an invoice below 0.
    let whole = bill.subtotal.plus(MinorUnits(-bill.credits.coupons.0))?;
    let most = rounded_down(&base)?.min(whole).max(MinorUnits::ZERO);
    let wanted = match &terms.discount {
        Discount::Fixed(amount) => *amount,
        Discount::Share(share) => rounded_sum(&(&base * share))?,
    };
    let amount = wanted.min(most);
    spread(bill, &lines, &base, amount);
    bill.credits.coupons = bill.credits.coupons.plus(amount)?;
    Ok(amount)
}

fn applies(terms: &CouponTerms, line: &BillLine) -> bool {
    let of_plan = || line.plan.is_some_and(|plan| terms.plans.contains(&plan));
    let of_metric = || line.metric_code.as_ref().is_some_and(|code| terms.metrics.contains(code));
    line.left().is_positive() && (terms.plans.is_empty() || of_plan()) && (terms.metrics.is_empty() || of_metric())
}

/// Shares kept to thirty places may add up to a hair less than whole minor units.
fn rounded_down(base: &Quantity) -> Result<MinorUnits, MoneyError> {
    let near = rounded_sum(base)?;
    let over = &Quantity::from(near.0) - base;
    let hair = Quantity::new(1, SHARE_PLACES / 2);
    Ok(if over > hair { MinorUnits(near.0 - 1) } else { near })
}

fn spread(bill: &mut Bill, lines: &[usize], base: &Quantity, amount: MinorUnits) {
    let mut rest = Quantity::from(amount.0);
    let whole = rest.clone();
    for (place, line) in lines.iter().enumerate() {
        let line = &mut bill.lines[*line];
        let share = if place + 1 == lines.len() {
            rest.clone()
        } else {
            (&line.left() * &whole).divided(base, SHARE_PLACES).unwrap_or(Quantity::ZERO)
        };
        line.coupons += &share;
        rest = &rest - &share;
    }
}
