//! What usage that is not billed yet will take from a customer's wallets; nothing is stored.
//!
//! The open usage period of each subscription is worked out as a preview does it, with taxes, before coupons and credit notes: those are
//! spent on invoices only. Each line counts against the first wallet that pays such lines, by priority, then age.

use crate::credits::bill::BillLine;
use crate::credits::fund::WalletTerms;
use crate::ledger::settle::line_of;
use crate::ledger::wallets::StoredWallet;
use crate::ledger::{LedgerError, invoices, progressive};
use crate::model::FeeKind;
use crate::preview::{PreviewError, PreviewOf, preview};
use crate::tax::rounded_sum;
use catalog::{Catalog, DatabaseError};
use domain::ids::{OrganizationId, SubscriptionId};
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
        let is_ours = |line: &BillLine| {
            let payer = terms.iter().find(|(_, terms)| terms.pays(line));
            payer.is_some_and(|(id, _)| *id == wallet.id)
        };
        let usage = shown.fees.iter().filter(|fee| fee.kind == FeeKind::Charge && fee.in_advance.is_none());
        for line in usage.map(BillLine::of).filter(is_ours) {
            sum += &line.gross();
        }
        let billed = billed_at_thresholds(catalog, wallet.organization, *subscription).await?;
        for line in billed.into_iter().filter(is_ours) {
            sum = &sum - &line.gross();
        }
    }
    Ok(rounded_sum(&sum)?)
}

/// Usage of the open period that stands on an invoice already; the newest such invoice holds all of it.
async fn billed_at_thresholds(
    catalog: &Catalog,
    organization: OrganizationId,
    subscription: SubscriptionId,
) -> Result<Vec<BillLine>, PreviewError> {
    let acquired = catalog.database().pool().acquire().await;
    let mut connection = acquired.map_err(|error| LedgerError::Database(DatabaseError::from(error)))?;
    let mut lines = Vec::new();
    for bill in progressive::waiting(&mut connection, &[subscription]).await? {
        let invoice = invoices::get(&mut connection, organization, bill.invoice).await?;
        lines.extend(invoice.iter().flat_map(|invoice| &invoice.fees).map(line_of));
    }
    Ok(lines)
}
