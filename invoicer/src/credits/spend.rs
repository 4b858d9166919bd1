//! The order of application. Pure.

use super::bill::{Bill, Open};
use super::coupons::{discount, discounts};
use super::fund::{Fund, FundTerms, Spent};
use crate::model::{Credits, InvoiceKind};
use domain::money::{MinorUnits, MoneyError};
use domain::quantity::Quantity;

/// Takes off a bill what its customer has to spend, and answers what that takes from the funds. From a draft only coupons are taken
/// off, and nothing from the funds.
///
/// `funds` are in the order of use: see [`super::coupons::rank`] for coupons; credit notes the oldest first; wallets by priority,
/// then the oldest first.
///
/// # Errors
/// Past 64 bits.
pub fn spend(bill: &mut Bill, funds: &mut [Fund]) -> Result<Vec<Spent>, MoneyError> {
    begin_anew(bill);
    let mut spent = Vec::new();
    if discounts(bill.kind) {
        for fund in funds.iter_mut().filter(|fund| matches!(fund.terms, FundTerms::Coupon(_))) {
            let cents = discount(bill, fund)?;
            if cents > MinorUnits::ZERO && bill.issued {
                // The period's invoice bills the same usage again and takes off what was billed: that is what uses a coupon up.
                let is_used_up = fund.balance > 0 && bill.kind != InvoiceKind::ProgressiveBilling;
                let uses = i64::from(is_used_up);
                spent.push(fund.take(uses, cents, bill));
            }
        }
    }
    bill.add_up()?;
    if !bill.issued || bill.kind == InvoiceKind::Credit {
        return Ok(spent);
    }
    let mut open = Open::all(bill);
    let every: Vec<usize> = (0..bill.lines.len()).collect();
    for fund in funds.iter_mut().filter(|fund| fund.terms == FundTerms::CreditNote) {
        let Some(cents) = payable(bill, fund, bill.total) else { continue };
        open.pay(&every, cents);
        bill.credits.credit_notes = bill.credits.credit_notes.plus(cents)?;
        bill.total = MinorUnits(bill.total.0 - cents.0);
        spent.push(fund.take(cents.0, cents, bill));
    }
    for fund in funds.iter_mut() {
        let FundTerms::Wallet(terms) = &fund.terms else { continue };
        let paid: Vec<usize> = every.iter().copied().filter(|line| terms.pays(&bill.lines[*line])).collect();
        // The whole is rounded once, its parts are not: who pays every line pays the whole.
        let most = if paid.len() == every.len() { bill.total } else { open.of(&paid)?.min(bill.total) };
        let Some(cents) = payable(bill, fund, most) else { continue };
        open.pay(&paid, cents);
        bill.credits.wallets = bill.credits.wallets.plus(cents)?;
        bill.total = MinorUnits(bill.total.0 - cents.0);
        spent.push(fund.take(cents.0, cents, bill));
    }
    Ok(spent)
}

fn begin_anew(bill: &mut Bill) {
    bill.credits = Credits { progressive: bill.credits.progressive, ..Credits::default() };
    bill.lines.iter_mut().for_each(|line| line.coupons = Quantity::ZERO);
}

fn payable(bill: &Bill, fund: &Fund, most: MinorUnits) -> Option<MinorUnits> {
    let fits = fund.currency.is_none_or(|currency| currency == bill.currency)
        && fund.expires_at.is_none_or(|expires_at| bill.at < expires_at);
    let cents = MinorUnits(fund.balance.min(most.0));
    (fits && cents > MinorUnits::ZERO).then_some(cents)
}
