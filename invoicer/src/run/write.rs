//! Writing a run's invoices, a few thousand a transaction.

use super::RunError;
use super::compared::compared;
use super::execute::Execution;
use super::progress::{Done, DoneKind};
use crate::ledger::write::{NewInvoice, Written, still_due, write};
use crate::ledger::{LedgerError, frontiers, progressive, reports, runs, settle};
use crate::model::{Invoice, InvoiceStatus};
use domain::ids::SubscriptionId;

/// Attempts to write a batch of which another run keeps billing a part.
const MAX_ATTEMPTS: usize = 100;

/// Writes them in order; answers whether another run had billed some of them.
pub(super) async fn in_batches(execution: &mut Execution<'_>, invoices: Vec<NewInvoice>) -> Result<bool, RunError> {
    let mut overtaken = false;
    let mut invoices = invoices.into_iter().peekable();
    while invoices.peek().is_some() {
        let batch: Vec<NewInvoice> = invoices.by_ref().take(execution.shared.portions.invoices_written).collect();
        let planned = batch.len();
        let kept = if execution.record.scope.dry_run {
            counted(execution, batch).await?
        } else {
            written(execution, batch).await?
        };
        overtaken |= kept.len() < planned;
        report(execution, &kept)?;
    }
    Ok(overtaken)
}

/// A dry run only counts, with what customers have to spend taken off as a run would, and compares with what was billed before. Of a
/// customer with invoices in two batches the second may count credit that the first would have spent.
async fn counted(execution: &mut Execution<'_>, mut batch: Vec<NewInvoice>) -> Result<Vec<NewInvoice>, RunError> {
    let run = execution.record.id;
    let mut connection = execution.shared.connection().await?;
    progressive::take(&mut connection, "", &mut batch).await?;
    let owed = batch.iter_mut().map(|new| &mut new.invoice).filter(|invoice| invoice.is_owed());
    settle::invoices(&mut connection, "", owed).await?;
    let (totals, outliers) = compared(&mut connection, &mut execution.recent, &batch).await?;
    drop(connection);
    let mut write = execution.shared.database.write().await?;
    runs::add_progress(write.connection(), run, &Written::of(&batch)?).await?;
    reports::add(write.connection(), run, &totals, &outliers).await?;
    write.commit().await?;
    Ok(batch)
}

/// Writes what of a batch no other run has billed, and answers with it.
async fn written(execution: &mut Execution<'_>, mut batch: Vec<NewInvoice>) -> Result<Vec<NewInvoice>, RunError> {
    for _ in 0..MAX_ATTEMPTS {
        if batch.is_empty() {
            return Ok(batch);
        }
        execution.context.now = execution.shared.clock.now();
        let mut transaction = execution.shared.database.write().await?;
        if write(transaction.connection(), &execution.context, &mut batch).await? {
            transaction.commit().await?;
            return Ok(batch);
        }
        drop(transaction);
        let mut subscriptions: Vec<SubscriptionId> =
            batch.iter().flat_map(|new| &new.moves).map(|(key, _)| key.subscription).collect();
        subscriptions.sort_unstable();
        subscriptions.dedup();
        let mut connection = execution.shared.connection().await?;
        let billed = frontiers::read_of(&mut connection, &subscriptions).await?;
        batch = still_due(billed, batch);
    }
    Err(RunError::Ledger(LedgerError::Contended))
}

/// Tells of written invoices.
pub(super) fn report(execution: &mut Execution<'_>, invoices: &[NewInvoice]) -> Result<(), RunError> {
    let written = Written::of(invoices)?;
    execution.progress.invoices_created += written.invoices.unsigned_abs();
    execution.progress.subscriptions_done += written.subscriptions.unsigned_abs();
    metrics::counter!("tollgate_billing_run_invoices_total").increment(written.invoices.unsigned_abs());
    execution.observer.progress(execution.progress);
    if !execution.record.scope.dry_run {
        let done: Vec<Done> =
            invoices.iter().map(|new| &new.invoice).filter(|invoice| invoice.is_owed()).map(done_with).collect();
        execution.observer.done(&done);
    }
    Ok(())
}

fn done_with(invoice: &Invoice) -> Done {
    let at = if invoice.status == InvoiceStatus::Draft { invoice.due_at } else { invoice.issued_at };
    Done { at, what: done_kind(invoice.status), id: invoice.id.0 }
}

/// What making an invoice of this status is called.
pub(super) fn done_kind(status: InvoiceStatus) -> DoneKind {
    match status {
        InvoiceStatus::Draft => DoneKind::InvoiceDrafted,
        InvoiceStatus::Paid => DoneKind::InvoicePaid,
        InvoiceStatus::Finalized | InvoiceStatus::Voided => DoneKind::InvoiceFinalized,
    }
}
