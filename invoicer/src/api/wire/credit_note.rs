//! Credit notes on the wire.

use super::tax::AppliedTaxRecord;
use crate::credit_notes::{Credited, Estimate, NewNote, NoteChange, Parts};
use crate::credits::note::NoteItem;
use crate::ledger::credit_notes::StoredNote;
use bigdecimal::ToPrimitive;
use domain::ids::{CustomerId, FeeId, InvoiceId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::validation::sent;
use http_api::{ApiError, Checks, ExactDecimal, Loc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most items of a note: an invoice's own limit of given lines.
const MAX_ITEMS: usize = 1_000;

/// A credit note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CreditNoteResponse)]
pub struct CreditNoteRecord {
    /// Its id.
    pub id: Uuid,
    /// The client's, or `CN-000001`.
    pub number: String,
    /// What it credits.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// Who gets it.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// `credit`, `refund` or `offset`.
    pub credit_note_type: String,
    /// `draft` or `finalized`.
    pub status: &'static str,
    /// Of an issued note with credit: `available`, `consumed` or `voided`.
    pub credit_status: Option<&'static str>,
    /// Of an issued note with a refund: `pending`, `succeeded` or `failed`.
    pub refund_status: Option<String>,
    /// Why.
    pub reason: String,
    /// Text.
    pub description: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// Coupons that are not given back.
    pub coupons_adjustment_amount_cents: String,
    /// After coupons, before taxes.
    pub sub_total_excluding_taxes_amount_cents: String,
    /// Taxes.
    pub taxes_amount_cents: String,
    /// Each tax, rounded by itself.
    pub applied_taxes: Vec<AppliedTaxRecord>,
    /// With taxes; credit, refund and offset add up to it.
    pub total_amount_cents: String,
    /// To be spent on later invoices.
    pub credit_amount_cents: String,
    /// To be paid back.
    pub refund_amount_cents: String,
    /// Taken off its own invoice.
    pub offset_amount_cents: String,
    /// What is left of the credit.
    pub balance_amount_cents: String,
    /// When it was issued.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub issued_at: Option<Timestamp>,
    /// When what was left was withdrawn.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub voided_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl CreditNoteRecord {
    /// As the contract spells a note.
    #[must_use]
    pub fn of(note: &StoredNote) -> Self {
        let balance = note.balance.unwrap_or(MinorUnits::ZERO);
        let standing = match (balance.0 > 0, note.voided_at) {
            (true, _) => "available",
            (false, Some(_)) => "voided",
            (false, None) => "consumed",
        };
        let has_credit = note.finalized && (note.credit.0 > 0 || note.voided_at.is_some());
        let credit_status = has_credit.then_some(standing);
        // The ledger's constraint: the two parts are the total.
        let total = MinorUnits(note.sums.net.0 + note.sums.tax.0);
        Self {
            id: note.id,
            number: note.number.clone(),
            invoice_id: note.invoice,
            customer_id: note.customer,
            credit_note_type: note.kind.clone(),
            status: if note.finalized { "finalized" } else { "draft" },
            credit_status,
            refund_status: note.refund_status.clone().filter(|_| note.finalized),
            reason: note.reason.clone(),
            description: note.description.clone(),
            currency: note.currency.to_string(),
            coupons_adjustment_amount_cents: note.sums.coupons.to_string(),
            sub_total_excluding_taxes_amount_cents: note.sums.net.to_string(),
            taxes_amount_cents: note.sums.tax.to_string(),
            applied_taxes: note.sums.taxes.iter().map(AppliedTaxRecord::of_invoice).collect(),
            total_amount_cents: total.to_string(),
            credit_amount_cents: note.credit.to_string(),
            refund_amount_cents: note.refund.to_string(),
            offset_amount_cents: note.offset.to_string(),
            balance_amount_cents: balance.to_string(),
            issued_at: note.issued_at,
            voided_at: note.voided_at,
            created_at: note.created_at,
            updated_at: note.updated_at,
        }
    }
}

/// Where a note goes by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteType {
    /// To later invoices.
    Credit,
    /// Back in money.
    Refund,
    /// Off its own invoice.
    Offset,
}

impl CreditNoteType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Refund => "refund",
            Self::Offset => "offset",
        }
    }
}

/// Why something is credited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreditNoteReason {
    /// Charged twice.
    DuplicatedCharge,
    /// Fraud.
    FraudulentCharge,
    /// Ended.
    OrderCancellation,
    /// Changed.
    OrderChange,
    /// Anything else.
    Other,
    /// Not as promised.
    ProductUnsatisfactory,
}

impl CreditNoteReason {
    fn text(self) -> String {
        let text = match self {
            Self::DuplicatedCharge => "duplicated_charge",
            Self::FraudulentCharge => "fraudulent_charge",
            Self::OrderCancellation => "order_cancellation",
            Self::OrderChange => "order_change",
            Self::Other => "other",
            Self::ProductUnsatisfactory => "product_unsatisfactory",
        };
        text.to_owned()
    }
}

/// What is credited of one fee.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CreditNoteItemCreate {
    /// Of which.
    #[schema(value_type = Uuid)]
    pub fee_id: FeeId,
    /// How much, before coupons and taxes.
    pub amount_cents: ExactDecimal,
}

/// A note to make, or to estimate: of some fees, or, without items, of all alike.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CreditNoteCreate {
    /// Unique in the organization, 1–50 characters; else the next of its own.
    pub number: Option<String>,
    /// What it credits.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// Must be the invoice's.
    #[schema(value_type = Option<Uuid>)]
    pub customer_id: Option<CustomerId>,
    /// Where all of it goes, unless amounts are sent.
    pub credit_note_type: CreditNoteType,
    /// Why.
    pub reason: CreditNoteReason,
    /// Text.
    pub description: Option<String>,
    /// Must be the invoice's.
    pub currency: Option<String>,
    /// To later invoices.
    pub credit_amount_cents: Option<ExactDecimal>,
    /// Back in money.
    pub refund_amount_cents: Option<ExactDecimal>,
    /// Off its own invoice.
    pub offset_amount_cents: Option<ExactDecimal>,
    /// Credit, refund and offset; of all fees alike when no items are sent.
    pub total_amount_cents: Option<ExactDecimal>,
    /// What of which fees.
    #[serde(default)]
    pub items: Vec<CreditNoteItemCreate>,
}

impl CreditNoteCreate {
    /// What to make.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn note(self) -> Result<NewNote, ApiError> {
        let mut checks = Checks::new();
        if let Some(number) = &self.number {
            checks.length("number", number, 1, 50);
        }
        if let Some(description) = &self.description {
            checks.length("description", description, 0, 10_000);
        }
        let items = items_of(&self.items, &mut checks);
        let credit = cents("credit_amount_cents", self.credit_amount_cents.as_ref(), &mut checks);
        let refund = cents("refund_amount_cents", self.refund_amount_cents.as_ref(), &mut checks);
        let offset = cents("offset_amount_cents", self.offset_amount_cents.as_ref(), &mut checks);
        let total = cents("total_amount_cents", self.total_amount_cents.as_ref(), &mut checks);
        let parts = Parts { credit, refund, offset };
        let sum = MinorUnits(credit.0.saturating_add(refund.0).saturating_add(offset.0));
        if total.0 > 0 && sum.0 > 0 && total != sum {
            checks.broken("total_amount_cents", "should be credit, refund and offset together", total.to_string());
        }
        let asked = total.max(sum);
        if items.is_empty() && asked.0 == 0 {
            checks.broken("items", "should have at least one item, or an amount should be sent", Value::Null);
        }
        checks.finish()?;
        Ok(NewNote {
            invoice: self.invoice_id,
            customer: self.customer_id,
            currency: self.currency,
            number: self.number,
            kind: self.credit_note_type.as_str(),
            reason: self.reason.text(),
            description: self.description,
            credited: if items.is_empty() { Credited::Amount(asked) } else { Credited::Items(items) },
            parts: (sum.0 > 0).then_some(parts),
        })
    }
}

fn items_of(sent: &[CreditNoteItemCreate], checks: &mut Checks) -> Vec<NoteItem> {
    if sent.len() > MAX_ITEMS {
        checks.broken("items", format!("should have at most {MAX_ITEMS} items"), Value::Null);
    }
    let mut items = Vec::with_capacity(sent.len());
    for (index, item) in sent.iter().enumerate() {
        let amount = item.amount_cents.0.is_integer().then(|| item.amount_cents.0.to_i64()).flatten();
        match amount.filter(|amount| *amount > 0) {
            Some(amount) => items.push(NoteItem { fee: item.fee_id, amount: Quantity::from(amount) }),
            None => {
                let place = [Loc::from("items"), Loc::from(index), Loc::from("amount_cents")];
                let input = Value::from(item.amount_cents.to_string());
                checks.fault("value_error", place, "should be whole minor units, more than 0", &input);
            }
        }
    }
    items
}

/// Whole minor units, at least 0; 0 when nothing was sent.
pub(super) fn cents(field: &'static str, sent: Option<&ExactDecimal>, checks: &mut Checks) -> MinorUnits {
    let Some(sent) = sent else { return MinorUnits::ZERO };
    let whole = sent.0.is_integer().then(|| sent.0.to_i64()).flatten().filter(|amount| *amount >= 0);
    if whole.is_none() {
        checks.broken(field, "should be whole minor units, at least 0", sent.to_string());
    }
    MinorUnits(whole.unwrap_or(0))
}

/// What to estimate.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct CreditNoteEstimateRequest {
    /// Of which invoice.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// What of which fees.
    pub items: Vec<CreditNoteItemCreate>,
}

impl CreditNoteEstimateRequest {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn credited(&self) -> Result<Credited, ApiError> {
        let mut checks = Checks::new();
        let items = items_of(&self.items, &mut checks);
        checks.finish()?;
        Ok(Credited::Items(items))
    }
}

/// What a note would come to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CreditNoteEstimate {
    /// Of which invoice.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// ISO 4217.
    pub currency: String,
    /// Coupons that would not be given back.
    pub coupons_adjustment_amount_cents: String,
    /// After coupons, before taxes.
    pub sub_total_excluding_taxes_amount_cents: String,
    /// Taxes.
    pub taxes_amount_cents: String,
    /// Each tax, rounded by itself.
    pub applied_taxes: Vec<AppliedTaxRecord>,
    /// With taxes.
    pub total_amount_cents: String,
    /// Billed and not yet credited.
    pub max_creditable_amount_cents: String,
    /// Paid in money and not yet paid back.
    pub max_refundable_amount_cents: String,
    /// Still due.
    pub max_offsettable_amount_cents: String,
}

impl CreditNoteEstimate {
    pub(crate) fn of(estimate: &Estimate) -> Self {
        Self {
            invoice_id: estimate.invoice.id,
            currency: estimate.invoice.currency.to_string(),
            coupons_adjustment_amount_cents: estimate.sums.coupons.to_string(),
            sub_total_excluding_taxes_amount_cents: estimate.sums.net.to_string(),
            taxes_amount_cents: estimate.sums.tax.to_string(),
            applied_taxes: estimate.sums.taxes.iter().map(AppliedTaxRecord::of_invoice).collect(),
            total_amount_cents: (estimate.sums.net.0 + estimate.sums.tax.0).to_string(),
            max_creditable_amount_cents: estimate.creditable.to_string(),
            max_refundable_amount_cents: estimate.refundable.to_string(),
            max_offsettable_amount_cents: estimate.offsettable.to_string(),
        }
    }
}

/// What became of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundStatus {
    /// To be paid.
    Pending,
    /// Paid.
    Succeeded,
    /// Not paid.
    Failed,
}

/// Changes of a note: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct CreditNoteUpdate {
    /// Why; of a draft.
    pub reason: Option<CreditNoteReason>,
    /// Text; of a draft.
    #[serde(default, deserialize_with = "sent")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// To later invoices; of a draft, together with the others.
    pub credit_amount_cents: Option<ExactDecimal>,
    /// Back in money; of a draft.
    pub refund_amount_cents: Option<ExactDecimal>,
    /// Off its own invoice; of a draft.
    pub offset_amount_cents: Option<ExactDecimal>,
    /// Refused: what the items come to.
    pub total_amount_cents: Option<ExactDecimal>,
    /// Refused: what the items come to.
    pub taxes_amount_cents: Option<ExactDecimal>,
    /// What became of the refund; of an issued note.
    pub refund_status: Option<RefundStatus>,
    /// Refused: finalize the note.
    pub status: Option<Value>,
    /// Refused: void the note.
    pub credit_status: Option<Value>,
}

impl CreditNoteUpdate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn change(self) -> Result<NoteChange, ApiError> {
        let mut checks = Checks::new();
        let refused = [
            ("total_amount_cents", self.total_amount_cents.is_some(), "is what the items come to"),
            ("taxes_amount_cents", self.taxes_amount_cents.is_some(), "is what the items come to"),
            ("status", self.status.is_some(), "is changed by finalizing the note"),
            ("credit_status", self.credit_status.is_some(), "is changed by voiding the note"),
        ];
        for (field, is_sent, why) in refused {
            if is_sent {
                checks.broken(field, why, Value::Null);
            }
        }
        let amounts = [&self.credit_amount_cents, &self.refund_amount_cents, &self.offset_amount_cents];
        let any = amounts.iter().any(|amount| amount.is_some());
        let parts = Parts {
            credit: cents("credit_amount_cents", self.credit_amount_cents.as_ref(), &mut checks),
            refund: cents("refund_amount_cents", self.refund_amount_cents.as_ref(), &mut checks),
            offset: cents("offset_amount_cents", self.offset_amount_cents.as_ref(), &mut checks),
        };
        checks.finish()?;
        Ok(NoteChange {
            reason: self.reason.map(CreditNoteReason::text),
            description: self.description,
            parts: any.then_some(parts),
            refund_status: self.refund_status.map(|status| match status {
                RefundStatus::Pending => "pending",
                RefundStatus::Succeeded => "succeeded",
                RefundStatus::Failed => "failed",
            }),
        })
    }
}
