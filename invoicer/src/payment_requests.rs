//! Several invoices of a customer asked for together: by hand, or all that are overdue at once.
//!
//! An invoice is on one request that waits at a time. A request is answered as its invoices are paid or taken back; nothing else
//! changes it.

use crate::actions::ActionError;
use crate::ledger::payment_requests::{self, DueInvoice, StoredRequest};
use crate::run::BillingRuns;
use catalog::WriteTransaction;
use domain::ids::{CustomerId, InvoiceId, OrganizationId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

fn refused(code: &'static str, detail: impl Into<String>) -> ActionError {
    ActionError::Api(ApiError::bad_request(code, detail.into()))
}

impl BillingRuns {
    /// Asks a customer for some of its invoices.
    ///
    /// # Errors
    /// 404 for an unknown customer or invoice; 400 when one is not finalized, another customer's, of another currency, or asked for
    /// already.
    pub async fn request_payment(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
        ids: &[InvoiceId],
        now: Timestamp,
    ) -> Result<StoredRequest, ActionError> {
        let mut write = self.database().write().await?;
        catalog::customer::storage::currency_of(&mut write, organization, customer).await?;
        let row_lock = write.for_update();
        let due = payment_requests::due_among(write.connection(), row_lock, organization, ids).await?;
        for id in ids {
            if due.iter().all(|one| one.id != *id) {
                return Err(self.not_due(&mut write, organization, *id).await?);
            }
        }
        if due.iter().any(|one| one.customer != customer) {
            return Err(refused("another_customer", "every invoice should be the customer's"));
        }
        if due.iter().any(|one| Some(one.currency) != due.first().map(|first| first.currency)) {
            return Err(refused("several_currencies", "all invoices should be of one currency"));
        }
        if let Some(asked) = due.iter().find(|one| one.requested) {
            return Err(refused("requested_before", format!("a request waits for invoice {}", asked.id)));
        }
        let request = written(&mut write, organization, &due, now).await?;
        write.commit().await?;
        Ok(request)
    }

    async fn not_due(
        &self,
        write: &mut WriteTransaction,
        organization: OrganizationId,
        id: InvoiceId,
    ) -> Result<ActionError, ActionError> {
        let found = crate::ledger::invoices::get(write.connection(), organization, id).await?;
        Ok(match found {
            Some(invoice) => {
                let detail = format!("Only finalized invoices; {id} is {}", invoice.status);
                refused("wrong_invoice_state", detail)
            }
            None => ActionError::Api(ApiError::not_found("Invoice")),
        })
    }

    /// Asks every customer for what is overdue, one request for each currency; what is asked for already is left out.
    ///
    /// # Errors
    /// As the database; nothing is asked for then.
    pub async fn request_overdue(
        &self,
        organization: OrganizationId,
        now: Timestamp,
    ) -> Result<Vec<StoredRequest>, ActionError> {
        let mut write = self.database().write().await?;
        let row_lock = write.for_update();
        let overdue = payment_requests::overdue(write.connection(), organization, now).await?;
        let ids: Vec<InvoiceId> = overdue.iter().map(|one| one.id).collect();
        // Looked at again under their locks: somebody may have paid or asked meanwhile.
        let locked = payment_requests::due_among(write.connection(), row_lock, organization, &ids).await?;
        let still = |one: &&DueInvoice| locked.iter().any(|now| now.id == one.id && !now.requested);
        let overdue: Vec<DueInvoice> = overdue.iter().filter(still).cloned().collect();
        let mut made = Vec::new();
        for group in overdue.chunk_by(|one, next| (one.customer, one.currency) == (next.customer, next.currency)) {
            made.push(written(&mut write, organization, group, now).await?);
        }
        write.commit().await?;
        Ok(made)
    }

    /// One request.
    ///
    /// # Errors
    /// 404 when the organization has no such request.
    pub async fn payment_request(&self, organization: OrganizationId, id: Uuid) -> Result<StoredRequest, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = payment_requests::get(&mut connection, organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Payment request").into())
    }
}

async fn written(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    due: &[DueInvoice],
    now: Timestamp,
) -> Result<StoredRequest, ActionError> {
    let first = due.first().ok_or_else(|| refused("no_invoices", "there should be at least one invoice"))?;
    let add = |sum: MinorUnits, one: &DueInvoice| sum.plus(one.due);
    let amount = due.iter().try_fold(MinorUnits::ZERO, add).map_err(crate::ledger::LedgerError::from)?;
    let request = StoredRequest {
        id: Uuid::now_v7(),
        organization,
        customer: first.customer,
        currency: first.currency,
        amount,
        invoices: due.iter().map(|one| (Uuid::now_v7(), one.id)).collect(),
        answered: false,
        created_at: now,
        updated_at: now,
    };
    payment_requests::insert(write.connection(), &request).await?;
    Ok(request)
}
