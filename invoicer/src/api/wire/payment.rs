//! Payments on the wire.

use super::checked;
use crate::ledger::payments::{PaymentState, StoredPayment};
use crate::payments::NewPayment;
use domain::ids::{CustomerId, InvoiceId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest reference or note.
const MAX_TEXT: usize = 1_000;

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PaymentResponse)]
pub struct PaymentRecord {
    /// Its id.
    pub id: Uuid,
    /// For which invoice.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// Who paid.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// What came, in minor units.
    pub amount_cents: String,
    /// What of it was more than due, and went to `surplus_wallet_id`.
    pub surplus_cents: String,
    /// The wallet that took it.
    pub surplus_wallet_id: Option<Uuid>,
    /// What was paid back.
    pub refunded_amount_cents: String,
    /// ISO 4217.
    pub currency: String,
    /// `manual`.
    pub provider: &'static str,
    /// Null for manual payments.
    pub provider_payment_id: Option<String>,
    /// Null for manual payments.
    pub provider_checkout_id: Option<String>,
    /// Null for manual payments.
    pub provider_checkout_url: Option<String>,
    /// `pending`, `succeeded`, `failed`, `canceled` or `refunded`.
    pub status: &'static str,
    /// Null for manual payments.
    pub failure_reason: Option<String>,
    /// `reference` and `notes`, where they were sent.
    pub payment_metadata: BTreeMap<&'static str, String>,
    /// When the money came.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub completed_at: Option<Timestamp>,
    /// When it was written down.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl PaymentRecord {
    /// As the contract spells a payment.
    #[must_use]
    pub fn of(payment: &StoredPayment) -> Self {
        let texts = [("reference", &payment.reference), ("notes", &payment.notes)];
        let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        Self {
            id: payment.id,
            invoice_id: payment.invoice,
            customer_id: payment.customer,
            amount_cents: payment.amount.to_string(),
            surplus_cents: payment.surplus.map_or(MinorUnits::ZERO, |(cents, _)| cents).to_string(),
            surplus_wallet_id: payment.surplus.map(|(_, wallet)| wallet),
            refunded_amount_cents: payment.refunded.to_string(),
            currency: payment.currency.to_string(),
            provider: "manual",
            provider_payment_id: None,
            provider_checkout_id: None,
            provider_checkout_url: None,
            status: payment.state.as_str(),
            failure_reason: None,
            payment_metadata: texts.collect(),
            completed_at: payment.completed_at,
            created_at: payment.created_at,
            updated_at: payment.updated_at,
        }
    }
}

/// Where payments of a list stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// Announced.
    Pending,
    /// Of providers only: no manual payment is.
    Processing,
    /// The money is there.
    Succeeded,
    /// It did not come.
    Failed,
    /// It will not come.
    Canceled,
    /// It was paid back.
    Refunded,
}

impl PaymentStatus {
    /// The state in the ledger, if one is called so.
    pub(crate) fn state(self) -> Option<PaymentState> {
        match self {
            Self::Pending => Some(PaymentState::Pending),
            Self::Processing => None,
            Self::Succeeded => Some(PaymentState::Succeeded),
            Self::Failed => Some(PaymentState::Failed),
            Self::Canceled => Some(PaymentState::Canceled),
            Self::Refunded => Some(PaymentState::Refunded),
        }
    }
}

/// Money to write down.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ManualPaymentCreate {
    /// For which invoice, which must be finalized.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// Whole minor units, more than 0.
    pub amount: ExactDecimal,
    /// The invoice's.
    pub currency: Option<String>,
    /// The payer's.
    pub reference: Option<String>,
    /// For people.
    pub notes: Option<String>,
    /// Whether it is only announced: `mark-paid` settles the invoice.
    #[serde(default)]
    pub pending: bool,
    /// A wallet of the customer that takes what is more than due; absent: more than due is refused.
    pub surplus_wallet_id: Option<Uuid>,
}

impl ManualPaymentCreate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn payment(self) -> Result<NewPayment, ApiError> {
        let mut checks = Checks::new();
        let amount = checked::amount(&mut checks, "amount", &self.amount);
        for (field, text) in [("reference", &self.reference), ("notes", &self.notes)] {
            if let Some(text) = text {
                checks.length(field, text, 0, MAX_TEXT);
            }
        }
        if self.pending && self.surplus_wallet_id.is_some() {
            checks.broken("surplus_wallet_id", "belongs to money that came", Value::Null);
        }
        checks.finish()?;
        Ok(NewPayment {
            invoice: self.invoice_id,
            amount: amount.ok_or_else(|| ApiError::internal("an amount without a fault is missing"))?,
            currency: self.currency,
            reference: self.reference,
            notes: self.notes,
            pending: self.pending,
            surplus_to: self.surplus_wallet_id,
        })
    }
}

/// Money that was paid back.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct RefundRequest {
    /// Whole minor units, more than 0; absent: all that is left of the payment.
    pub amount: Option<ExactDecimal>,
    /// The credit note that it is paid back for: all of the note's refund. Absent: the money is due again.
    pub credit_note_id: Option<Uuid>,
}

impl RefundRequest {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn refund(&self) -> Result<(Option<MinorUnits>, Option<Uuid>), ApiError> {
        let mut checks = Checks::new();
        let amount = self.amount.as_ref().and_then(|sent| checked::amount(&mut checks, "amount", sent));
        if self.amount.is_some() && self.credit_note_id.is_some() {
            checks.broken("amount", "is what the credit note pays back", Value::Null);
        }
        checks.finish()?;
        Ok((amount, self.credit_note_id))
    }
}
