//! What is done to one invoice by hand: refresh and issue a draft, settle, take back, make again, delete.
//!
//! ```text
//! draft ──finalize──► finalized ──pay──► paid
//!   │ refresh, delete      │
//!   └────────void──────────┴──► voided ──regenerate──► a new draft with the same lines
//! ```
//!
//! A state that does not allow the action is 400 and changes nothing. Every change is guarded by the invoice's version as it was
//! when the request came: of two at one instant one wins and the other is 409. Each is written to the audit log in its own transaction.

use crate::api::InvoiceRecord;
use crate::ledger::adjusted::adjusted_stretches;
use crate::ledger::drafts::{self, ReworkedDraft};
use crate::ledger::invoices::{self, StoredInvoice};
use crate::ledger::write::BatchContext;
use crate::ledger::{LedgerError, credit_notes, funds, progressive, runs, states, tally, wallets};
use crate::model::{FeeKind, InvoiceKind, InvoiceStatus};
use crate::run::rework::{Rework, rework_all, subscriptions_on};
use crate::run::{BillingRuns, RunError};
use catalog::audit::{Change, written_down};
use catalog::{DatabaseError, WriteTransaction};
use domain::ids::{InvoiceId, OrganizationId};
use domain::period::Timezones;
use domain::period::later_by_days;
use domain::position::Cut;
use domain::time::Timestamp;
use http_api::ApiError;

/// Name of invoices in the audit log.
pub(crate) const RESOURCE: &str = "invoice";

/// Why an action was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Inputs or ledger.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What the client did wrong.
    #[error("{0}")]
    Api(ApiError),
    /// The draft cannot be rated again; says why.
    #[error("{0}")]
    NotReworked(String),
}

impl From<ApiError> for ActionError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<DatabaseError> for ActionError {
    fn from(error: DatabaseError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<sqlx::Error> for ActionError {
    fn from(error: sqlx::Error) -> Self {
        Self::Ledger(error.into())
    }
}

fn wrong_state(wanted: &str, invoice: &StoredInvoice) -> ActionError {
    let detail = format!("Only {wanted} invoices; this one is {}", invoice.status);
    ActionError::Api(ApiError::bad_request("wrong_invoice_state", detail))
}

fn changed_meanwhile() -> ActionError {
    let detail = "the invoice was changed by another request or a billing run: look again";
    ActionError::Api(ApiError::conflict("invoice_changed", detail))
}

impl BillingRuns {
    /// Issues a draft now: its usage is rated once more, it gets its number.
    ///
    /// # Errors
    /// 404, 400 when it is no draft, 409 when it was changed meanwhile, 422 when it cannot be rated.
    pub async fn finalize_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        self.rework(organization, id, now, true).await
    }

    /// Rates a draft again; it stays a draft.
    ///
    /// # Errors
    /// As [`BillingRuns::finalize_invoice`].
    pub async fn refresh_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        self.rework(organization, id, now, false).await
    }

    async fn rework(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
        issue: bool,
    ) -> Result<StoredInvoice, ActionError> {
        let invoice = self.invoice(organization, id).await?;
        if invoice.status != InvoiceStatus::Draft {
            return Err(wrong_state("draft", &invoice));
        }
        let world = self.inputs().customer_world(organization, invoice.customer).await.map_err(RunError::from)?;
        let (issued_at, due_date) = if issue {
            let customer =
                world.view.customer(invoice.customer).map_err(|why| ActionError::NotReworked(why.to_string()))?;
            let zones = Timezones::parse(&customer.timezones);
            let zone = zones.map_err(|why| ActionError::NotReworked(why.to_string()))?.at(now);
            (now, later_by_days(zone, now, customer.net_payment_term_days))
        } else {
            (invoice.issued_at, invoice.due_date)
        };
        let rated = invoice.fees.iter().any(|fee| fee.kind == FeeKind::Charge);
        let cut = if rated { self.inputs().cut().await.map_err(RunError::from)? } else { Cut::direct(0) };
        let mut connection = self.database().pool().acquire().await.map_err(DatabaseError::from)?;
        let adjusted = adjusted_stretches(&mut connection, &subscriptions_on(std::iter::once(&invoice))).await?;
        drop(connection);
        let draft = Rework { organization, invoice: invoice.clone(), issued_at, due_date, issue };
        let reworked = rework_all(self.inputs(), &world, &cut, &adjusted, vec![draft]).await?;
        let Some((_, outcome)) = reworked.into_iter().next() else { return Err(changed_meanwhile()) };
        let reworked = outcome.map_err(|why| ActionError::NotReworked(why.to_string()))?;
        self.write_reworked(&cut, &invoice, reworked, now).await
    }

    async fn write_reworked(
        &self,
        cut: &Cut,
        before: &StoredInvoice,
        mut reworked: ReworkedDraft,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let organization = reworked.organization;
        let mut write = self.database().write().await?;
        let cut_id = runs::keep_positions(write.connection(), cut).await?;
        let context = BatchContext { run: None, cut_id, now: self.machine_now(), row_lock: write.for_update() };
        if !drafts::rewrite(write.connection(), &context, std::slice::from_mut(&mut reworked)).await? {
            return Err(changed_meanwhile());
        }
        self.logged(write, organization, Some(before), before.id, now).await
    }

    /// Settles a finalized invoice by hand.
    ///
    /// # Errors
    /// 404, 400 when it is not finalized, 409 when it was changed meanwhile.
    pub async fn pay_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let (mut write, before) = self.turn(organization, id).await?;
        let row_lock = write.for_update();
        wallets::lock_filled_by(write.connection(), row_lock, organization, id).await?;
        if before.status != InvoiceStatus::Finalized {
            return Err(wrong_state("finalized", &before));
        }
        if !states::pay(write.connection(), organization, &before, now).await? {
            return Err(changed_meanwhile());
        }
        self.logged(write, organization, Some(&before), id, now).await
    }

    /// Takes an unpaid invoice back. Its number stays taken, its lines are no longer owed, what it took of credits is given back.
    ///
    /// # Errors
    /// 404, 400 when it is paid or voided, 409 when it was changed meanwhile.
    pub async fn void_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let (mut write, before) = self.turn(organization, id).await?;
        if !matches!(before.status, InvoiceStatus::Draft | InvoiceStatus::Finalized) {
            return Err(wrong_state("draft and finalized", &before));
        }
        if states::settled(write.connection(), id).await?.0 > 0 {
            let detail = "part of the invoice is paid: credit it instead of taking it back";
            return Err(ApiError::bad_request("invoice_partly_paid", detail).into());
        }
        let credited = credit_notes::credited(write.connection(), id).await?;
        if !credited.fees.is_empty() {
            let detail = "the invoice has credit notes: void these first";
            return Err(ApiError::bad_request("invoice_credited", detail).into());
        }
        if let Some(by) = progressive::taken_by(write.connection(), id).await? {
            let detail = format!("invoice {by} has taken off what this one billed: void that one first");
            return Err(ApiError::conflict("billed_usage_taken_off", detail).into());
        }
        let row_lock = write.for_update();
        // The accounts are locked before the invoice: see `ledger::settle`.
        funds::give_back(write.connection(), row_lock, id, now).await?;
        if !states::void(write.connection(), organization, &before, now).await? {
            return Err(changed_meanwhile());
        }
        progressive::let_go(write.connection(), id).await?;
        self.logged(write, organization, Some(&before), id, now).await
    }

    /// Makes a voided invoice again, as a draft with the same lines: to be corrected, refreshed and issued.
    ///
    /// # Errors
    /// 404, 400 when it is not voided, 409 when it was made again before.
    pub async fn regenerate_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let (mut write, voided) = self.turn(organization, id).await?;
        if voided.status != InvoiceStatus::Voided {
            return Err(wrong_state("voided", &voided));
        }
        if voided.kind == InvoiceKind::ProgressiveBilling {
            let detail = "usage billed at a threshold is billed again at the next one, or with its period";
            return Err(ApiError::bad_request("progressive_invoice", detail).into());
        }
        let again = states::regenerated(write.connection(), organization, &voided, now, self.machine_now()).await;
        let new = again.map_err(|fault| match fault {
            LedgerError::Database(DatabaseError::Unique(_)) => {
                ActionError::Api(ApiError::conflict("regenerated_before", "the invoice was made again before"))
            }
            other => other.into(),
        })?;
        progressive::take_again(write.connection(), new, &voided.fees).await?;
        self.logged(write, organization, None, new, now).await
    }

    /// Deletes a draft of lines given by hand. A draft of a period is not deleted: the period would never be billed.
    ///
    /// # Errors
    /// 404, 400 when it is no such draft, 409 when it was changed meanwhile.
    pub async fn delete_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let (mut write, before) = self.turn(organization, id).await?;
        if before.status != InvoiceStatus::Draft {
            return Err(wrong_state("draft", &before));
        }
        if !matches!(before.kind, InvoiceKind::OneOff | InvoiceKind::AddOn) {
            let detail = "a draft of a period cannot be deleted, the period would never be billed: void it";
            return Err(ApiError::bad_request("draft_of_a_period", detail).into());
        }
        if !states::delete(write.connection(), organization, &before).await? {
            return Err(changed_meanwhile());
        }
        let record = InvoiceRecord::read(&before)?;
        let change = Change { resource: RESOURCE, before: Some(&record), after: None };
        written_down(&mut write, organization, id, change, now).await?;
        Ok(write.commit().await?)
    }

    /// Changes the dates of an unpaid invoice: when a draft is issued, by when to pay.
    ///
    /// # Errors
    /// 404, 400 when its state does not allow it, 409 when it was changed meanwhile.
    pub async fn date_invoice(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
        issued_at: Option<Timestamp>,
        due_date: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let (mut write, before) = self.turn(organization, id).await?;
        let moves_issue = issued_at.is_some_and(|at| at != before.issued_at);
        let open = matches!(before.status, InvoiceStatus::Draft | InvoiceStatus::Finalized);
        if !open || (moves_issue && before.status != InvoiceStatus::Draft) {
            return Err(wrong_state("draft (and for due_date finalized)", &before));
        }
        let dates = (issued_at.unwrap_or(before.issued_at), due_date.unwrap_or(before.due_date));
        if !states::date(write.connection(), organization, &before, dates, self.machine_now()).await? {
            return Err(changed_meanwhile());
        }
        self.logged(write, organization, Some(&before), id, now).await
    }

    /// One invoice.
    ///
    /// # Errors
    /// 404 when the organization has no such invoice.
    pub async fn invoice(&self, organization: OrganizationId, id: InvoiceId) -> Result<StoredInvoice, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = invoices::get(&mut connection, organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Invoice").into())
    }

    /// A turn to write, and the invoice. Its version is looked up before the turn is waited for: of two requests at one instant the
    /// second would else find the state that the first left, and be told that it asked for what cannot be.
    async fn turn(
        &self,
        organization: OrganizationId,
        id: InvoiceId,
    ) -> Result<(WriteTransaction, StoredInvoice), ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let seen = states::version(&mut connection, organization, id).await?;
        let seen = seen.ok_or_else(|| ApiError::not_found("Invoice"))?;
        // It would be kept while the turn is waited for, and there are few.
        drop(connection);
        let mut write = self.database().write().await?;
        match invoices::get(write.connection(), organization, id).await? {
            Some(invoice) if invoice.version == seen => Ok((write, invoice)),
            _ => Err(changed_meanwhile()),
        }
    }

    async fn invoice_in(
        &self,
        write: &mut WriteTransaction,
        organization: OrganizationId,
        id: InvoiceId,
    ) -> Result<StoredInvoice, ActionError> {
        let found = invoices::get(write.connection(), organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Invoice").into())
    }

    /// Writes the change to the audit log, commits, and answers with the invoice as it is now.
    pub(crate) async fn logged(
        &self,
        mut write: WriteTransaction,
        organization: OrganizationId,
        before: Option<&StoredInvoice>,
        id: InvoiceId,
        now: Timestamp,
    ) -> Result<StoredInvoice, ActionError> {
        let after = self.invoice_in(&mut write, organization, id).await?;
        let (old, new) = (before.map(InvoiceRecord::read).transpose()?, InvoiceRecord::read(&after)?);
        let change = Change { resource: RESOURCE, before: old.as_ref(), after: Some(&new) };
        written_down(&mut write, organization, id, change, now).await?;
        tally::fold_sometimes(write.connection(), organization).await?;
        write.commit().await?;
        Ok(after)
    }
}
