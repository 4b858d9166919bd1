//! What is done with credit notes by hand: estimated, drafted, changed, issued, withdrawn.
//!
//! ```text
//! estimate        draft ──finalize──► finalized ──void──► what is left of it is withdrawn
//! ```
//!
//! A note credits fees of an issued invoice, with their coupons and taxes in proportion, never more than was billed and not yet
//! credited: drafts count, so that what was promised can be kept. Its total is credit (spent by later invoices), refund (to be paid
//! back; at most what was paid in money) and offset (taken off what is due of its own invoice), one or several at once.
//!
//! Whatever changes a note locks its invoice first, so what was checked still holds when it is written; should it not, the ledger's
//! constraints refuse it.

mod limits;

pub use limits::{Credited, Parts};

use crate::actions::ActionError;
use crate::api::CreditNoteRecord;
use crate::credits::fund::FundKind;
use crate::credits::note::NoteSums;
use crate::ledger::credit_notes::{self, StoredNote};
use crate::ledger::funds::{self, Change as Entry, NewAccount};
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::states;
use crate::run::BillingRuns;
use catalog::WriteTransaction;
use catalog::audit::{Change, written_down};
use catalog::database::DatabaseError;
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::ApiError;
use limits::{Base, base_of, check_parts, credited_of, same_as_invoice, whole, without};
use uuid::Uuid;

const RESOURCE: &str = "credit_note";

/// A note to make.
#[derive(Clone, Debug)]
pub struct NewNote {
    /// Of which invoice.
    pub invoice: InvoiceId,
    /// Must be the invoice's, where it is named.
    pub customer: Option<CustomerId>,
    /// Must be the invoice's, where it is named.
    pub currency: Option<String>,
    /// The client's; absent: the next of the organization's own.
    pub number: Option<String>,
    /// `credit`, `refund` or `offset`.
    pub kind: &'static str,
    /// Why.
    pub reason: String,
    /// Text.
    pub description: Option<String>,
    /// What of it.
    pub credited: Credited,
    /// Where it goes; absent: all of it where the kind says.
    pub parts: Option<Parts>,
}

/// What a note would come to, and the most that could be credited.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// The invoice.
    pub invoice: StoredInvoice,
    /// What it would come to.
    pub sums: NoteSums,
    /// Billed and not yet credited.
    pub creditable: MinorUnits,
    /// Paid in money and not yet paid back.
    pub refundable: MinorUnits,
    /// Still due.
    pub offsettable: MinorUnits,
}

fn wrong_state(detail: String) -> ActionError {
    ActionError::Api(ApiError::bad_request("wrong_credit_note_state", detail))
}

fn changed_meanwhile() -> ActionError {
    ActionError::Api(ApiError::conflict(
        "credit_note_changed",
        "the credit note was changed by another request: look again",
    ))
}

impl BillingRuns {
    /// What a note over these items would come to; writes nothing.
    ///
    /// # Errors
    /// 404, 422 when the invoice is not issued or the items exceed what can be credited.
    pub async fn estimate_credit_note(
        &self,
        organization: OrganizationId,
        invoice: InvoiceId,
        credited: Credited,
    ) -> Result<Estimate, ActionError> {
        let mut write = self.database().write().await?;
        let base = base_of(&mut write, organization, invoice).await?;
        let (sums, _) = credited_of(&base, &credited)?;
        let Base { invoice, creditable, refundable, offsettable, .. } = base;
        Ok(Estimate { invoice, sums, creditable, refundable, offsettable })
    }

    /// Makes a draft.
    ///
    /// # Errors
    /// 404, 409 when the number is taken, 422 when it asks for what cannot be credited, paid back or set off.
    pub async fn create_credit_note(
        &self,
        organization: OrganizationId,
        new: NewNote,
        now: Timestamp,
    ) -> Result<StoredNote, ActionError> {
        let mut write = self.database().write().await?;
        let base = base_of(&mut write, organization, new.invoice).await?;
        same_as_invoice(&base.invoice, &new)?;
        let (sums, items) = credited_of(&base, &new.credited)?;
        let total = sums.total().map_err(crate::ledger::LedgerError::from)?;
        let parts = new.parts.unwrap_or_else(|| whole(new.kind, total));
        check_parts(&base, total, parts)?;
        let number = match new.number {
            Some(number) => number,
            None => credit_notes::next_number(write.connection(), organization).await?,
        };
        let note = StoredNote {
            id: Uuid::now_v7(),
            organization,
            customer: base.invoice.customer,
            invoice: base.invoice.id,
            number,
            kind: new.kind.into(),
            finalized: false,
            reason: new.reason,
            description: new.description,
            currency: base.invoice.currency,
            sums,
            credit: parts.credit,
            refund: parts.refund,
            offset: parts.offset,
            refund_status: None,
            ended_subscription: None,
            below_zero: false,
            issued_at: None,
            voided_at: None,
            balance: None,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        credit_notes::insert(write.connection(), &note, &items).await.map_err(number_taken)?;
        self.logged_note(write, organization, None, note.id, now).await
    }

    /// Changes text and parts of a draft; of an issued note only what became of its refund.
    ///
    /// # Errors
    /// 404, 400 when its state does not allow it, 409, 422.
    pub async fn update_credit_note(
        &self,
        organization: OrganizationId,
        id: Uuid,
        change: NoteChange,
        now: Timestamp,
    ) -> Result<StoredNote, ActionError> {
        let mut write = self.database().write().await?;
        let (base, before) = self.locked_note(&mut write, organization, id).await?;
        let mut note = before.clone();
        if change.touches_draft() && note.finalized {
            return Err(wrong_state("Only draft credit notes can be changed".into()));
        }
        if let Some(status) = change.refund_status {
            if !note.finalized || note.refund.0 == 0 || note.voided_at.is_some() {
                return Err(wrong_state("Only issued refunds are paid back".into()));
            }
            note.refund_status = Some(status.into());
        }
        note.reason = change.reason.unwrap_or(note.reason);
        note.description = change.description.unwrap_or(note.description);
        if let Some(parts) = change.parts {
            (note.credit, note.refund, note.offset) = (parts.credit, parts.refund, parts.offset);
            check_parts(&without(base, &before)?, note.sums.total().map_err(crate::ledger::LedgerError::from)?, parts)?;
        }
        if !credit_notes::update(write.connection(), &note, now).await? {
            return Err(changed_meanwhile());
        }
        self.logged_note(write, organization, Some(&before), id, now).await
    }

    /// Issues a draft: its credit may be spent, its refund is to be paid, its offset is taken off.
    ///
    /// # Errors
    /// 404, 400 when it is no draft, 409, 422 when meanwhile less was paid or is due than it pays back or sets off.
    pub async fn finalize_credit_note(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<StoredNote, ActionError> {
        let mut write = self.database().write().await?;
        let (base, before) = self.locked_note(&mut write, organization, id).await?;
        if before.finalized || before.ended_subscription.is_some() {
            return Err(wrong_state(
                "Only draft credit notes can be finalized, those of a draft invoice with it".into(),
            ));
        }
        let mut note = before.clone();
        let parts = Parts { credit: note.credit, refund: note.refund, offset: note.offset };
        let base = without(base, &before)?;
        check_parts(&base, note.sums.total().map_err(crate::ledger::LedgerError::from)?, parts)?;
        (note.finalized, note.issued_at) = (true, Some(now));
        note.refund_status = (note.refund.0 > 0).then(|| "pending".into());
        if !credit_notes::update(write.connection(), &note, now).await? {
            return Err(changed_meanwhile());
        }
        open_account(&mut write, &note, true, now).await?;
        if note.offset.0 > 0 {
            let with = ("credit_note", note.id.to_string(), note.offset);
            if !states::settle(write.connection(), organization, &base.invoice, with, now).await? {
                return Err(changed_meanwhile());
            }
        }
        self.logged_note(write, organization, Some(&before), id, now).await
    }

    /// Withdraws what is left of an issued note; what it has paid stays paid.
    ///
    /// # Errors
    /// 404, 400 when it is not issued, voided before, paid back, or has been set off.
    pub async fn void_credit_note(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<StoredNote, ActionError> {
        let mut write = self.database().write().await?;
        let row_lock = write.for_update();
        let account = funds::lock(write.connection(), row_lock, organization, id).await?;
        let (_, before) = self.locked_note(&mut write, organization, id).await?;
        if !before.finalized || before.voided_at.is_some() {
            return Err(wrong_state("Only finalized credit notes can be voided, once".into()));
        }
        if before.offset.0 > 0 || before.refund_status.as_deref() == Some("succeeded") {
            return Err(wrong_state("what was set off or paid back cannot be withdrawn".into()));
        }
        let mut note = before.clone();
        note.voided_at = Some(now);
        if !credit_notes::update(write.connection(), &note, now).await? {
            return Err(changed_meanwhile());
        }
        let mut withdrawn = note.refund.0;
        if let Some(mut account) = account
            && account.balance > 0
        {
            withdrawn += account.balance;
            let entry = Entry {
                entry: "voided",
                amount: -account.balance,
                invoice: None,
                invoice_cents: 0,
                source: "voided".into(),
                spendable: false,
            };
            funds::change(write.connection(), &mut account, &entry, now).await?;
        }
        // A note of which nothing was spent leaves its fees to be credited anew; else they stay credited.
        if withdrawn == note.sums.total().map_err(crate::ledger::LedgerError::from)?.0 {
            credit_notes::uncount(write.connection(), &note).await?;
        }
        self.logged_note(write, organization, Some(&before), id, now).await
    }

    /// One note.
    ///
    /// # Errors
    /// 404 when the organization has no such note.
    pub async fn credit_note(&self, organization: OrganizationId, id: Uuid) -> Result<StoredNote, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = credit_notes::get(&mut connection, organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Credit note").into())
    }

    /// A note with its invoice, which is locked.
    async fn locked_note(
        &self,
        write: &mut WriteTransaction,
        organization: OrganizationId,
        id: Uuid,
    ) -> Result<(Base, StoredNote), ActionError> {
        let missing = || ActionError::Api(ApiError::not_found("Credit note"));
        let named = credit_notes::get(write.connection(), organization, id).await?.ok_or_else(missing)?;
        let base = base_of(write, organization, named.invoice).await?;
        let note = credit_notes::get(write.connection(), organization, id).await?.ok_or_else(missing)?;
        Ok((base, note))
    }

    async fn logged_note(
        &self,
        mut write: WriteTransaction,
        organization: OrganizationId,
        before: Option<&StoredNote>,
        id: Uuid,
        now: Timestamp,
    ) -> Result<StoredNote, ActionError> {
        let found = credit_notes::get(write.connection(), organization, id).await?;
        let after = found.ok_or_else(|| ActionError::Api(ApiError::not_found("Credit note")))?;
        let (old, new) = (before.map(CreditNoteRecord::of), CreditNoteRecord::of(&after));
        let change = Change { resource: RESOURCE, before: old.as_ref(), after: Some(&new) };
        written_down(&mut write, organization, id, change, now).await?;
        write.commit().await?;
        Ok(after)
    }
}

/// Changes of a note.
#[derive(Clone, Debug, Default)]
pub struct NoteChange {
    /// Why.
    pub reason: Option<String>,
    /// Text.
    pub description: Option<Option<String>>,
    /// Where it goes.
    pub parts: Option<Parts>,
    /// What became of the refund.
    pub refund_status: Option<&'static str>,
}

impl NoteChange {
    fn touches_draft(&self) -> bool {
        self.reason.is_some() || self.description.is_some() || self.parts.is_some()
    }
}

/// Opens the account of a note that has credit to spend.
///
/// # Errors
/// As the database.
pub(crate) async fn open_account(
    write: &mut WriteTransaction,
    note: &StoredNote,
    spendable: bool,
    now: Timestamp,
) -> Result<(), ActionError> {
    let account = NewAccount {
        id: note.id,
        organization: note.organization,
        customer: note.customer,
        kind: FundKind::CreditNote,
        currency: Some(note.currency),
        balance: note.credit.0,
        entry: "issued",
        source: "credit_note".into(),
        spendable: spendable && note.credit.0 > 0,
    };
    Ok(funds::open(write.connection(), &account, now).await?)
}

fn number_taken(fault: crate::ledger::LedgerError) -> ActionError {
    match fault {
        crate::ledger::LedgerError::Database(DatabaseError::Unique(_)) => {
            ActionError::Api(ApiError::conflict("number_taken", "another credit note has this number"))
        }
        other => other.into(),
    }
}
