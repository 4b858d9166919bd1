//! What customers have to spend, taken off the invoices of a batch in the transaction that writes them.
//!
//! Order of locks, here and wherever credits change: billing frontiers, accounts, counters of numbers, invoices, credit notes.

use super::credit_notes::StoredNote;
use super::funds::to_spend;
use super::waiting_notes::{self, WaitingNote};
use super::{LedgerError, below_zero, funds};
use crate::credits::bill::{Bill, BillLine, target_wallet};
use crate::credits::fund::{Fund, FundKind, Spent};
use crate::credits::note::CreditedBefore;
use crate::credits::spend::spend;
use crate::ledger::drafts::ReworkedDraft;
use crate::ledger::fees::StoredFee;
use crate::model::{Credits, Invoice, InvoiceStatus};
use domain::ids::{CustomerId, FeeId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use sqlx::AnyConnection;
use std::collections::{BTreeSet, HashMap};

/// What a batch of invoices changes of what their customers have to spend, for [`write()`] once the invoices are written.
#[derive(Debug, Default)]
pub struct Settled {
    spent: Vec<Spent>,
    below_zero: Vec<StoredNote>,
    renewed: Vec<WaitingNote>,
}

impl Settled {
    /// Writes the notes over these drafts that follow them. The drafts must be written before, and the notes before they are issued.
    ///
    /// # Errors
    /// As the database.
    pub async fn write_renewed(&self, connection: &mut AnyConnection, now: Timestamp) -> Result<(), LedgerError> {
        waiting_notes::write(connection, &self.renewed, now).await
    }
}

/// Writes down what was spent, and the notes over what lies below 0. The invoices must be written before.
///
/// # Errors
/// As the database; a balance that somebody else has spent is a broken unique key.
pub async fn write(connection: &mut AnyConnection, settled: Settled, now: Timestamp) -> Result<(), LedgerError> {
    below_zero::write(connection, settled.below_zero, now).await?;
    funds::post(connection, &settled.spent).await
}

/// Takes credits off new invoices, in their order; answers what that changes, for [`write()`] once the invoices are written.
///
/// # Errors
/// As the database, or past 64 bits; roll back then.
pub async fn invoices<'a>(
    connection: &mut AnyConnection,
    row_lock: &str,
    list: impl Iterator<Item = &'a mut Invoice>,
) -> Result<Settled, LedgerError> {
    let mut list: Vec<&mut Invoice> = list.collect();
    let customers: BTreeSet<CustomerId> = list.iter().map(|invoice| invoice.customer).collect();
    let mut funds = to_spend(connection, row_lock, &customers).await?;
    let mut settled = Settled::default();
    for invoice in &mut list {
        // An attempt that was rolled back may have left what it took.
        let touched = invoice.credits != Default::default();
        if !touched && invoice.total >= MinorUnits::ZERO && !funds.contains_key(&invoice.customer) {
            continue;
        }
        settle_invoice(invoice, funds.entry(invoice.customer).or_default(), &mut settled)?;
    }
    Ok(settled)
}

fn settle_invoice(invoice: &mut Invoice, funds: &mut Vec<Fund>, settled: &mut Settled) -> Result<(), LedgerError> {
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
    settle_bill(&mut bill, funds, settled)?;
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

fn settle_bill(bill: &mut Bill, funds: &mut Vec<Fund>, settled: &mut Settled) -> Result<(), LedgerError> {
    settled.spent.extend(spend(bill, funds)?);
    if let Some(note) = below_zero::take_up(bill)? {
        insert_note(funds, below_zero::as_fund(&note));
        settled.below_zero.push(note);
    }
    Ok(())
}

/// The newest of the credit notes, which come before the wallets.
fn insert_note(funds: &mut Vec<Fund>, note: Fund) {
    let wallets = funds.iter().position(|fund| fund.terms.kind() == FundKind::Wallet);
    funds.insert(wallets.unwrap_or(funds.len()), note);
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
) -> Result<Settled, LedgerError> {
    let customers: BTreeSet<CustomerId> = list.iter().map(|reworked| reworked.draft.customer).collect();
    let mut funds = to_spend(connection, row_lock, &customers).await?;
    let mut waiting = waiting_notes::on(connection, list.iter().map(|reworked| reworked.draft.id)).await?;
    let mut settled = Settled::default();
    for reworked in list {
        let own = funds.entry(reworked.draft.customer).or_default();
        settle_draft(reworked, own, &mut settled)?;
        let notes = waiting.remove(&reworked.draft.id).unwrap_or_default();
        settled.renewed.extend(renewed(reworked, &notes)?);
        if reworked.status == InvoiceStatus::Draft {
            continue;
        }
        for note in &notes {
            let followed = settled.renewed.iter().find(|one| one.fund().id == note.fund().id);
            insert_note(own, followed.unwrap_or(note).fund());
        }
    }
    waiting_notes::lift(connection, &settled.renewed).await?;
    Ok(settled)
}

/// The notes over a draft as they are to be; none when all of them stay as they are.
fn renewed(reworked: &ReworkedDraft, notes: &[WaitingNote]) -> Result<Vec<WaitingNote>, LedgerError> {
    if notes.is_empty() {
        return Ok(Vec::new());
    }
    let shares = &reworked.kept_coupons;
    let with_share = |fee: &StoredFee| {
        let coupons = shares.get(&fee.id).unwrap_or(&fee.coupons).clone();
        StoredFee { coupons, ..fee.clone() }
    };
    let fees: Vec<StoredFee> = reworked.kept().map(with_share).collect();
    let (mut all, mut before, mut differ) = (notes.to_vec(), CreditedBefore::default(), false);
    for note in &mut all {
        differ |= note.follow(&fees, &mut before)?;
    }
    Ok(if differ { all } else { Vec::new() })
}

fn settle_draft(reworked: &mut ReworkedDraft, funds: &mut Vec<Fund>, settled: &mut Settled) -> Result<(), LedgerError> {
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
        // Taken as the draft was made.
        credits: Credits { progressive: draft.progressive_credit, ..Credits::default() },
        total: reworked.total,
    };
    settle_bill(&mut bill, funds, settled)?;
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

/// A stored fee that no coupon has been taken off.
pub(crate) fn line_of(fee: &StoredFee) -> BillLine {
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
