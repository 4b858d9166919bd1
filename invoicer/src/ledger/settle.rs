//! What customers have to spend, taken off the invoices of a batch in the transaction that writes them.
//!
//! Order of locks, here and wherever credits change: billing frontiers, accounts, counters of numbers, invoices, credit notes.

use super::funds::to_spend;
use super::{LedgerError, credit_notes};
use crate::credits::bill::{Bill, BillLine, target_wallet};
use crate::credits::fund::{Fund, Spent};
use crate::credits::spend::spend;
use crate::ledger::drafts::ReworkedDraft;
use crate::ledger::fees::StoredFee;
use crate::model::{Invoice, InvoiceStatus};
use domain::ids::{CustomerId, FeeId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use sqlx::AnyConnection;
use std::collections::{BTreeSet, HashMap};

/// Takes credits off new invoices, in their order; answers what that takes from accounts, for [`super::funds::post`] once the invoices are
/// written.
///
/// # Errors
/// As the database, or past 64 bits; roll back then.
pub async fn invoices<'a>(
    connection: &mut AnyConnection,
    row_lock: &str,
    list: impl Iterator<Item = &'a mut Invoice>,
) -> Result<Vec<Spent>, LedgerError> {
    let mut list: Vec<&mut Invoice> = list.collect();
    let customers: BTreeSet<CustomerId> = list.iter().map(|invoice| invoice.customer).collect();
    let mut funds = to_spend(connection, row_lock, &customers).await?;
    let mut spent = Vec::new();
    for invoice in &mut list {
        // An attempt that was rolled back may have left what it took.
        let touched = invoice.credits != Default::default();
        let Some(own) = funds.get_mut(&invoice.customer) else {
            if touched {
                settle_invoice(invoice, &mut [], &mut spent)?;
            }
            continue;
        };
        settle_invoice(invoice, own, &mut spent)?;
    }
    Ok(spent)
}

fn settle_invoice(invoice: &mut Invoice, funds: &mut [Fund], spent: &mut Vec<Spent>) -> Result<(), LedgerError> {
    let issued = matches!(invoice.status, InvoiceStatus::Finalized | InvoiceStatus::Paid);
    let mut bill = Bill {
        organization: invoice.organization,
        invoice: invoice.id,
        customer: invoice.customer,
        currency: invoice.currency,
        kind: invoice.kind,
        issued,
        at: if issued { invoice.issued_at } else { invoice.due_at },
        lines: invoice.fees.iter().map(BillLine::of).collect(),
        subtotal: invoice.subtotal,
        taxes: invoice.taxes.clone(),
        credits: invoice.credits,
        total: invoice.total,
    };
    spent.extend(spend(&mut bill, funds)?);
    for (fee, line) in invoice.fees.iter_mut().zip(bill.lines) {
        fee.coupons = line.coupons;
    }
    (invoice.taxes, invoice.credits, invoice.total) = (bill.taxes, bill.credits, bill.total);
    if issued {
        invoice.status = settled_as(bill.total);
        invoice.paid_at = (invoice.status == InvoiceStatus::Paid).then_some(invoice.issued_at);
    }
    Ok(())
}

/// An invoice of which nothing is due is paid as it is issued.
fn settled_as(total: MinorUnits) -> InvoiceStatus {
    if total == MinorUnits::ZERO { InvoiceStatus::Paid } else { InvoiceStatus::Finalized }
}

/// As [`invoices`]: takes credits off drafts that are issued, or shows on them what coupons will take off, in their order. Credit notes that waited
/// for one of them to be issued may be spent on the next.
///
/// # Errors
/// As the database, or past 64 bits; roll back then.
pub async fn drafts(
    connection: &mut AnyConnection,
    row_lock: &str,
    list: &mut [ReworkedDraft],
) -> Result<Vec<Spent>, LedgerError> {
    let customers: BTreeSet<CustomerId> = list.iter().map(|reworked| reworked.draft.customer).collect();
    let mut funds = to_spend(connection, row_lock, &customers).await?;
    let waiting = credit_notes::waiting_on(connection, list.iter().map(|reworked| reworked.draft.id)).await?;
    let mut spent = Vec::new();
    for reworked in list {
        let own = funds.entry(reworked.draft.customer).or_default();
        settle_draft(reworked, own, &mut spent)?;
        if reworked.status == InvoiceStatus::Draft {
            continue;
        }
        let freed = waiting.get(&reworked.draft.id).into_iter().flatten().cloned();
        let wallets = own.iter().position(|fund| fund.terms.kind() == crate::credits::fund::FundKind::Wallet);
        let place = wallets.unwrap_or(own.len());
        own.splice(place..place, freed);
    }
    Ok(spent)
}

fn settle_draft(reworked: &mut ReworkedDraft, funds: &mut [Fund], spent: &mut Vec<Spent>) -> Result<(), LedgerError> {
    let draft = &reworked.draft;
    let issued = reworked.status != InvoiceStatus::Draft;
    let kept = reworked.kept().map(line_of);
    let mut bill = Bill {
        organization: reworked.organization,
        invoice: draft.id,
        customer: draft.customer,
        currency: draft.currency,
        kind: draft.kind,
        issued,
        at: if issued { reworked.issued_at } else { draft.due_at },
        lines: kept.chain(reworked.anew.iter().map(|(_, fee)| BillLine::of(fee))).collect(),
        subtotal: reworked.subtotal,
        taxes: reworked.taxes.clone(),
        credits: Default::default(),
        total: reworked.total,
    };
    spent.extend(spend(&mut bill, funds)?);
    let mut shares: HashMap<FeeId, Quantity> = bill.lines.into_iter().map(|line| (line.fee, line.coupons)).collect();
    for (_, fee) in &mut reworked.anew {
        fee.coupons = shares.remove(&fee.id).unwrap_or(Quantity::ZERO);
    }
    reworked.kept_coupons = shares;
    (reworked.taxes, reworked.credits, reworked.total) = (bill.taxes, bill.credits, bill.total);
    if issued {
        reworked.status = settled_as(bill.total);
    }
    Ok(())
}

fn line_of(fee: &StoredFee) -> BillLine {
    BillLine {
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
