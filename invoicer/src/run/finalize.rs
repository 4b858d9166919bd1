//! Drafts whose days of grace are over: their usage is rated at the run's cut, so that late events inside them simply count,
//! and they are issued.

use super::RunError;
use super::execute::Execution;
use super::progress::Done;
use super::rework::{Rework, rework_all, subscriptions_on};
use super::write::done_kind;
use crate::inputs::World;
use crate::ledger::adjusted::adjusted_stretches;
use crate::ledger::drafts::{self, ReworkedDraft};
use crate::ledger::invoices::StoredInvoice;
use crate::ledger::{LedgerError, tally};
use domain::ids::{InvoiceId, OrganizationId};
use domain::time::Timestamp;
use std::collections::HashSet;

/// Drafts finalized in one go.
const DRAFTS_AT_ONCE: usize = 1000;
/// Reading the drafts again after another run got ahead.
const MAX_PASSES: usize = 1000;

/// Issues every draft whose time has come.
pub(super) async fn due_drafts(execution: &mut Execution<'_>, world: &World) -> Result<(), RunError> {
    let mut left_out: HashSet<InvoiceId> = HashSet::new();
    for _ in 0..MAX_PASSES {
        let scope = execution.record.scope;
        let mut connection = execution.shared.connection().await?;
        let found = drafts::read_due(&mut connection, scope.organization, scope.as_of).await?;
        drop(connection);
        let open: Vec<_> = found
            .into_iter()
            .filter(|(organization, invoice)| is_due(execution, world, *organization, invoice.issued_at))
            .filter(|(_, invoice)| !left_out.contains(&invoice.id))
            .take(DRAFTS_AT_ONCE)
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        let finalized = rated_anew(execution, world, open, &mut left_out).await?;
        issue(execution, finalized).await?;
    }
    Err(RunError::Ledger(LedgerError::Contended))
}

/// A sandbox's drafts are issued by its own clock.
fn is_due(execution: &Execution<'_>, world: &World, organization: OrganizationId, issued_at: Timestamp) -> bool {
    match (execution.record.scope.organization, world.sandboxes.get(&organization)) {
        (None, Some(clock)) => issued_at <= *clock,
        _ => true,
    }
}

async fn rated_anew(
    execution: &mut Execution<'_>,
    world: &World,
    open: Vec<(OrganizationId, StoredInvoice)>,
    left_out: &mut HashSet<InvoiceId>,
) -> Result<Vec<ReworkedDraft>, RunError> {
    let as_planned = |(organization, invoice): (OrganizationId, StoredInvoice)| Rework {
        organization,
        issued_at: invoice.issued_at,
        due_date: invoice.due_date,
        issue: true,
        invoice,
    };
    let subscriptions = subscriptions_on(open.iter().map(|(_, invoice)| invoice));
    let adjusted = adjusted_stretches(&mut *execution.shared.connection().await?, &subscriptions).await?;
    let drafts = open.into_iter().map(as_planned).collect();
    let inputs = execution.shared.inputs.as_ref();
    let mut finalized = Vec::new();
    for (id, outcome) in rework_all(inputs, world, &execution.cut, &adjusted, drafts).await? {
        match outcome {
            Ok(draft) => finalized.push(draft),
            Err(why) => {
                left_out.insert(id);
                execution.problems.note(format_args!("draft {id}"), why);
            }
        }
    }
    Ok(finalized)
}

async fn issue(execution: &mut Execution<'_>, mut finalized: Vec<ReworkedDraft>) -> Result<(), RunError> {
    if finalized.is_empty() {
        return Ok(());
    }
    execution.context.now = execution.shared.clock.now();
    let mut write = execution.shared.database.write().await?;
    if !drafts::rewrite(write.connection(), &execution.context, &mut finalized).await? {
        // Another run was first with one of them: rolled back, and read again.
        return Ok(());
    }
    tally::fold_sometimes(write.connection(), finalized[0].organization).await?;
    write.commit().await?;
    metrics::counter!("tollgate_billing_run_drafts_finalized_total").increment(finalized.len() as u64);
    let done =
        |draft: &ReworkedDraft| Done { at: draft.issued_at, what: done_kind(draft.status), id: draft.draft.id.0 };
    execution.observer.done(&finalized.iter().map(done).collect::<Vec<_>>());
    Ok(())
}
