//! Drafts whose days of grace are over: their usage is rated at the run's cut, so that late events inside them simply count,
//! and they are issued.

use super::RunError;
use super::execute::Execution;
use super::progress::Done;
use super::write::done_kind;
use crate::assemble::{PlannedLine, status_at};
use crate::charge_fee::ChargeFees;
use crate::due::{Chain, Due, Part, share_owed};
use crate::fee_period::period_of_fee;
use crate::inputs::World;
use crate::ledger::LedgerError;
use crate::ledger::drafts::{self, FinalizedDraft};
use crate::ledger::fees::StoredFee;
use crate::ledger::invoices::StoredInvoice;
use crate::model::{Fee, FeeKind};
use domain::ids::{InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::time::Timestamp;
use rater::{RateProblem, RatedItem, RatingItem, RatingView, ViewError};
use std::collections::HashSet;

/// Drafts finalized in one go.
const DRAFTS_AT_ONCE: usize = 1000;
/// Reading the drafts again after another run got ahead.
const MAX_PASSES: usize = 1000;

#[derive(Debug, thiserror::Error)]
enum NotFinal {
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Rating(#[from] RateProblem),
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// A draft with the stretches of usage on it.
struct Draft {
    organization: OrganizationId,
    invoice: StoredInvoice,
    /// Each with the line its first fee stands on.
    usage: Vec<(i64, RatingItem)>,
}

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
) -> Result<Vec<FinalizedDraft>, RunError> {
    let mut drafts = Vec::with_capacity(open.len());
    for (organization, invoice) in open {
        let id = invoice.id;
        match usage_on(&world.view, &invoice) {
            Ok(usage) => drafts.push(Draft { organization, invoice, usage }),
            Err(why) => {
                left_out.insert(id);
                execution.problems.note(format_args!("draft {id}"), why);
            }
        }
    }
    let items = drafts.iter().flat_map(|draft| &draft.usage).map(|(_, item)| item.clone()).collect();
    let mut rated = execution.shared.inputs.rate(&world.view, items, &execution.cut).await?.into_iter();
    let mut maker = ChargeFees::default();
    let mut finalized = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let id = draft.invoice.id;
        let usage: Vec<RatedItem> = rated.by_ref().take(draft.usage.len()).collect();
        match finalize(&mut maker, draft, usage) {
            Ok(draft) => finalized.push(draft),
            Err(why) => {
                left_out.insert(id);
                execution.problems.note(format_args!("draft {id}"), why);
            }
        }
    }
    Ok(finalized)
}

/// The stretches of usage on a draft, as they were billed.
fn usage_on(view: &RatingView, invoice: &StoredInvoice) -> Result<Vec<(i64, RatingItem)>, ViewError> {
    let mut seen: HashSet<(SubscriptionId, Timestamp)> = HashSet::new();
    let mut items = Vec::new();
    for fee in &invoice.fees {
        let Some(subscription) = usage_of(fee) else { continue };
        if !seen.insert((subscription, fee.from)) {
            continue;
        }
        let period = period_of_fee(view, fee, subscription)?;
        let minimum_share = share_owed(&period, fee.from, fee.to);
        items.push((fee.line, RatingItem { subscription, period, from: fee.from, to: fee.to, minimum_share }));
    }
    Ok(items)
}

fn usage_of(fee: &StoredFee) -> Option<SubscriptionId> {
    if fee.kind == FeeKind::Charge { fee.subscription } else { None }
}

fn finalize(maker: &mut ChargeFees, draft: Draft, rated: Vec<RatedItem>) -> Result<FinalizedDraft, NotFinal> {
    let mut usage = Vec::new();
    for ((line, _), stretch) in draft.usage.iter().zip(rated) {
        usage.extend(fees_of(maker, stretch)?.into_iter().map(|fee| (*line, fee)));
    }
    let kept = draft.invoice.fees.iter().filter(|fee| usage_of(fee).is_none()).map(|fee| fee.amount);
    let amounts = kept.chain(usage.iter().map(|(_, fee)| fee.amount));
    let total = amounts.into_iter().try_fold(MinorUnits::ZERO, MinorUnits::plus)?;
    let issued_at = draft.invoice.issued_at;
    let status = status_at(issued_at, issued_at, total);
    Ok(FinalizedDraft { organization: draft.organization, draft: draft.invoice, status, usage, total })
}

fn fees_of(maker: &mut ChargeFees, rated: RatedItem) -> Result<Vec<Fee>, RateProblem> {
    let fees = rated.fees?;
    let Some(plan) = rated.plan else { return Ok(Vec::new()) };
    let item = rated.item;
    let due = Due {
        subscription: item.subscription,
        part: Part::Usage,
        chain: Chain::Main,
        period: item.period,
        from: item.from,
        to: item.to,
        due_at: item.to,
        share: item.minimum_share,
        after: None,
    };
    Ok(maker.of(&PlannedLine { due, plan }, fees))
}

async fn issue(execution: &mut Execution<'_>, finalized: Vec<FinalizedDraft>) -> Result<(), RunError> {
    if finalized.is_empty() {
        return Ok(());
    }
    execution.context.now = execution.shared.clock.now();
    let mut write = execution.shared.database.write().await?;
    if !drafts::finalize(write.connection(), &execution.context, &finalized).await? {
        // Another run was first with one of them: rolled back, and read again.
        return Ok(());
    }
    write.commit().await?;
    metrics::counter!("tollgate_billing_run_drafts_finalized_total").increment(finalized.len() as u64);
    let done = |draft: &FinalizedDraft| Done {
        at: draft.draft.issued_at,
        what: done_kind(draft.status),
        id: draft.draft.id.0,
    };
    execution.observer.done(&finalized.iter().map(done).collect::<Vec<_>>());
    Ok(())
}
