//! Worked examples of the order of application, and shares that add up.

use super::bill::{Bill, BillLine};
use super::fund::{CouponTerms, Discount, Fund, FundTerms, WalletTerms};
use super::spend::spend;
use crate::model::{Credits, FeeKind, InvoiceKind};
use crate::tax::{AppliedTax, InvoiceTaxes};
use domain::ids::{CustomerId, FeeId, InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

fn tax(rate: &str) -> AppliedTax {
    AppliedTax {
        tax_id: Uuid::from_u128(1),
        tax_code: rate.into(),
        tax_name: rate.into(),
        tax_rate: rate.parse().unwrap(),
    }
}

fn bill(lines: &[(&str, i64, &str)]) -> Bill {
    let line = |(code, amount, rate): &(&str, i64, &str)| BillLine {
        fee: FeeId(Uuid::now_v7()),
        kind: FeeKind::Charge,
        plan: None,
        metric_code: Some((*code).to_owned()),
        wallet: None,
        amount: MinorUnits(*amount),
        taxes: vec![tax(rate)],
        coupons: Quantity::ZERO,
    };
    Bill {
        organization: OrganizationId::random(),
        invoice: InvoiceId(Uuid::now_v7()),
        customer: CustomerId(Uuid::now_v7()),
        currency: "EUR".parse().unwrap(),
        kind: InvoiceKind::Subscription,
        issued: true,
        at: Timestamp(10),
        lines: lines.iter().map(line).collect(),
        subtotal: MinorUnits(lines.iter().map(|(_, amount, _)| amount).sum()),
        taxes: InvoiceTaxes::default(),
        credits: Credits::default(),
        total: MinorUnits::ZERO,
    }
}

fn fund(balance: i64, terms: FundTerms) -> Fund {
    Fund { id: Uuid::now_v7(), currency: "EUR".parse().ok(), balance, entries: 1, expires_at: None, terms }
}

fn coupon(discount: Discount, metrics: &[&str]) -> Fund {
    let metrics = metrics.iter().map(|code| (*code).to_owned()).collect();
    fund(1, FundTerms::Coupon(CouponTerms { discount, endless: false, plans: Vec::new(), metrics }))
}

fn wallet(balance: i64, metrics: &[&str]) -> Fund {
    let metrics = metrics.iter().map(|code| (*code).to_owned()).collect();
    fund(balance, FundTerms::Wallet(WalletTerms { code: None, priority: 1, fee_types: Vec::new(), metrics }))
}

/// The worked example of ARCHITECTURE.md.
#[test]
fn fees_coupons_taxes_credit_notes_wallets_in_this_order() {
    let mut bill = bill(&[("calls", 6000, "0.2"), ("seats", 4000, "0.2")]);
    let coupon = coupon(Discount::Share("0.1".parse().unwrap()), &[]);
    let mut funds = [coupon, fund(1500, FundTerms::CreditNote), wallet(50_000, &["calls"])];
    let spent = spend(&mut bill, &mut funds).unwrap();
    assert_eq!((bill.subtotal.0, bill.credits.coupons.0, bill.taxes.amount.0), (10_000, 1000, 1800));
    // 10,800 with taxes; the note pays 1,500 of all lines alike; calls are six tenths of the 9,300 that are left.
    assert_eq!((bill.credits.credit_notes.0, bill.credits.wallets.0, bill.total.0), (1500, 5580, 3720));
    let left: Vec<i64> = funds.iter().map(|fund| fund.balance).collect();
    assert_eq!(left, [0, 0, 44_420]);
    assert_eq!(
        spent.iter().map(|one| (one.units, one.cents.0, one.open)).collect::<Vec<_>>(),
        [(1, 1000, false), (1500, 1500, false), (5580, 5580, true)]
    );
}

#[test]
fn a_limited_coupon_goes_before_the_others_and_shares_are_exact() {
    let mut bill = bill(&[("a", 1000, "0.1"), ("b", 2000, "0.2"), ("c", 3000, "0.1")]);
    let mut funds =
        [coupon(Discount::Fixed(MinorUnits(2000)), &["a", "b"]), coupon(Discount::Fixed(MinorUnits(500)), &[])];
    spend(&mut bill, &mut funds).unwrap();
    let shares: Quantity = bill.lines.iter().map(|line| &line.coupons).sum();
    assert_eq!((bill.credits.coupons.0, shares), (2500, Quantity::from(2500_i64)));
    // 2000 by thirds, then 500 over 333.33…, 666.66… and 3000.
    assert!(bill.lines[0].coupons.to_string().starts_with("708.3333333333333333"), "{}", bill.lines[0].coupons);
}

#[test]
fn what_does_not_fit_is_not_spent() {
    let mut other = fund(500, FundTerms::CreditNote);
    other.currency = "USD".parse().ok();
    let mut expired = wallet(500, &[]);
    expired.expires_at = Some(Timestamp(10));
    let mut one = bill(&[("a", 1000, "0")]);
    let mut funds = [coupon(Discount::Fixed(MinorUnits(5)), &["b"]), other, expired, wallet(500, &["b"])];
    assert_eq!(spend(&mut one, &mut funds).unwrap(), []);
    assert_eq!(one.total.0, 1000);
    // A draft shows its discount and spends nothing.
    let mut draft = bill(&[("a", 1000, "0")]);
    draft.issued = false;
    let mut funds = [coupon(Discount::Fixed(MinorUnits(5)), &[]), wallet(500, &[])];
    assert_eq!(spend(&mut draft, &mut funds).unwrap(), []);
    assert_eq!((draft.credits.coupons.0, draft.total.0, funds[0].balance), (5, 995, 1));
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_goes_below_zero(
        lines in proptest::collection::vec((-500_i64..20_000, 0_usize..3, 0_usize..3), 1..8),
        discounts in proptest::collection::vec((1_i64..9000, 0_usize..4), 0..4),
        notes in proptest::collection::vec(1_i64..9000, 0..3),
        wallets in proptest::collection::vec((0_i64..9000, 0_usize..4), 0..3),
    ) {
        const CODES: [&str; 3] = ["a", "b", "c"];
        const RATES: [&str; 3] = ["0", "0.2", "0.088755"];
        let named: Vec<_> = lines.iter().map(|(amount, code, rate)| (CODES[*code], *amount, RATES[*rate])).collect();
        let mut bill = bill(&named);
        let limit = |code: &usize| CODES.get(*code).map(|code| vec![*code]).unwrap_or_default();
        let mut funds: Vec<Fund> = Vec::new();
        funds.extend(discounts.iter().map(|(amount, code)| coupon(Discount::Fixed(MinorUnits(*amount)), &limit(code))));
        funds.extend(notes.iter().map(|amount| fund(*amount, FundTerms::CreditNote)));
        funds.extend(wallets.iter().map(|(amount, code)| wallet(*amount, &limit(code))));
        let before: Vec<i64> = funds.iter().map(|fund| fund.balance).collect();
        let spent = spend(&mut bill, &mut funds).unwrap();
        let shares: Quantity = bill.lines.iter().map(|line| &line.coupons).sum();
        prop_assert_eq!(shares, Quantity::from(bill.credits.coupons.0));
        prop_assert!(bill.lines.iter().all(|line| !line.coupons.is_negative()));
        let credits = bill.credits;
        let due = bill.subtotal.0 - credits.coupons.0 + bill.taxes.amount.0 - credits.credit_notes.0 - credits.wallets.0;
        prop_assert_eq!(due, bill.total.0);
        // Below zero only by lines below zero: nothing is spent on such an invoice.
        let spent_below_zero = bill.total.0 < 0 && (credits.credit_notes.0 > 0 || credits.wallets.0 > 0);
        prop_assert!(!spent_below_zero);
        for (fund, before) in funds.iter().zip(before) {
            let taken: i64 = spent.iter().filter(|one| one.fund == fund.id).map(|one| one.units).sum();
            prop_assert!(fund.balance >= 0);
            prop_assert_eq!(before - taken, fund.balance);
        }
    }
}
