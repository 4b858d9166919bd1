//! Credit notes over drafts: they wait to be issued with them, and until then follow what coupons take off their fees.
//!
//! A note over an advance that was not used is made when its subscription ends; the fee's invoice may be a draft then. A coupon that
//! is given meanwhile discounts the fee: the note must not give back what is not billed (I7). Nothing of it can have been spent, so
//! the entry that opened its account is written anew instead of corrected by another.

use super::LedgerError;
use super::bulk::{placeholders, query_with};
use super::credit_notes::{SELECT, StoredNote, items, note_of};
use crate::credits::fund::{Fund, FundTerms};
use crate::credits::note::{CreditedBefore, NotCredited, NoteItem, note_sums};
use crate::ledger::fees::StoredFee;
use domain::ids::InvoiceId;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::{AnyConnection, Row};
use std::collections::HashMap;
use uuid::Uuid;

/// Entries of an account of which nothing was spent.
const ENTRIES: i64 = 1;

/// A note over a draft.
#[derive(Clone, Debug)]
pub struct WaitingNote {
    note: StoredNote,
    items: Vec<NoteItem>,
}

impl WaitingNote {
    /// As it may be spent once its draft is issued.
    #[must_use]
    pub fn fund(&self) -> Fund {
        Fund {
            id: self.note.id,
            currency: Some(self.note.currency),
            balance: self.note.credit.0,
            entries: ENTRIES,
            expires_at: None,
            terms: FundTerms::CreditNote,
        }
    }

    /// Works out again what it comes to, over the draft's fees with what coupons take off them now; answers whether that differs.
    /// `before` is what the notes before it credit of the draft, and takes this one up.
    ///
    /// # Errors
    /// When its fee is not on the draft any more, or past 64 bits.
    pub fn follow(&mut self, fees: &[StoredFee], before: &mut CreditedBefore) -> Result<bool, LedgerError> {
        let sums = note_sums(fees, before, &self.items).map_err(|why| match why {
            NotCredited::Money(fault) => fault.into(),
            other => LedgerError::corrupt("credit_note_items.fee_id", other),
        })?;
        before.net = before.net.plus(sums.net)?;
        before.tax = before.tax.plus(sums.tax)?;
        for item in &self.items {
            *before.fees.entry(item.fee).or_default() += &item.amount;
        }
        let differs = sums != self.note.sums;
        // A draft is not paid: all of a note over it is credit.
        self.note.credit = sums.total()?;
        self.note.sums = sums;
        Ok(differs)
    }
}

/// The notes that wait for drafts, by draft, in the order in which they were made.
///
/// # Errors
/// As the database.
pub async fn on(
    connection: &mut AnyConnection,
    drafts: impl Iterator<Item = InvoiceId>,
) -> Result<HashMap<InvoiceId, Vec<WaitingNote>>, LedgerError> {
    let ids: Vec<String> = drafts.map(|id| id.to_string()).collect();
    let mut waiting: HashMap<InvoiceId, Vec<WaitingNote>> = HashMap::new();
    if ids.is_empty() {
        return Ok(waiting);
    }
    let list = placeholders(0, ids.len());
    let sql = format!(
        "{SELECT} WHERE n.status = 'draft' AND n.ended_subscription_id IS NOT NULL AND n.invoice_id IN ({list})
         ORDER BY n.created_at, n.id"
    );
    for row in query_with(sql, &ids).fetch_all(&mut *connection).await? {
        let note = note_of(&row)?;
        let of_note = items(connection, note.id).await?;
        waiting.entry(note.invoice).or_default().push(WaitingNote { note, items: of_note });
    }
    Ok(waiting)
}

/// Takes notes off the count of their drafts until [`write()`]: in between the drafts change what may be credited of them.
///
/// # Errors
/// As the database.
pub async fn lift(connection: &mut AnyConnection, renewed: &[WaitingNote]) -> Result<(), LedgerError> {
    for one in renewed {
        let sql = "UPDATE invoices SET credited_cents = 0 WHERE id = $1";
        sqlx::query(sql).bind(one.note.invoice.to_string()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Writes notes as they are from now on. Their drafts are written.
///
/// # Errors
/// As the database.
pub async fn write(connection: &mut AnyConnection, renewed: &[WaitingNote], now: Timestamp) -> Result<(), LedgerError> {
    for WaitingNote { note, .. } in renewed {
        sqlx::query(
            "UPDATE credit_notes SET coupons_cents = $2, net_cents = $3, tax_cents = $4, total_cents = $5, credit_cents = $5,
                 taxes = $6, updated_at = $7, version = version + 1 WHERE id = $1",
        )
        .bind(note.id.to_string())
        .bind(note.sums.coupons.0)
        .bind(note.sums.net.0)
        .bind(note.sums.tax.0)
        .bind(note.credit.0)
        .bind(serde_json::to_string(&note.sums.taxes)?)
        .bind(now.0)
        .execute(&mut *connection)
        .await?;
        reopen(connection, note.id, note.credit).await?;
        let sql = "UPDATE invoices SET credited_cents = credited_cents + $2 WHERE id = $1";
        sqlx::query(sql).bind(note.invoice.to_string()).bind(note.credit.0).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn reopen(connection: &mut AnyConnection, account: Uuid, balance: MinorUnits) -> Result<(), LedgerError> {
    for sql in [
        "UPDATE credit_entries SET amount = $2, balance_after = $2 WHERE account_id = $1 AND sequence = 1",
        "UPDATE credit_accounts SET balance = $2 WHERE id = $1 AND entries = 1",
    ] {
        let updated = sqlx::query(sql).bind(account.to_string()).bind(balance.0).execute(&mut *connection).await?;
        if updated.rows_affected() != 1 {
            return Err(LedgerError::corrupt("credit_accounts.entries", account));
        }
    }
    Ok(())
}

/// Issues the notes that waited for these drafts to be issued.
///
/// # Errors
/// As the database.
pub async fn issue(
    connection: &mut AnyConnection,
    issued: impl Iterator<Item = (InvoiceId, Timestamp)>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    for (invoice, at) in issued {
        let rows = sqlx::query(
            "UPDATE credit_notes SET status = 'finalized', issued_at = $2, updated_at = $3, version = version + 1
             WHERE invoice_id = $1 AND status = 'draft' AND ended_subscription_id IS NOT NULL RETURNING id",
        )
        .bind(invoice.to_string())
        .bind(at.0)
        .bind(now.0)
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let id: &str = row.try_get("id")?;
            let sql = "UPDATE credit_accounts SET spendable = 1, opened_at = $2 WHERE id = $1 AND balance > 0";
            sqlx::query(sql).bind(id.to_owned()).bind(at.0).execute(&mut *connection).await?;
        }
    }
    Ok(())
}
