//! What usage that is not billed yet will take from a customer's wallets; nothing is stored.
//!
//! The open usage period of each subscription is worked out as a preview does it, with taxes, before coupons and credit notes: those are
//! spent on invoices only. Each line counts against the first wallet that pays such lines, by priority, then age.

use crate::credits::bill::BillLine;
use crate::credits::fund::WalletTerms;
use crate::ledger::wallets::StoredWallet;
use crate::model::FeeKind;
use crate::preview::{PreviewError, PreviewOf, preview};
use crate::tax::rounded_sum;
use catalog::Catalog;
use domain::ids::SubscriptionId;
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::Rater;
use uuid::Uuid;

impl StoredWallet {
    /// What it pays.
    #[must_use]
    pub fn terms(&self) -> WalletTerms {
        WalletTerms {
            code: self.code.clone(),
            priority: self.priority,
            fee_types: self.fee_types.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

/// What usage so far will take from `wallet`, of all `wallets` of its customer in the order in which they pay.
///
/// # Errors
/// When catalog or store cannot be read, or a subscription cannot be rated.
pub async fn ongoing_usage(
    (catalog, rater): (&Catalog, &Rater),
    wallet: &StoredWallet,
    wallets: &[StoredWallet],
    subscriptions: &[SubscriptionId],
    now: Timestamp,
) -> Result<MinorUnits, PreviewError> {
    let terms: Vec<(Uuid, WalletTerms)> = wallets.iter().map(|one| (one.id, one.terms())).collect();
    let mut sum = Quantity::ZERO;
    for subscription in subscriptions {
        let (organization, customer) = (wallet.organization, wallet.customer);
        let of = PreviewOf { organization, customer, subscription: *subscription, now, bounds: None };
        let shown = match preview(catalog, rater, of).await {
            Err(PreviewError::NotStarted) => continue,
            shown => shown?,
        };
        if shown.currency != wallet.currency {
            continue;
        }
        for fee in shown.fees.iter().filter(|fee| fee.kind == FeeKind::Charge && fee.in_advance.is_none()) {
            let line = BillLine::of(fee);
            let payer = terms.iter().find(|(_, terms)| terms.pays(&line));
            if payer.is_some_and(|(id, _)| *id == wallet.id) {
                sum += &line.gross();
            }
        }
    }
    Ok(rounded_sum(&sum)?)
}
