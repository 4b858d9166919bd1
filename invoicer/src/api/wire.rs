//! Runs, invoices, fees and proofs as the contract and the additions spell them: amounts and quantities as strings in their
//! shortest exact form, instants in RFC 3339.

use crate::ledger::LedgerError;
use crate::ledger::fees::StoredFee;
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::runs::{RunRecord, RunStatus};
use crate::model::{FeeKind, FeePayment, FeeVersions, InvoiceKind, InvoiceStatus};
use domain::event::StoredEvent;
use domain::ids::{BillingRunId, ChargeId, CustomerId, FeeId, InvoiceId, OrganizationId, PlanId, SubscriptionId};
use domain::position::Cut;
use domain::time::Timestamp;
use rater::{Figures, Proof};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Asks for a billing run.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub struct BillingRunRequest {
    /// Everything due up to and with this instant; now when absent, never later.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub as_of: Option<Timestamp>,
    /// Work it out and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// A billing run.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BillingRunResponse)]
pub struct BillingRunRecord {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: BillingRunId,
    /// The organization it bills; null: all.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub organization_id: Option<OrganizationId>,
    /// waiting_for_events, rating, invoicing, completed or failed.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// Everything due up to and with this instant.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
    /// Whether it writes nothing.
    pub dry_run: bool,
    /// Subscriptions with anything due.
    pub subscriptions_total: i64,
    /// Of them billed.
    pub subscriptions_done: i64,
    /// Invoices made (dry: that would be).
    pub invoices_created: i64,
    /// Sum of their totals by currency.
    #[schema(value_type = Object)]
    pub total_cents: BTreeMap<String, String>,
    /// When it began, by the machine's clock.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
    /// Why it failed, or what it could not bill.
    pub error: Option<String>,
}

impl From<&RunRecord> for BillingRunRecord {
    fn from(run: &RunRecord) -> Self {
        let totals = run.totals.iter().map(|(currency, cents)| (currency.to_string(), cents.to_string()));
        Self {
            id: run.id,
            organization_id: run.scope.organization,
            status: run.status,
            as_of: run.scope.as_of,
            dry_run: run.scope.dry_run,
            subscriptions_total: run.subscriptions_total,
            subscriptions_done: run.subscriptions_done,
            invoices_created: run.invoices_created,
            total_cents: totals.collect(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            error: run.error.clone(),
        }
    }
}

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
    /// When it is issued; for a draft, when it will be.
    #[schema(value_type = String, format = DateTime)]
    pub issued_at: Timestamp,
    /// By when to pay.
    #[schema(value_type = String, format = DateTime)]
    pub due_date: Timestamp,
    /// When it was settled.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub paid_at: Option<Timestamp>,
    /// Sum of the lines.
    pub subtotal_cents: String,
    /// Taken off by coupons.
    pub coupons_amount_cents: String,
    /// Taxes.
    pub tax_amount_cents: String,
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
        let nothing = || "0".to_owned();
        Ok(Self {
            id: invoice.id,
            invoice_number: invoice.number.clone().unwrap_or_else(|| format!("DRAFT-{}", invoice.id)),
            customer_id: invoice.customer,
            subscription_id: invoice.subscription,
            invoice_type: invoice.kind,
            status: invoice.status,
            currency: invoice.currency.to_string(),
            billing_period_start: invoice.period_start,
            billing_period_end: invoice.period_end,
            issued_at: invoice.issued_at,
            due_date: invoice.due_date,
            paid_at: invoice.paid_at,
            subtotal_cents: invoice.subtotal.to_string(),
            coupons_amount_cents: nothing(),
            tax_amount_cents: nothing(),
            progressive_billing_credit_amount_cents: nothing(),
            credit_notes_amount_cents: nothing(),
            prepaid_credit_amount_cents: nothing(),
            total_cents: invoice.total.to_string(),
            line_items: invoice.fees.iter().map(LineItem::read).collect::<Result<_, _>>()?,
            created_at: invoice.created_at,
            updated_at: invoice.updated_at,
        })
    }
}

/// A fee.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeeResponse)]
pub struct FeeRecord {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: FeeId,
    /// On which invoice.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub invoice_id: Option<InvoiceId>,
    /// By which charge.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub charge_id: Option<ChargeId>,
    /// By which plan.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub plan_id: Option<PlanId>,
    /// For which subscription.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub subscription_id: Option<SubscriptionId>,
    /// By which commitment.
    #[schema(value_type = Option<uuid::Uuid>)]
    pub commitment_id: Option<uuid::Uuid>,
    /// Who owes it.
    #[schema(value_type = uuid::Uuid)]
    pub customer_id: CustomerId,
    /// Why it is owed.
    pub fee_type: FeeKind,
    /// ISO 4217.
    pub currency: String,
    /// Rounded once to minor units.
    pub amount_cents: String,
    /// The same before rounding.
    pub precise_amount_cents: String,
    /// Taxes.
    pub taxes_amount_cents: String,
    /// With taxes.
    pub total_amount_cents: String,
    /// Quantity.
    pub units: String,
    /// Events in it.
    pub events_count: u64,
    /// 128-bit sum over exactly these events, 32 hexadecimal digits; null for a fee without usage.
    pub event_fingerprint: Option<String>,
    /// Price of a unit.
    pub unit_amount_cents: String,
    /// Whether it is paid.
    pub payment_status: FeePayment,
    /// Title.
    pub description: String,
    /// Code of the metric.
    pub metric_code: Option<String>,
    /// The prices used, and what else explains the amount.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
    /// First instant it covers.
    #[schema(value_type = String, format = DateTime)]
    pub period_start: Timestamp,
    /// First instant after it.
    #[schema(value_type = String, format = DateTime)]
    pub period_end: Timestamp,
    /// Up to which position of each partition events were in; null for a fee without usage.
    #[schema(value_type = Option<Vec<Object>>)]
    pub cut: Option<Cut>,
    /// Versions of plan and metric it was rated from.
    #[schema(value_type = Object)]
    pub versions: FeeVersions,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl FeeRecord {
    /// As the contract spells a stored fee.
    ///
    /// # Errors
    /// When the ledger holds what cannot be read.
    pub fn read(fee: &StoredFee) -> Result<Self, LedgerError> {
        Ok(Self {
            id: fee.id,
            invoice_id: fee.invoice,
            charge_id: fee.charge,
            plan_id: fee.plan,
            subscription_id: fee.subscription,
            commitment_id: None,
            customer_id: fee.customer,
            fee_type: fee.kind,
            currency: fee.currency.to_string(),
            amount_cents: fee.amount.to_string(),
            precise_amount_cents: fee.precise_amount.clone(),
            taxes_amount_cents: "0".into(),
            total_amount_cents: fee.amount.to_string(),
            units: fee.units.clone(),
            events_count: fee.events_count,
            event_fingerprint: fee.fingerprint.clone(),
            unit_amount_cents: fee.unit_amount.clone(),
            payment_status: fee.payment,
            description: fee.description.clone(),
            metric_code: fee.metric_code.clone(),
            properties: RawValue::from_string(fee.properties.clone())?,
            period_start: fee.from,
            period_end: fee.to,
            cut: fee.cut.clone(),
            versions: fee.versions,
            created_at: fee.created_at,
            updated_at: fee.updated_at,
        })
    }
}

/// What is proved of a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FiguresRecord {
    /// Events in it.
    pub events_count: u64,
    /// Their fingerprint; null for a fee without usage.
    pub event_fingerprint: Option<String>,
    /// Quantity.
    pub units: String,
    /// What is owed.
    pub amount_cents: String,
}

/// What became of a fee's usage after its cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SinceRecord {
    /// Accepted later, for the fee's period.
    pub late_events: u64,
    /// Taken out later.
    pub voided_events: u64,
}

/// The verdict on a fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FeeProofResponse)]
pub struct ProofRecord {
    /// What was billed.
    pub billed: FiguresRecord,
    /// What its events come to at the fee's cut.
    pub recomputed: FiguresRecord,
    /// Whether the two are equal.
    pub holds: bool,
    /// What became of its usage after the cut.
    pub since: SinceRecord,
}

impl ProofRecord {
    /// The verdict on `fee` as it is told.
    #[must_use]
    pub fn of(fee: &StoredFee, proof: &Proof) -> Self {
        let figures = |figures: &Figures| FiguresRecord {
            events_count: figures.events_count,
            event_fingerprint: fee.fingerprint.is_some().then(|| format!("{:032x}", figures.fingerprint)),
            units: figures.units.to_string(),
            amount_cents: figures.amount_cents.to_string(),
        };
        Self {
            billed: figures(&proof.billed),
            recomputed: figures(&proof.recomputed),
            holds: proof.holds,
            since: SinceRecord { late_events: proof.since.late_events, voided_events: proof.since.voided_events },
        }
    }
}

/// One event of a fee.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FeeEventResponse)]
pub struct EventRecord {
    /// Derived from organization and transaction_id.
    #[schema(value_type = uuid::Uuid)]
    pub id: domain::identity::EventId,
    /// The client's own id.
    pub transaction_id: String,
    /// Empty when the event named only a subscription.
    pub external_customer_id: String,
    /// Absent when the event named only a customer.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_subscription_id: String,
    /// Metric code.
    pub code: String,
    /// When the usage happened.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// As received.
    #[schema(value_type = Object)]
    pub properties: Box<RawValue>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl EventRecord {
    /// As the contract spells an event.
    ///
    /// # Errors
    /// When its properties are not JSON.
    pub fn read(event: &StoredEvent) -> Result<Self, LedgerError> {
        Ok(Self {
            id: event.id,
            transaction_id: event.transaction_id.clone(),
            external_customer_id: event.external_customer_id.clone(),
            external_subscription_id: event.external_subscription_id.clone(),
            code: event.code.clone(),
            timestamp: event.timestamp,
            properties: RawValue::from_string(event.properties.clone())?,
            created_at: event.ingested_at,
        })
    }
}
