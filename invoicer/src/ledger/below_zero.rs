//! An invoice that would fall below 0 is 0, and the rest is a credit note over it (additions §4): more was taken back, or used with a
//! negative quantity, than is owed.
//!
//! `credit_notes_cents` of such an invoice is negative: what it put on the note instead of taking it off one. The note credits no fee
//! that was billed, so it neither counts towards what may still be credited of an invoice nor frees anything when it is voided.
//! The note may be spent by the next invoice of the same batch.

use super::LedgerError;
use super::credit_notes::{self, StoredNote};
use super::funds::{self, NewAccount};
use crate::credits::bill::Bill;
use crate::credits::fund::{Fund, FundKind, FundTerms};
use crate::credits::note::NoteSums;
use crate::tax::TaxLine;
use domain::money::MinorUnits;
use domain::time::Timestamp;
use sqlx::AnyConnection;
use uuid::Uuid;

/// Marks such notes.
pub(super) const MIGRATION: &str = "ALTER TABLE credit_notes ADD COLUMN below_zero BIGINT NOT NULL DEFAULT 0;";

/// Puts what an issued invoice lies below 0 on a note; nothing for any other.
///
/// # Errors
/// Past 64 bits.
pub fn take_up(bill: &mut Bill) -> Result<Option<StoredNote>, LedgerError> {
    if !bill.issued || bill.total >= MinorUnits::ZERO {
        return Ok(None);
    }
    let total = negated(bill.total);
    bill.credits.credit_notes = bill.credits.credit_notes.plus(bill.total)?;
    bill.total = MinorUnits::ZERO;
    // Taxes go back as far as the rest reaches: fees of several rates may owe tax although less than nothing is owed in all.
    let tax = negated(bill.taxes.amount).max(MinorUnits::ZERO).min(total);
    let lines = if tax > MinorUnits::ZERO { bill.taxes.lines.iter().map(taken_back).collect() } else { Vec::new() };
    Ok(Some(StoredNote {
        id: Uuid::now_v7(),
        organization: bill.organization,
        customer: bill.customer,
        invoice: bill.invoice,
        // Given as it is written.
        number: String::new(),
        kind: "credit".into(),
        finalized: true,
        reason: "other".into(),
        description: Some("More was taken back than is owed".into()),
        currency: bill.currency,
        sums: NoteSums { coupons: MinorUnits::ZERO, net: MinorUnits(total.0 - tax.0), tax, taxes: lines },
        credit: total,
        refund: MinorUnits::ZERO,
        offset: MinorUnits::ZERO,
        refund_status: None,
        ended_subscription: None,
        below_zero: true,
        issued_at: Some(bill.at),
        voided_at: None,
        balance: Some(total),
        version: 1,
        created_at: bill.at,
        updated_at: bill.at,
    }))
}

fn taken_back(line: &TaxLine) -> TaxLine {
    TaxLine {
        tax: line.tax.clone(),
        base_amount_cents: negated(line.base_amount_cents),
        amount_cents: negated(line.amount_cents),
    }
}

/// Sums of less than 2⁶³ minor units on either side of 0.
fn negated(amount: MinorUnits) -> MinorUnits {
    MinorUnits(amount.0.saturating_neg())
}

/// The note as the next invoice spends it.
#[must_use]
pub fn as_fund(note: &StoredNote) -> Fund {
    Fund {
        id: note.id,
        currency: Some(note.currency),
        balance: note.credit.0,
        entries: 1,
        expires_at: None,
        terms: FundTerms::CreditNote,
    }
}

/// Writes notes and their accounts; their invoices must be written before, what is spent of them after.
///
/// # Errors
/// As the database.
pub async fn write(connection: &mut AnyConnection, notes: Vec<StoredNote>, now: Timestamp) -> Result<(), LedgerError> {
    for mut note in notes {
        note.number = credit_notes::next_number(connection, note.organization).await?;
        (note.created_at, note.updated_at) = (now, now);
        credit_notes::insert(connection, &note, &[]).await?;
        let account = NewAccount {
            id: note.id,
            organization: note.organization,
            customer: note.customer,
            kind: FundKind::CreditNote,
            currency: Some(note.currency),
            balance: note.credit.0,
            entry: "issued",
            source: "credit_note".into(),
            spendable: true,
        };
        funds::open(connection, &account, note.issued_at.unwrap_or(now)).await?;
    }
    Ok(())
}
