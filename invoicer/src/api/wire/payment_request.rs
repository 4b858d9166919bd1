//! Payment requests on the wire.

use crate::ledger::payment_requests::{Attempt, StoredRequest};
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::time::Timestamp;
use http_api::{ApiError, FieldError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;
use uuid::Uuid;

/// Most invoices of a request.
const MAX_INVOICES: usize = 1_000;

/// An invoice on a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PaymentRequestInvoiceResponse)]
pub struct PaymentRequestInvoice {
    /// Its place on the request.
    pub id: Uuid,
    /// Which request.
    pub payment_request_id: Uuid,
    /// Which invoice.
    #[schema(value_type = Uuid)]
    pub invoice_id: InvoiceId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PaymentRequestResponse)]
pub struct PaymentRequestRecord {
    /// Its id.
    pub id: Uuid,
    /// Tenant.
    #[schema(value_type = Uuid)]
    pub organization_id: OrganizationId,
    /// Who is asked.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// Null: no campaign made it.
    pub dunning_campaign_id: Option<Uuid>,
    /// What was due of its invoices when it was made, in minor units.
    pub amount_cents: String,
    /// ISO 4217.
    pub amount_currency: String,
    /// `pending`, or `succeeded` once nothing is due of its invoices.
    pub payment_status: &'static str,
    /// 0: nobody is charged by itself.
    pub payment_attempts: i64,
    /// Whether it waits.
    pub ready_for_payment_processing: bool,
    /// Its invoices.
    pub invoices: Vec<PaymentRequestInvoice>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was answered.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

fn status(answered: bool) -> &'static str {
    if answered { "succeeded" } else { "pending" }
}

impl PaymentRequestRecord {
    /// As the contract spells it.
    #[must_use]
    pub fn of(request: &StoredRequest) -> Self {
        let place = |(id, invoice): &(Uuid, InvoiceId)| PaymentRequestInvoice {
            id: *id,
            payment_request_id: request.id,
            invoice_id: *invoice,
            created_at: request.created_at,
        };
        Self {
            id: request.id,
            organization_id: request.organization,
            customer_id: request.customer,
            dunning_campaign_id: None,
            amount_cents: request.amount.to_string(),
            amount_currency: request.currency.to_string(),
            payment_status: status(request.answered),
            payment_attempts: 0,
            ready_for_payment_processing: !request.answered,
            invoices: request.invoices.iter().map(place).collect(),
            created_at: request.created_at,
            updated_at: request.updated_at,
        }
    }
}

/// What to ask for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct PaymentRequestCreate {
    /// Whom.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// 1 to 1,000 finalized invoices of the customer, of one currency.
    #[schema(value_type = Vec<Uuid>)]
    pub invoice_ids: Vec<InvoiceId>,
}

impl PaymentRequestCreate {
    /// The invoices, each once.
    ///
    /// # Errors
    /// 422 when there are none or too many.
    pub(crate) fn invoices(&self) -> Result<Vec<InvoiceId>, ApiError> {
        let (kind, msg) = match self.invoice_ids.len() {
            0 => ("too_short", "List should have at least 1 item".to_string()),
            count if count > MAX_INVOICES => ("too_long", format!("List should have at most {MAX_INVOICES} items")),
            _ => {
                let distinct: BTreeSet<InvoiceId> = self.invoice_ids.iter().copied().collect();
                return Ok(distinct.into_iter().collect());
            }
        };
        Err(ApiError::validation(vec![FieldError::in_body(kind, ["invoice_ids".into()], msg, &Value::Null)]))
    }
}

/// Which requests of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaymentRequestStatus {
    /// Something is due.
    Pending,
    /// Nothing is.
    Succeeded,
    /// Of charges only: none is made.
    Failed,
}

/// One of a batch.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BatchPaymentRequestResult {
    /// Who is asked.
    #[schema(value_type = Uuid)]
    pub customer_id: CustomerId,
    /// Its name.
    pub customer_name: String,
    /// `created`.
    pub status: &'static str,
    /// The request.
    pub payment_request_id: Option<Uuid>,
    /// For how many invoices.
    pub invoice_count: usize,
    /// For how much.
    pub amount_cents: String,
    /// ISO 4217.
    pub amount_currency: String,
    /// Null: a batch is made whole or not at all.
    pub error: Option<String>,
}

/// What a batch asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BatchPaymentRequestResponse {
    /// Of how many customers something is overdue that was not asked for.
    pub total_customers: usize,
    /// Requests made.
    pub created: usize,
    /// 0.
    pub failed: usize,
    /// Each of them.
    pub results: Vec<BatchPaymentRequestResult>,
}

impl BatchPaymentRequestResponse {
    /// Of these requests; `names` by customer.
    #[must_use]
    pub fn of(made: &[StoredRequest], names: &BTreeMap<CustomerId, String>) -> Self {
        let result = |request: &StoredRequest| BatchPaymentRequestResult {
            customer_id: request.customer,
            customer_name: names.get(&request.customer).cloned().unwrap_or_default(),
            status: "created",
            payment_request_id: Some(request.id),
            invoice_count: request.invoices.len(),
            amount_cents: request.amount.to_string(),
            amount_currency: request.currency.to_string(),
            error: None,
        };
        let customers: BTreeSet<CustomerId> = made.iter().map(|request| request.customer).collect();
        Self {
            total_customers: customers.len(),
            created: made.len(),
            failed: 0,
            results: made.iter().map(result).collect(),
        }
    }
}

/// Something that happened to a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PaymentAttemptEntry {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `created` or `settled`.
    pub action: &'static str,
    /// Null: nobody is charged by itself.
    pub attempt_number: Option<i64>,
    /// Null when it was made.
    pub old_status: Option<&'static str>,
    /// What it led to.
    pub new_status: Option<&'static str>,
    /// What was settled of which invoice, and by what.
    pub details: Option<BTreeMap<&'static str, String>>,
}

/// What happened to a request, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PaymentAttemptHistoryResponse {
    /// Which.
    pub payment_request_id: Uuid,
    /// Where it stands.
    pub current_status: &'static str,
    /// 0: nobody is charged by itself.
    pub total_attempts: i64,
    /// Oldest first.
    pub entries: Vec<PaymentAttemptEntry>,
}

impl PaymentAttemptHistoryResponse {
    /// Of a request.
    #[must_use]
    pub fn of(request: &StoredRequest, attempts: &[Attempt]) -> Self {
        let mut entries = vec![PaymentAttemptEntry {
            timestamp: request.created_at,
            action: "created",
            attempt_number: None,
            old_status: None,
            new_status: Some("pending"),
            details: None,
        }];
        for (place, attempt) in attempts.iter().enumerate() {
            let answers = request.answered && place + 1 == attempts.len();
            entries.push(PaymentAttemptEntry {
                timestamp: attempt.at,
                action: "settled",
                attempt_number: None,
                old_status: Some("pending"),
                new_status: Some(status(answers)),
                details: Some(BTreeMap::from([
                    ("invoice_id", attempt.invoice.to_string()),
                    ("settlement_type", attempt.kind.clone()),
                    ("amount_cents", attempt.amount.to_string()),
                ])),
            });
        }
        Self { payment_request_id: request.id, current_status: status(request.answered), total_attempts: 0, entries }
    }
}
