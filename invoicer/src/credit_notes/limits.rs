//! What limits a credit note: what was billed and not yet credited, paid and not yet paid back, due and not yet settled.

use super::NewNote;
use crate::actions::ActionError;
use crate::credits::note::{CreditedBefore, NotCredited, NoteItem, NoteSums, note_sums};
use crate::ledger::LedgerError;
use crate::ledger::credit_notes::{self, StoredNote};
use crate::ledger::invoices::{self, StoredInvoice};
use crate::ledger::states;
use crate::model::{InvoiceKind, InvoiceStatus};
use catalog::WriteTransaction;
use domain::ids::{InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use http_api::ApiError;

/// Places to which an amount is spread over fees.
const SPREAD_PLACES: u32 = 20;

/// Where the total of a note goes; the parts add up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// To later invoices.
    pub credit: MinorUnits,
    /// To the customer, in money.
    pub refund: MinorUnits,
    /// To the note's own invoice.
    pub offset: MinorUnits,
}

/// What of an invoice is credited.
#[derive(Clone, Debug)]
pub enum Credited {
    /// Of each of these fees so much, before coupons and taxes.
    Items(Vec<NoteItem>),
    /// So much in all, coupons and taxes considered, of all fees alike.
    Amount(MinorUnits),
}

/// An invoice with what limits its notes.
pub(super) struct Base {
    pub(super) invoice: StoredInvoice,
    pub(super) before: CreditedBefore,
    pub(super) creditable: MinorUnits,
    pub(super) refundable: MinorUnits,
    pub(super) offsettable: MinorUnits,
}

pub(super) fn refused(code: &'static str, detail: impl Into<String>) -> ActionError {
    ActionError::Api(ApiError::unprocessable(code, detail.into()))
}

impl From<NotCredited> for ActionError {
    fn from(error: NotCredited) -> Self {
        refused("not_creditable", error.to_string())
    }
}

pub(super) async fn base_of(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: InvoiceId,
) -> Result<Base, ActionError> {
    let row_lock = write.for_update();
    let found = invoices::lock(write.connection(), row_lock, organization, id).await?;
    let invoice = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Invoice")))?;
    if !matches!(invoice.status, InvoiceStatus::Finalized | InvoiceStatus::Paid) {
        let detail = format!("Only finalized and paid invoices are credited; this one is {}", invoice.status);
        return Err(refused("wrong_invoice_state", detail));
    }
    if invoice.kind == InvoiceKind::Credit {
        let detail = "credit paid ahead stays in its wallet: it cannot be credited";
        return Err(refused("invoice_of_credit", detail));
    }
    if invoice.kind == InvoiceKind::ProgressiveBilling {
        let detail = "the invoice of the period bills this usage again and takes this one off: credit that one";
        return Err(refused("progressive_invoice", detail));
    }
    let before = credit_notes::credited(write.connection(), id).await?;
    let billed = invoice.subtotal.0 - invoice.coupons.0 + invoice.tax.0;
    let creditable = MinorUnits(billed - before.net.0 - before.tax.0);
    let refundable = MinorUnits(states::paid_in_money(write.connection(), id).await?.0 - before.refunded.0);
    let offsettable = MinorUnits(invoice.total.0 - states::settled(write.connection(), id).await?.0);
    Ok(Base { invoice, before, creditable, refundable, offsettable })
}

/// The same as if a draft of it were not there.
pub(super) fn without(base: Base, note: &StoredNote) -> Result<Base, ActionError> {
    let total = note.sums.total().map_err(LedgerError::from)?;
    Ok(Base {
        creditable: MinorUnits(base.creditable.0 + total.0),
        refundable: MinorUnits(base.refundable.0 + note.refund.0),
        ..base
    })
}

pub(super) fn same_as_invoice(invoice: &StoredInvoice, new: &NewNote) -> Result<(), ActionError> {
    if new.customer.is_some_and(|customer| customer != invoice.customer) {
        return Err(refused("another_customer", "the invoice is another customer's"));
    }
    if new.currency.as_deref().is_some_and(|currency| currency != invoice.currency.code()) {
        return Err(refused("another_currency", format!("the invoice is in {}", invoice.currency)));
    }
    Ok(())
}

pub(super) fn whole(kind: &str, total: MinorUnits) -> Parts {
    match kind {
        "refund" => Parts { refund: total, ..Parts::default() },
        "offset" => Parts { offset: total, ..Parts::default() },
        _ => Parts { credit: total, ..Parts::default() },
    }
}

pub(super) fn check_parts(base: &Base, total: MinorUnits, parts: Parts) -> Result<(), ActionError> {
    let sum = parts.credit.plus(parts.refund).and_then(|sum| sum.plus(parts.offset));
    if sum != Ok(total) {
        let detail = format!("credit, refund and offset should add up to {total}, what the items come to with taxes");
        return Err(refused("parts_do_not_add_up", detail));
    }
    let limits = [
        (total, base.creditable, "billed and not yet credited"),
        (parts.refund, base.refundable, "paid in money and not yet paid back"),
        (parts.offset, base.offsettable, "still due of the invoice"),
    ];
    for (wanted, most, of) in limits {
        if wanted > most {
            return Err(refused("more_than_is_left", format!("{wanted} is more than the {most} that are {of}")));
        }
    }
    Ok(())
}

pub(super) fn credited_of(base: &Base, credited: &Credited) -> Result<(NoteSums, Vec<NoteItem>), ActionError> {
    let fees = &base.invoice.fees;
    let amount = match credited {
        Credited::Items(items) if items.is_empty() => {
            return Err(refused("nothing_credited", "there should be at least one item"));
        }
        Credited::Items(items) => return Ok((note_sums(fees, &base.before, items)?, items.clone())),
        Credited::Amount(amount) => *amount,
    };
    if amount.0 <= 0 || amount > base.creditable {
        let detail = format!("an amount should be more than 0 and at most the {} not yet credited", base.creditable);
        return Err(refused("more_than_is_left", detail));
    }
    let part = Quantity::from(amount.0).divided(&Quantity::from(base.creditable.0), SPREAD_PLACES);
    let part = part.unwrap_or(Quantity::ZERO);
    let items: Vec<NoteItem> = fees
        .iter()
        .map(|fee| (fee, credit_notes::left_of(fee.amount, base.before.fees.get(&fee.id))))
        .filter(|(_, left)| left.is_positive())
        .map(|(fee, left)| NoteItem { fee: fee.id, amount: &left * &part })
        .collect();
    let spread = note_sums(fees, &base.before, &items)?;
    // Exactly what was asked for: what rounding the two parts moves is net.
    let tax = spread.tax.min(amount);
    Ok((NoteSums { net: MinorUnits(amount.0 - tax.0), tax, ..spread }, items))
}
