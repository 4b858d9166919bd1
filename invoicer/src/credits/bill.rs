//! An invoice as credits see it.

use crate::model::{Credits, Fee, FeeKind, InvoiceKind};
use crate::tax::{InvoiceTaxes, SHARE_PLACES, Taxed, exact_tax, rounded_sum, taxes_of};
use domain::ids::{CustomerId, FeeId, InvoiceId, OrganizationId, PlanId};
use domain::money::{Currency, MinorUnits, MoneyError};
use domain::quantity::Quantity;
use domain::time::Timestamp;

/// A line of it.
#[derive(Clone, Debug)]
pub struct BillLine {
    /// The fee.
    pub fee: FeeId,
    /// Its kind.
    pub kind: FeeKind,
    /// By which plan.
    pub plan: Option<PlanId>,
    /// Code of its metric.
    pub metric_code: Option<String>,
    /// Code of the one wallet that pays it, where its events name one.
    pub wallet: Option<String>,
    /// What is owed.
    pub amount: MinorUnits,
    /// The taxes it bears.
    pub taxes: Vec<crate::tax::AppliedTax>,
    /// Its exact share of coupons.
    pub coupons: Quantity,
}

impl BillLine {
    /// Of a fee that no coupon has been taken off.
    #[must_use]
    pub fn of(fee: &Fee) -> Self {
        Self {
            fee: fee.id,
            kind: fee.kind,
            plan: fee.plan,
            metric_code: fee.metric_code.clone(),
            wallet: target_wallet(&fee.properties),
            amount: fee.amount,
            taxes: fee.taxes.clone(),
            coupons: Quantity::ZERO,
        }
    }

    /// What coupons have left of it.
    #[must_use]
    pub fn left(&self) -> Quantity {
        &Quantity::from(self.amount.0) - &self.coupons
    }

    /// The same with taxes.
    #[must_use]
    pub fn gross(&self) -> Quantity {
        let left = self.left();
        &left + &exact_tax(&left, &self.taxes)
    }

    fn taxed(&self) -> Taxed<'_> {
        Taxed { amount: self.amount, coupons: &self.coupons, taxes: &self.taxes }
    }
}

/// The property of events that names the wallet which pays them.
pub const TARGET_WALLET: &str = "target_wallet_code";

/// The wallet that a fee's group names.
#[must_use]
pub fn target_wallet(properties: &str) -> Option<String> {
    if !properties.contains(TARGET_WALLET) {
        return None;
    }
    let properties: serde_json::Value = serde_json::from_str(properties).ok()?;
    properties["group"][TARGET_WALLET].as_str().map(str::to_owned)
}

/// An invoice.
#[derive(Clone, Debug)]
pub struct Bill {
    /// Tenant.
    pub organization: OrganizationId,
    /// Which.
    pub invoice: InvoiceId,
    /// Who owes it.
    pub customer: CustomerId,
    /// In which currency.
    pub currency: Currency,
    /// What it is for.
    pub kind: InvoiceKind,
    /// Whether it is issued: a draft spends nothing.
    pub issued: bool,
    /// The instant at which credits must not have expired.
    pub at: Timestamp,
    /// Its lines.
    pub lines: Vec<BillLine>,
    /// Σ lines.
    pub subtotal: MinorUnits,
    /// What its taxes come to.
    pub taxes: InvoiceTaxes,
    /// What is taken off.
    pub credits: Credits,
    /// What is due.
    pub total: MinorUnits,
}

impl Bill {
    /// Taxes and total from lines and credits.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn add_up(&mut self) -> Result<(), MoneyError> {
        self.taxes = taxes_of(self.lines.iter().map(BillLine::taxed))?;
        self.total = due(self.subtotal, self.taxes.amount, &self.credits)?;
        Ok(())
    }
}

/// What is due of an invoice (I5).
///
/// # Errors
/// Past 64 bits.
pub fn due(subtotal: MinorUnits, tax: MinorUnits, credits: &Credits) -> Result<MinorUnits, MoneyError> {
    let taken = [credits.coupons, credits.progressive, credits.credit_notes, credits.wallets];
    let less = |sum: MinorUnits, amount: MinorUnits| sum.plus(MinorUnits(-amount.0));
    taken.into_iter().try_fold(subtotal.plus(tax)?, less)
}

/// How much of each line is still open, exactly, as credits that know nothing of lines pay all of them alike.
#[derive(Clone, Debug)]
pub struct Open(Vec<Quantity>);

impl Open {
    /// Everything of a bill.
    #[must_use]
    pub fn all(bill: &Bill) -> Self {
        Self(bill.lines.iter().map(BillLine::gross).collect())
    }

    /// How much of the lines of these numbers is open, in minor units; less than nothing counts as nothing.
    ///
    /// # Errors
    /// Past 64 bits.
    pub fn of(&self, lines: &[usize]) -> Result<MinorUnits, MoneyError> {
        let sum = rounded_sum(&self.sum(lines))?;
        Ok(sum.max(MinorUnits::ZERO))
    }

    fn sum(&self, lines: &[usize]) -> Quantity {
        lines.iter().filter_map(|line| self.0.get(*line)).sum()
    }

    /// Takes an amount off these lines, each in proportion.
    pub fn pay(&mut self, lines: &[usize], amount: MinorUnits) {
        let sum = self.sum(lines);
        if !sum.is_positive() {
            return;
        }
        let Some(part) = Quantity::from(amount.0).divided(&sum, SHARE_PLACES) else { return };
        let part = if part > Quantity::ONE { Quantity::ONE } else { part };
        for line in lines {
            if let Some(open) = self.0.get_mut(*line) {
                *open = &*open - &(&*open * &part);
            }
        }
    }
}
