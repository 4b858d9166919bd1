//! Money that people write down: it came, it was announced, it was paid back.
//!
//! ```text
//! announced (pending) ──mark-paid──► succeeded ──refunds of all of it──► refunded
//!         └──delete                  (or recorded as succeeded at once)
//! ```
//!
//! A payment settles its invoice as it succeeds, in the same transaction; the invoice is paid once nothing is due. More than what is
//! due is refused, unless a wallet is named that takes the surplus.
//!
//! Money that is paid back is due again, unless it is paid back for a credit note: that was credited, and its refund is done then.
//!
//! Locks: the wallet's account, the invoice, the payment. It refuses to talk to payment providers: whoever does writes the outcome down
//! through the same states.

use crate::actions::ActionError;
use crate::api::PaymentRecord;
use crate::ledger::funds::{self, Account, Change as Entry};
use crate::ledger::invoices::{self, StoredInvoice};
use crate::ledger::payments::{self, PaymentState, StoredPayment};
use crate::ledger::{credit_notes, states, wallets};
use crate::model::{InvoiceKind, InvoiceStatus};
use crate::run::BillingRuns;
use catalog::WriteTransaction;
use catalog::audit::{Change, written_down};
use domain::ids::{InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

const RESOURCE: &str = "payment";
/// Settlements of payments in the ledger.
const PAYMENT: &str = "payment";

/// Money to write down.
#[derive(Clone, Debug)]
pub struct NewPayment {
    /// For which invoice.
    pub invoice: InvoiceId,
    /// How much.
    pub amount: MinorUnits,
    /// Must be the invoice's, where it was sent.
    pub currency: Option<String>,
    /// The payer's.
    pub reference: Option<String>,
    /// For people.
    pub notes: Option<String>,
    /// Whether it is only announced.
    pub pending: bool,
    /// The wallet that takes what is more than due.
    pub surplus_to: Option<Uuid>,
}

fn refused(code: &'static str, detail: impl Into<String>) -> ActionError {
    ActionError::Api(ApiError::bad_request(code, detail.into()))
}

fn changed_meanwhile() -> ActionError {
    let detail = "the invoice was changed by another request or a billing run: look again";
    ActionError::Api(ApiError::conflict("invoice_changed", detail))
}

impl BillingRuns {
    /// Writes money down that came, or that is announced.
    ///
    /// # Errors
    /// 404 for an unknown invoice, 400 when it is not finalized or less is due and no wallet takes the rest, 422 for another currency.
    pub async fn record_payment(
        &self,
        organization: OrganizationId,
        new: NewPayment,
        now: Timestamp,
    ) -> Result<StoredPayment, ActionError> {
        let mut write = self.database().write().await?;
        let wallet = surplus_wallet(&mut write, organization, new.surplus_to).await?;
        let (invoice, due) = payable(&mut write, organization, new.invoice).await?;
        if new.currency.as_deref().is_some_and(|currency| currency != invoice.currency.code()) {
            let detail = format!("the invoice is in {}", invoice.currency);
            return Err(ApiError::unprocessable("currency_mismatch", detail).into());
        }
        let mut payment = StoredPayment {
            id: Uuid::now_v7(),
            organization,
            customer: invoice.customer,
            invoice: invoice.id,
            state: PaymentState::Pending,
            currency: invoice.currency,
            amount: new.amount,
            surplus: None,
            refunded: MinorUnits::ZERO,
            reopened: MinorUnits::ZERO,
            reference: new.reference,
            notes: new.notes,
            completed_at: None,
            created_at: now,
            updated_at: now,
        };
        if new.pending {
            payments::insert(write.connection(), &payment).await?;
            return self.logged_payment(write, None, payment, now).await;
        }
        let surplus = MinorUnits((new.amount.0 - due.0).max(0));
        if surplus.0 > 0 {
            let account = wallet.ok_or_else(|| more_than_due(new.amount, due))?;
            payment.surplus = Some((surplus, account.id));
            take_surplus(&mut write, organization, &invoice, account, surplus, now).await?;
        }
        (payment.state, payment.completed_at) = (PaymentState::Succeeded, Some(now));
        payments::insert(write.connection(), &payment).await?;
        settle(&mut write, &invoice, &payment, MinorUnits(new.amount.0 - surplus.0), now).await?;
        self.logged_payment(write, None, payment, now).await
    }

    /// The money of an announced payment came.
    ///
    /// # Errors
    /// 404, 400 when it is not announced, the invoice is not finalized or less is due.
    pub async fn mark_payment_paid(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<StoredPayment, ActionError> {
        let named = self.payment(organization, id).await?;
        let mut write = self.database().write().await?;
        let (invoice, due) = payable(&mut write, organization, named.invoice).await?;
        let before = in_state(&mut write, organization, id, PaymentState::Pending).await?;
        if before.amount > due {
            return Err(more_than_due(before.amount, due));
        }
        let after = StoredPayment {
            state: PaymentState::Succeeded,
            completed_at: Some(now),
            updated_at: now,
            ..before.clone()
        };
        payments::update(write.connection(), &after).await?;
        settle(&mut write, &invoice, &after, after.amount, now).await?;
        self.logged_payment(write, Some(&before), after, now).await
    }

    /// Money was paid back: the rest of the payment, or part of it; for a credit note, or else it is due again.
    ///
    /// # Errors
    /// 404, 400 when it did not succeed, less of it is left, a credit note is to pay it back, or it bought credit; 409.
    pub async fn refund_payment(
        &self,
        organization: OrganizationId,
        id: Uuid,
        (amount, note): (Option<MinorUnits>, Option<Uuid>),
        now: Timestamp,
    ) -> Result<StoredPayment, ActionError> {
        let named = self.payment(organization, id).await?;
        let mut write = self.database().write().await?;
        let row_lock = write.for_update();
        let found = invoices::lock(write.connection(), row_lock, organization, named.invoice).await?;
        let invoice = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Invoice")))?;
        let before = in_state(&mut write, organization, id, PaymentState::Succeeded).await?;
        let kept = MinorUnits(before.amount.0 - before.surplus.map_or(0, |(cents, _)| cents.0));
        let left = MinorUnits(kept.0 - before.refunded.0);
        let amount = match note {
            Some(note) => paid_back_for(&mut write, organization, &invoice, note, now).await?,
            None => amount.unwrap_or(left),
        };
        if amount > left {
            return Err(refused("more_than_paid", format!("{amount} is more than the {left} that were not paid back")));
        }
        let mut after =
            StoredPayment { refunded: MinorUnits(before.refunded.0 + amount.0), updated_at: now, ..before.clone() };
        if note.is_none() {
            after.reopened = MinorUnits(before.reopened.0 + amount.0);
            reopen(&mut write, &invoice, &before, amount, now).await?;
        }
        if after.refunded == kept {
            after.state = PaymentState::Refunded;
        }
        payments::update(write.connection(), &after).await?;
        self.logged_payment(write, Some(&before), after, now).await
    }

    /// Takes back the announcement of a payment.
    ///
    /// # Errors
    /// 404, 400 when the money came.
    pub async fn delete_payment(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let mut write = self.database().write().await?;
        let before = in_state(&mut write, organization, id, PaymentState::Pending).await?;
        if !payments::delete(write.connection(), &before).await? {
            return Err(refused("wrong_payment_state", "Only pending payments are deleted"));
        }
        let record = PaymentRecord::of(&before);
        let change = Change { resource: RESOURCE, before: Some(&record), after: None };
        written_down(&mut write, organization, id, change, now).await?;
        Ok(write.commit().await?)
    }

    /// A payment that failed is announced again.
    ///
    /// # Errors
    /// 404, 400 when it did not fail.
    pub async fn retry_payment(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<StoredPayment, ActionError> {
        let mut write = self.database().write().await?;
        let before = in_state(&mut write, organization, id, PaymentState::Failed).await?;
        let after = StoredPayment { state: PaymentState::Pending, updated_at: now, ..before.clone() };
        payments::update(write.connection(), &after).await?;
        self.logged_payment(write, Some(&before), after, now).await
    }

    /// One payment.
    ///
    /// # Errors
    /// 404 when the organization has no such payment.
    pub async fn payment(&self, organization: OrganizationId, id: Uuid) -> Result<StoredPayment, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = payments::get(&mut connection, organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Payment").into())
    }

    async fn logged_payment(
        &self,
        mut write: WriteTransaction,
        before: Option<&StoredPayment>,
        after: StoredPayment,
        now: Timestamp,
    ) -> Result<StoredPayment, ActionError> {
        let (old, new) = (before.map(PaymentRecord::of), PaymentRecord::of(&after));
        let change = Change { resource: RESOURCE, before: old.as_ref(), after: Some(&new) };
        written_down(&mut write, after.organization, after.id, change, now).await?;
        write.commit().await?;
        Ok(after)
    }
}

fn more_than_due(amount: MinorUnits, due: MinorUnits) -> ActionError {
    refused("more_than_due", format!("{amount} is more than the {due} that are due; name a wallet that takes the rest"))
}

async fn surplus_wallet(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    wallet: Option<Uuid>,
) -> Result<Option<Account>, ActionError> {
    let Some(wallet) = wallet else { return Ok(None) };
    let row_lock = write.for_update();
    let account = funds::lock(write.connection(), row_lock, organization, wallet).await?;
    account.map(Some).ok_or_else(|| refused("unknown_wallet", "Wallet not found"))
}

/// An issued invoice, locked, with what is due of it; the account that it fills is locked before it.
async fn payable(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: InvoiceId,
) -> Result<(StoredInvoice, MinorUnits), ActionError> {
    let row_lock = write.for_update();
    wallets::lock_filled_by(write.connection(), row_lock, organization, id).await?;
    let found = invoices::lock(write.connection(), row_lock, organization, id).await?;
    let invoice = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Invoice")))?;
    if invoice.status != InvoiceStatus::Finalized {
        let detail = format!("Only finalized invoices; this one is {}", invoice.status);
        return Err(refused("wrong_invoice_state", detail));
    }
    let due = MinorUnits(invoice.total.0 - states::settled(write.connection(), id).await?.0);
    Ok((invoice, due))
}

async fn in_state(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: Uuid,
    wanted: PaymentState,
) -> Result<StoredPayment, ActionError> {
    let found = payments::get(write.connection(), organization, id).await?;
    let payment = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Payment")))?;
    if payment.state != wanted {
        let detail = format!("Only {} payments; this one is {}", wanted.as_str(), payment.state.as_str());
        return Err(refused("wrong_payment_state", detail));
    }
    Ok(payment)
}

async fn take_surplus(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    mut account: Account,
    surplus: MinorUnits,
    now: Timestamp,
) -> Result<(), ActionError> {
    let wallet = wallets::get(write.connection(), organization, account.id).await?;
    let fits = wallet.is_some_and(|wallet| {
        wallet.is_active(now) && wallet.customer == invoice.customer && wallet.currency == invoice.currency
    });
    if !fits {
        let detail = "the wallet should be an active one of the invoice's customer and currency";
        return Err(refused("wallet_does_not_fit", detail));
    }
    let entry = Entry {
        entry: "overpaid",
        amount: surplus.0,
        invoice: None,
        invoice_cents: 0,
        source: "manual".into(),
        spendable: true,
    };
    Ok(funds::change(write.connection(), &mut account, &entry, now).await?)
}

async fn settle(
    write: &mut WriteTransaction,
    invoice: &StoredInvoice,
    payment: &StoredPayment,
    amount: MinorUnits,
    now: Timestamp,
) -> Result<(), ActionError> {
    let with = (PAYMENT, payment.id.to_string(), amount);
    if !states::settle(write.connection(), payment.organization, invoice, with, now).await? {
        return Err(changed_meanwhile());
    }
    Ok(())
}

/// What a credit note pays back, which is done now.
async fn paid_back_for(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    invoice: &StoredInvoice,
    note: Uuid,
    now: Timestamp,
) -> Result<MinorUnits, ActionError> {
    let found = credit_notes::get(write.connection(), organization, note).await?;
    let found = found.filter(|note| note.invoice == invoice.id);
    let mut note = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Credit note")))?;
    let open = matches!(note.refund_status.as_deref(), Some("pending" | "failed"));
    if !note.finalized || note.voided_at.is_some() || note.refund.0 == 0 || !open {
        return Err(refused("nothing_to_pay_back", "the credit note has no refund that waits to be paid"));
    }
    note.refund_status = Some("succeeded".into());
    if !credit_notes::update(write.connection(), &note, now).await? {
        return Err(changed_meanwhile());
    }
    Ok(note.refund)
}

/// Money that was paid back is due again.
async fn reopen(
    write: &mut WriteTransaction,
    invoice: &StoredInvoice,
    payment: &StoredPayment,
    amount: MinorUnits,
    now: Timestamp,
) -> Result<(), ActionError> {
    if invoice.kind == InvoiceKind::Credit {
        return Err(refused("credit_has_arrived", "the payment bought credit, which is in its wallet"));
    }
    let paid = states::paid_in_money(write.connection(), invoice.id).await?;
    let promised = credit_notes::credited(write.connection(), invoice.id).await?.refunded;
    if paid.0 - amount.0 < promised.0 {
        let detail = "credit notes are to pay this money back: refund for them";
        return Err(refused("promised_by_credit_notes", detail));
    }
    let with = (PAYMENT, payment.id.to_string(), amount);
    if !states::unsettle(write.connection(), payment.organization, invoice, with, now).await? {
        return Err(changed_meanwhile());
    }
    Ok(())
}
