//! What ended subscriptions had paid ahead and did not use, given back as credit notes before anything else of the run is billed: so
//! the invoice of the end may be paid with it.
//!
//! A flat fee is given back by local days: those after the day of the end; a day on which the plan was changed belongs to the other
//! plan, hence is given back too. The fee's coupons and taxes go with it. A note over a draft waits until the draft is issued.
//!
//! Once for each subscription, by a unique key in the ledger: of two runs one writes it, the other finds it.

use super::RunError;
use super::execute::Execution;
use super::plan::as_of_for;
use crate::actions::ActionError;
use crate::credit_notes::open_account;
use crate::credits::note::{NotCredited, NoteItem, note_sums};
use crate::due::{Chain, Frontiers, Part, share_handed_over, share_owed};
use crate::fee_period::period_of_fee;
use crate::inputs::World;
use crate::ledger::credit_notes::{self, StoredNote};
use crate::ledger::fees::StoredFee;
use crate::ledger::frontiers::FrontierMap;
use crate::ledger::invoices::{self, StoredInvoice};
use crate::ledger::runs::RunScope;
use crate::ledger::{LedgerError, fees, states};
use crate::model::{FeeKind, InvoiceStatus};
use crate::tax::SHARE_PLACES;
use catalog::WriteTransaction;
use catalog::database::DatabaseError;
use domain::catalog::{Ending, Subscription, UnusedAdvance};
use domain::ids::SubscriptionId;
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::ViewError;
use sqlx::AnyConnection;
use std::collections::HashSet;

/// Ended subscriptions that are billed beyond their end, of those `in_scope` names with the instant up to which they are billed.
pub(super) fn candidates<'a>(
    world: &'a World,
    billed: &FrontierMap,
    in_scope: impl Fn(&Subscription) -> Option<Timestamp>,
) -> Vec<&'a Subscription> {
    let ended = |subscription: &&Subscription| {
        let Some(ended_at) = subscription.ended_at else { return false };
        let due = in_scope(subscription).is_some_and(|as_of| ended_at <= as_of);
        let chains = |all: &Frontiers| [Chain::Backlog, Chain::Main].map(|chain| all.get(Part::PlanFee, chain));
        let paid_until = billed.get(&subscription.id).and_then(|all| chains(all).into_iter().flatten().last());
        let gives = subscription.pay_in_advance && subscription.unused_advance != UnusedAdvance::Skip;
        due && gives && paid_until.is_some_and(|frontier| frontier.until > ended_at)
    };
    world.view.subscriptions().iter().filter(ended).collect()
}

/// Gives back what is to be given back by the end of the run's scope.
pub(super) async fn give_back(
    execution: &mut Execution<'_>,
    world: &World,
    billed: &FrontierMap,
) -> Result<(), RunError> {
    let scope = execution.record.scope;
    let ended = candidates(world, billed, |subscription| as_of_for(world, subscription, &scope));
    let open = not_given_back(execution.shared.connection().await?.as_mut(), ended).await?;
    for subscription in open {
        match give_back_to(execution, world, subscription).await {
            Ok(()) => {}
            // Another run was first.
            Err(NotGivenBack::Run(RunError::Ledger(LedgerError::Database(DatabaseError::Unique(_))))) => {}
            Err(NotGivenBack::Run(fault)) => return Err(fault),
            Err(why) => {
                execution.problems.note(format_args!("unused advance of subscription {}", subscription.id), why)
            }
        }
    }
    Ok(())
}

/// Whether a run would give anything back.
pub(super) async fn any(
    connection: &mut AnyConnection,
    world: &World,
    billed: &FrontierMap,
    scope: &RunScope,
) -> Result<bool, RunError> {
    let ended = candidates(world, billed, |subscription| as_of_for(world, subscription, scope));
    Ok(!not_given_back(connection, ended).await?.is_empty())
}

/// Of ended subscriptions those of which nothing was given back and whose end gives something.
async fn not_given_back<'a>(
    connection: &mut AnyConnection,
    ended: Vec<&'a Subscription>,
) -> Result<Vec<&'a Subscription>, RunError> {
    let ids: Vec<SubscriptionId> = ended.iter().map(|subscription| subscription.id).collect();
    let done: HashSet<SubscriptionId> = credit_notes::given_back_to(connection, &ids).await?.into_iter().collect();
    let open: Vec<SubscriptionId> = ids.into_iter().filter(|id| !done.contains(id)).collect();
    let reach = fees::flat_fees_reach(connection, &open).await?;
    // Without a fee that reaches beyond the end there is nothing to give back.
    let gives = |subscription: &&Subscription| {
        let until = reach.get(&subscription.id);
        until.zip(subscription.ended_at).is_some_and(|(until, ended_at)| *until > ended_at)
    };
    Ok(ended.into_iter().filter(gives).collect())
}

/// Why something is not given back.
#[derive(Debug, thiserror::Error)]
enum NotGivenBack {
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Credit(#[from] NotCredited),
    #[error("{0}")]
    Written(ActionError),
}

impl From<LedgerError> for NotGivenBack {
    fn from(fault: LedgerError) -> Self {
        Self::Run(fault.into())
    }
}

async fn give_back_to(
    execution: &Execution<'_>,
    world: &World,
    subscription: &Subscription,
) -> Result<(), NotGivenBack> {
    let mut write = execution.shared.database.write().await.map_err(RunError::from)?;
    let Some((invoice, fee)) = paid_ahead(&mut write, subscription).await? else { return Ok(()) };
    let row_lock = write.for_update();
    invoices::lock(write.connection(), row_lock, subscription.organization, invoice.id).await?;
    let amount = unused(world, subscription, &fee)?;
    let before = credit_notes::credited(write.connection(), invoice.id).await?;
    let left = credit_notes::left_of(fee.amount, before.fees.get(&fee.id));
    let amount = if amount > left { left } else { amount };
    let (organization, id) = (subscription.organization, subscription.id);
    if !amount.is_positive() {
        credit_notes::mark_given_back(write.connection(), organization, id, None).await?;
        return Ok(write.commit().await.map_err(RunError::from)?);
    }
    let items = [NoteItem { fee: fee.id, amount }];
    let sums = note_sums(&invoice.fees, &before, &items)?;
    let total = sums.total().map_err(LedgerError::from)?;
    let settled = states::settled(write.connection(), invoice.id).await?;
    let paid = states::paid_in_money(write.connection(), invoice.id).await?.0 - before.refunded.0;
    let issued = invoice.status != InvoiceStatus::Draft;
    let due = if issued { invoice.total.0 - settled.0 } else { 0 };
    let (kind, refund, offset) = match subscription.unused_advance {
        // What is not paid yet is not paid back: it is as if the unpaid part were the unused one.
        UnusedAdvance::Refund => ("refund", (total.0 - due).clamp(0, paid.max(0)), 0),
        UnusedAdvance::Offset => ("offset", 0, total.0.min(due)),
        UnusedAdvance::Credit | UnusedAdvance::Skip => ("credit", 0, 0),
    };
    let at = subscription.ended_at.unwrap_or(execution.record.scope.as_of);
    let number = credit_notes::next_number(write.connection(), subscription.organization).await?;
    let note = StoredNote {
        id: uuid::Uuid::now_v7(),
        organization: subscription.organization,
        customer: invoice.customer,
        invoice: invoice.id,
        number,
        kind: kind.into(),
        finalized: issued,
        reason: if subscription.ending == Ending::HandsOver { "order_change" } else { "order_cancellation" }.into(),
        description: None,
        currency: invoice.currency,
        sums,
        credit: MinorUnits(total.0 - refund - offset),
        refund: MinorUnits(refund),
        offset: MinorUnits(offset),
        refund_status: (refund > 0).then(|| "pending".into()),
        ended_subscription: Some(subscription.id),
        below_zero: false,
        issued_at: issued.then_some(at),
        voided_at: None,
        balance: None,
        version: 1,
        created_at: at,
        updated_at: at,
    };
    credit_notes::insert(write.connection(), &note, &items).await?;
    credit_notes::mark_given_back(write.connection(), organization, id, Some(note.id)).await?;
    open_account(&mut write, &note, issued, at).await.map_err(NotGivenBack::Written)?;
    if offset > 0 {
        let with = ("credit_note", note.id.to_string(), note.offset);
        if !states::settle(write.connection(), subscription.organization, &invoice, with, at).await? {
            // Somebody changed the invoice meanwhile: the next run gives it back.
            return Ok(());
        }
    }
    write.commit().await.map_err(RunError::from)?;
    Ok(())
}

/// The flat fee that reaches beyond the end, with its invoice.
async fn paid_ahead(
    write: &mut WriteTransaction,
    subscription: &Subscription,
) -> Result<Option<(StoredInvoice, StoredFee)>, LedgerError> {
    let Some(ended_at) = subscription.ended_at else { return Ok(None) };
    let Some(id) = fees::flat_fee_beyond(write.connection(), subscription.id, ended_at).await? else {
        return Ok(None);
    };
    let Some(invoice) = invoices::get(write.connection(), subscription.organization, id).await? else {
        return Ok(None);
    };
    let covers = |fee: &&StoredFee| {
        fee.kind == FeeKind::Subscription && fee.subscription == Some(subscription.id) && fee.to > ended_at
    };
    let found = invoice.fees.iter().find(covers).cloned();
    Ok(found.map(|fee| (invoice, fee)))
}

/// How much of a flat fee was for days after the end.
fn unused(world: &World, subscription: &Subscription, fee: &StoredFee) -> Result<Quantity, ViewError> {
    let Some(ended_at) = subscription.ended_at else { return Ok(Quantity::ZERO) };
    let period = period_of_fee(&world.view, fee, subscription.id)?;
    let covered = share_owed(&period, fee.from, fee.to).days;
    let used = match (ended_at <= fee.from, subscription.ending) {
        // A period that had not begun was not used at all.
        (true, _) if ended_at < fee.from => 0,
        (_, Ending::HandsOver) => share_handed_over(&period, fee.from, ended_at).days,
        (true, _) => 0,
        (false, _) => share_owed(&period, fee.from, ended_at).days,
    };
    let days = Quantity::from(u64::from(covered.saturating_sub(used)));
    let part = (&Quantity::from(fee.amount.0) * &days).divided(&Quantity::from(u64::from(covered)), SHARE_PLACES);
    Ok(part.unwrap_or(Quantity::ZERO))
}
