//! Invoices and their lines on the wire.

use super::tax::AppliedTaxRecord;
use crate::ledger::LedgerError;
use crate::ledger::fees::StoredFee;
use crate::ledger::invoices::StoredInvoice;
use crate::model::{FeeKind, InvoiceKind, InvoiceStatus};
use domain::ids::{ChargeId, CustomerId, FeeId, InvoiceId, SubscriptionId};
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One line of an invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineItem {
    /// Title.
    pub description: String,
    /// Units.
    pub quantity: String,
    /// Price of a unit in minor units.
    pub unit_price: String,
    /// Amount in minor units.
    pub amount: String,
    /// By which charge.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub charge_id: Option<ChargeId>,
    /// Code of the metric.
    pub metric_code: Option<String>,
    /// The fee behind the line.
    #[schema(value_type = uuid::Uuid)]
    pub fee_id: FeeId,
    /// Its kind.
    pub fee_type: FeeKind,
    /// For which subscription.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub subscription_id: Option<SubscriptionId>,
    /// First instant it covers.
    #[schema(value_type = String, format = DateTime)]
    pub period_start: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub period_end: Timestamp,
    /// Events in it.
    pub events_count: u64,
    /// Fingerprint of exactly these events.
    pub event_fingerprint: Option<String>,
    /// What the charge's filter accepts, when it is a filter's line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub filter: Option<Value>,
    /// Values it is grouped by, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub group: Option<Value>,
}

impl LineItem {
    fn read(fee: &StoredFee) -> Result<Self, LedgerError> {
        let mut properties: Map<String, Value> = serde_json::from_str(&fee.properties)?;
        Ok(Self {
            description: fee.description.clone(),
            quantity: fee.units.clone(),
            unit_price: fee.unit_amount.clone(),
            amount: fee.amount.to_string(),
            charge_id: fee.charge,
            metric_code: fee.metric_code.clone(),
            fee_id: fee.id,
            fee_type: fee.kind,
            subscription_id: fee.subscription,
            period_start: fee.from,
            period_end: fee.to,
            events_count: fee.events_count,
            event_fingerprint: fee.fingerprint.clone(),
            filter: properties.remove("filter"),
            group: properties.remove("group"),
        })
    }
}

/// An invoice.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvoiceResponse)]
pub struct InvoiceRecord {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: InvoiceId,
    /// `INV-000001`, without gaps in an organization; a draft's begins with DRAFT.
    pub invoice_number: String,
    /// Who owes it.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// The subscription; null when several share the invoice.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub subscription_id: Option<SubscriptionId>,
    /// Who issues it; null: the organization itself.
    pub billing_entity_id: Option<uuid::Uuid>,
    /// The voided invoice that it replaces.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub regenerated_from_id: Option<InvoiceId>,
    /// What it is for.
    pub invoice_type: InvoiceKind,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// ISO 4217.
    pub currency: String,
    /// Start of the period that closes with it.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_start: Timestamp,
    /// End of that period.
    #[schema(value_type = String, format = DateTime)]
    pub billing_period_end: Timestamp,
    /// When it is issued; for a draft, when it will be; null for a draft that waits to be issued by hand.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub issued_at: Option<Timestamp>,
    /// By when to pay.
    #[schema(value_type = String, format = DateTime)]
    pub due_date: Timestamp,
    /// When it was settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    /// When it was taken back.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub voided_at: Option<Timestamp>,
    /// Sum of the lines.
    pub subtotal_cents: String,
    /// Taken off by coupons.
    pub coupons_amount_cents: String,
    /// Taxes: the exact sum over all lines, rounded once.
    pub tax_amount_cents: String,
    /// Each tax over its lines, rounded by itself: may differ from the sum by a cent.
    pub applied_taxes: Vec<AppliedTaxRecord>,
    /// Billed before by thresholds.
    pub progressive_billing_credit_amount_cents: String,
    /// Taken off by credit notes.
    pub credit_notes_amount_cents: String,
    /// Paid from wallets.
    pub prepaid_credit_amount_cents: String,
    /// What is due.
    pub total_cents: String,
    /// Lines, in order.
    pub line_items: Vec<LineItem>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl InvoiceRecord {
    /// As the contract spells a stored invoice.
    ///
    /// # Errors
    /// When the ledger holds what cannot be read.
    pub fn read(invoice: &StoredInvoice) -> Result<Self, LedgerError> {
        Ok(Self {
            id: invoice.id,
            invoice_number: invoice.number.clone().unwrap_or_else(|| format!("DRAFT-{}", invoice.id)),
            customer_id: invoice.customer,
            subscription_id: invoice.subscription,
            billing_entity_id: invoice.entity,
            regenerated_from_id: invoice.regenerated_from,
            invoice_type: invoice.kind,
            status: invoice.status,
            currency: invoice.currency.to_string(),
            billing_period_start: invoice.period_start,
            billing_period_end: invoice.period_end,
            issued_at: Some(invoice.issued_at).filter(|at| *at < Timestamp::LATEST),
            due_date: invoice.due_date,
            paid_at: invoice.paid_at,
            voided_at: invoice.voided_at,
            subtotal_cents: invoice.subtotal.to_string(),
            coupons_amount_cents: invoice.coupons.to_string(),
            tax_amount_cents: invoice.tax.to_string(),
            applied_taxes: invoice.taxes.iter().map(AppliedTaxRecord::of_invoice).collect(),
            progressive_billing_credit_amount_cents: invoice.progressive_credit.to_string(),
            credit_notes_amount_cents: invoice.credit_notes.to_string(),
            prepaid_credit_amount_cents: invoice.prepaid_credit.to_string(),
            total_cents: invoice.total.to_string(),
            line_items: invoice.fees.iter().map(LineItem::read).collect::<Result<_, _>>()?,
            created_at: invoice.created_at,
            updated_at: invoice.updated_at,
        })
    }
}
