//! Requests and answers of what is done to invoices by hand.

use crate::handmade::{GivenLine, Handmade};
use crate::ledger::states::Settlement;
use crate::model::{InvoiceKind, InvoiceStatus};
use domain::ids::{ChargeId, CustomerId, InvoiceId, OrganizationId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ExactDecimal, FieldError, Loc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Most invoices of one bulk request: each is rated and written by itself, and a request should end in seconds.
const MAX_BULK: usize = 1_000;
/// Most lines of an invoice made by hand.
const MAX_LINES: usize = 1_000;

/// One line given by hand.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct InvoiceLineItem {
    /// Title, 1–1,000 characters.
    pub description: String,
    /// Units.
    pub quantity: ExactDecimal,
    /// Price of a unit in minor units.
    pub unit_price: ExactDecimal,
    /// Whole minor units: quantity × unit price, rounded half away from zero.
    pub amount: ExactDecimal,
    /// For show.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub charge_id: Option<ChargeId>,
    /// For show.
    pub metric_code: Option<String>,
}

/// An invoice of lines given by hand.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct OneOffInvoiceCreate {
    /// Who owes it.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// Must be the customer's, which it is when not sent.
    pub currency: Option<String>,
    /// By when to pay; else the customer's days from now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_date: Option<Timestamp>,
    /// Who issues it; else the customer's own entity.
    pub billing_entity_id: Option<uuid::Uuid>,
    /// At least one.
    pub line_items: Vec<InvoiceLineItem>,
}

impl OneOffInvoiceCreate {
    /// What to make.
    ///
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn handmade(self, organization: OrganizationId, own_currency: &str) -> Result<Handmade, ApiError> {
        let mut checks = Checks::new();
        let sent = self.currency.as_deref().unwrap_or(own_currency);
        if sent != own_currency {
            checks.broken("currency", format!("the customer is billed in {own_currency}"), sent);
        }
        let currency: Result<Currency, _> = own_currency.parse();
        if let Some(due_date) = self.due_date {
            checks.instant("due_date", due_date);
        }
        if self.line_items.is_empty() || self.line_items.len() > MAX_LINES {
            checks.broken("line_items", format!("should have 1 to {MAX_LINES} items"), Value::Null);
        }
        let lines = self.line_items.iter().enumerate().map(|(index, line)| line.given(index, &mut checks)).collect();
        checks.finish()?;
        Ok(Handmade {
            organization,
            customer: self.customer_id,
            currency: currency.map_err(ApiError::internal)?,
            entity: self.billing_entity_id,
            kind: InvoiceKind::OneOff,
            occasion: format!("one_off:{}", uuid::Uuid::now_v7()),
            issue: false,
            due_date: self.due_date,
            lines,
        })
    }
}

impl InvoiceLineItem {
    fn given(&self, index: usize, checks: &mut Checks) -> GivenLine {
        let place = |field: &'static str| [Loc::from("line_items"), Loc::from(index), Loc::from(field)];
        checks.length_at(place("description"), &self.description, 1, 1000);
        let mut quantity = |field: &'static str, value: &ExactDecimal| {
            Quantity::parse(&value.to_string()).unwrap_or_else(|fault| {
                checks.fault("value_error", place(field), fault.to_string(), &Value::from(value.to_string()));
                Quantity::ZERO
            })
        };
        let units = quantity("quantity", &self.quantity);
        let unit_amount = quantity("unit_price", &self.unit_price);
        let (sent, exact) = (quantity("amount", &self.amount), &units * &unit_amount);
        let product = crate::tax::rounded(&exact).unwrap_or(MinorUnits(-1));
        let is_product = sent == exact || sent == Quantity::from(product.0);
        if !is_product || product < MinorUnits::ZERO {
            let msg = "should be quantity × unit_price, as it is or rounded half away from zero to whole minor units, at least 0";
            checks.fault("value_error", place("amount"), msg, &Value::from(self.amount.to_string()));
        }
        GivenLine {
            description: self.description.clone(),
            units,
            unit_amount,
            amount: product,
            charge: self.charge_id,
            metric_code: self.metric_code.clone(),
        }
    }
}

/// Changes of an invoice: only what is sent.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
pub struct InvoiceUpdate {
    /// Does what the action of that name does.
    pub status: Option<InvoiceStatus>,
    /// By when to pay; of an unpaid invoice.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub due_date: Option<Timestamp>,
    /// When it is issued; of a draft.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub issued_at: Option<Timestamp>,
    /// Set by Tollgate: refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
}

impl InvoiceUpdate {
    /// # Errors
    /// 422 with every fault.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::new();
        if let Some(due_date) = self.due_date {
            checks.instant("due_date", due_date);
        }
        if let Some(issued_at) = self.issued_at {
            checks.instant("issued_at", issued_at);
        }
        if let Some(paid_at) = self.paid_at {
            checks.broken("paid_at", "is set by Tollgate alone: pay the invoice", paid_at.to_string());
        }
        checks.finish()
    }
}

/// Several invoices.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct BulkInvoices {
    /// 1 to 1,000.
    #[schema(value_type = Vec<uuid::Uuid>)]
    pub invoice_ids: Vec<InvoiceId>,
}

impl BulkInvoices {
    /// # Errors
    /// 422 when there are none or too many.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        let (kind, msg) = match self.invoice_ids.len() {
            0 => ("too_short", "List should have at least 1 item".to_string()),
            count if count > MAX_BULK => ("too_long", format!("List should have at most {MAX_BULK} items")),
            _ => return Ok(()),
        };
        Err(ApiError::validation(vec![FieldError::in_body(kind, ["invoice_ids".into()], msg, &Value::Null)]))
    }
}

/// What became of one of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkInvoiceResult {
    /// Which.
    #[schema(value_type = uuid::Uuid)]
    pub invoice_id: InvoiceId,
    /// Whether it was done.
    pub success: bool,
    /// Why not.
    pub error: Option<String>,
}

/// What became of one; what is our fault ends the whole.
///
/// # Errors
/// The fault, when it is ours.
pub(crate) fn outcome_of(invoice_id: InvoiceId, done: Result<(), ApiError>) -> Result<BulkInvoiceResult, ApiError> {
    match done {
        Ok(()) => Ok(BulkInvoiceResult { invoice_id, success: true, error: None }),
        Err(fault) if fault.status().is_server_error() => Err(fault),
        Err(fault) => Ok(BulkInvoiceResult { invoice_id, success: false, error: Some(fault.detail_text()) }),
    }
}

fn counts(results: &[BulkInvoiceResult]) -> (usize, usize) {
    let done = results.iter().filter(|result| result.success).count();
    (done, results.len() - done)
}

/// What became of several drafts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkFinalizeResponse {
    /// In the order of the request.
    pub results: Vec<BulkInvoiceResult>,
    /// How many were issued.
    pub finalized_count: usize,
    /// How many were not.
    pub failed_count: usize,
}

impl BulkFinalizeResponse {
    pub(crate) fn of(results: Vec<BulkInvoiceResult>) -> Self {
        let (finalized_count, failed_count) = counts(&results);
        Self { results, finalized_count, failed_count }
    }
}

/// What became of several invoices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BulkVoidResponse {
    /// In the order of the request.
    pub results: Vec<BulkInvoiceResult>,
    /// How many were taken back.
    pub voided_count: usize,
    /// How many were not.
    pub failed_count: usize,
}

impl BulkVoidResponse {
    pub(crate) fn of(results: Vec<BulkInvoiceResult>) -> Self {
        let (voided_count, failed_count) = counts(&results);
        Self { results, voided_count, failed_count }
    }
}

/// Something that paid an invoice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = InvoiceSettlementResponse)]
pub struct SettlementRecord {
    /// Stable id.
    pub id: String,
    /// Which invoice.
    #[schema(value_type = uuid::Uuid)]
    pub invoice_id: InvoiceId,
    /// `manual`, `payment`, `credit_note` or `wallet`.
    pub settlement_type: String,
    /// What it came from; of a manual one the invoice itself.
    pub source_id: String,
    /// How much.
    pub amount_cents: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl SettlementRecord {
    pub(crate) fn of(invoice_id: InvoiceId, settlement: Settlement) -> Self {
        Self {
            id: settlement.id,
            invoice_id,
            settlement_type: settlement.kind,
            source_id: settlement.source,
            amount_cents: settlement.amount_cents.to_string(),
            created_at: settlement.created_at,
        }
    }
}

/// What became of a reminder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SendReminderResponse {
    /// Whether a mail went out.
    pub sent: bool,
    /// Of which invoice.
    #[schema(value_type = uuid::Uuid)]
    pub invoice_id: InvoiceId,
}
