//! What a customer has to spend: one account of the ledger each.

use super::bill::{Bill, BillLine};
use crate::model::FeeKind;
use domain::ids::{InvoiceId, OrganizationId, PlanId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use uuid::Uuid;

/// What kind of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FundKind {
    /// A coupon applied to a customer. Its balance counts uses.
    Coupon,
    /// The credit of a credit note, in minor units.
    CreditNote,
    /// Prepaid credit, in minor units.
    Wallet,
}

impl FundKind {
    /// The text in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coupon => "coupon",
            Self::CreditNote => "credit_note",
            Self::Wallet => "wallet",
        }
    }

    /// The kind of a text.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        [Self::Coupon, Self::CreditNote, Self::Wallet].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a coupon takes off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discount {
    /// An amount in the account's currency.
    Fixed(MinorUnits),
    /// A fraction of what it is limited to.
    Share(Quantity),
}

/// What an applied coupon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponTerms {
    /// What it takes off.
    pub discount: Discount,
    /// Whether it is never used up.
    pub endless: bool,
    /// Fees of these plans only; empty: of any.
    pub plans: Vec<PlanId>,
    /// Fees of these metrics only; empty: of any.
    pub metrics: Vec<String>,
}

/// What a wallet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletTerms {
    /// Its code, by which events name it.
    pub code: Option<String>,
    /// The first pays first.
    pub priority: i64,
    /// Fees of these kinds only; empty: of any.
    pub fee_types: Vec<FeeKind>,
    /// Fees of these metrics only; empty: of any.
    pub metrics: Vec<String>,
}

impl WalletTerms {
    /// Whether it pays a line.
    #[must_use]
    pub fn pays(&self, line: &BillLine) -> bool {
        if line.wallet.is_some() {
            return line.wallet == self.code;
        }
        if self.fee_types.is_empty() && self.metrics.is_empty() {
            return true;
        }
        self.fee_types.contains(&line.kind) || line.metric_code.as_ref().is_some_and(|code| self.metrics.contains(code))
    }
}

/// By what it is spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FundTerms {
    /// As a coupon.
    Coupon(CouponTerms),
    /// On anything.
    CreditNote,
    /// As a wallet.
    Wallet(WalletTerms),
}

impl FundTerms {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FundKind {
        match self {
            Self::Coupon(_) => FundKind::Coupon,
            Self::CreditNote => FundKind::CreditNote,
            Self::Wallet(_) => FundKind::Wallet,
        }
    }
}

/// An account that may be spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fund {
    /// Of the account.
    pub id: Uuid,
    /// Currency of what it is spent on; absent: any.
    pub currency: Option<Currency>,
    /// What is left of it.
    pub balance: i64,
    /// Number of its last entry.
    pub entries: i64,
    /// From when on it is not spent any more.
    pub expires_at: Option<Timestamp>,
    /// By what it is spent.
    pub terms: FundTerms,
}

/// One entry that spends of a fund.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Tenant.
    pub organization: OrganizationId,
    /// Of which account.
    pub fund: Uuid,
    /// Its kind.
    pub kind: FundKind,
    /// Number of the entry.
    pub sequence: i64,
    /// What the account had before.
    pub before: i64,
    /// What is taken from the account, in its own unit; of an endless coupon nothing.
    pub units: i64,
    /// What is taken off the invoice.
    pub cents: MinorUnits,
    /// Which invoice.
    pub invoice: InvoiceId,
    /// Whether the account stays open.
    pub open: bool,
    /// When.
    pub at: Timestamp,
}

impl Fund {
    /// Takes `units` for an invoice.
    pub(super) fn take(&mut self, units: i64, cents: MinorUnits, bill: &Bill) -> Spent {
        let before = self.balance;
        self.balance -= units;
        self.entries += 1;
        let open = self.balance > 0
            || match &self.terms {
                FundTerms::Coupon(terms) => terms.endless,
                FundTerms::CreditNote => false,
                // It may be topped up.
                FundTerms::Wallet(_) => true,
            };
        Spent {
            organization: bill.organization,
            fund: self.id,
            kind: self.terms.kind(),
            sequence: self.entries,
            before,
            units,
            cents,
            invoice: bill.invoice,
            open,
            at: bill.at,
        }
    }
}
