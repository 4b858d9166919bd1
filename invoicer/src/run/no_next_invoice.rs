//! Late usage of customers who get no further invoice: all their subscriptions of a currency have ended and are billed to their end. What came late
//! for these is an invoice of its own, made by the next run.
//!
//! Each run looks at them from where they were looked at last, and notes that with what it bills, so that two runs at once bill it once: the one that
//! finds it noted already writes nothing.

use super::RunError;
use super::execute::Execution;
use super::late::{LateUsage, changed_since};
use super::plan::as_of_for;
use super::write;
use crate::assemble::{assemble, planned_for};
use crate::due::Part;
use crate::inputs::World;
use crate::ledger::frontiers::{self, FrontierMap, Looked};
use crate::ledger::write::NewInvoice;
use crate::model::{Fee, Invoice};
use domain::catalog::Subscription;
use domain::ids::{CustomerId, SubscriptionId};
use domain::money::{Currency, MoneyError};
use domain::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What shares an invoice, with the subscriptions whose late usage stands on it.
type Stranded = BTreeMap<(CustomerId, Currency), Vec<SubscriptionId>>;

/// Bills what came late for customers without a next invoice.
pub(super) async fn bill(execution: &mut Execution<'_>, world: &World) -> Result<(), RunError> {
    let ended: Vec<&Subscription> = world.view.subscriptions().iter().filter(|one| one.ended_at.is_some()).collect();
    if ended.is_empty() {
        return Ok(());
    }
    let ids: Vec<SubscriptionId> = ended.iter().map(|one| one.id).collect();
    let mut connection = execution.shared.connection().await?;
    let billed = frontiers::read_of(&mut connection, &ids).await?;
    let stranded = stranded(world, execution, &billed);
    let mut all: Vec<SubscriptionId> = stranded.values().flatten().copied().collect();
    all.sort_unstable();
    let looked = frontiers::looked_before(&mut connection, &execution.context.cut_id, &all).await?;
    drop(connection);
    let looked: HashMap<SubscriptionId, Looked> = looked.into_iter().map(|one| (one.subscription, one)).collect();
    all.retain(|id| looked.contains_key(id));
    let mut late = LateUsage::default();
    changed_since(execution, world, &all, &mut late).await?;
    let mut quiet: Vec<&Looked> = Vec::new();
    for ((customer, currency), subscriptions) in &stranded {
        let seen: Vec<&Looked> = subscriptions.iter().filter_map(|id| looked.get(id)).collect();
        let fees: Vec<Fee> = subscriptions.iter().filter_map(|id| late.fees.remove(id)).flatten().collect();
        let is_rated = |one: &&&Looked| !late.unrated.contains(&one.subscription);
        match fees.is_empty() {
            true => quiet.extend(seen.iter().filter(is_rated)),
            false => {
                let invoice = invoice(execution, world, (*customer, *currency), fees)?;
                write_one(execution, invoice, &seen.into_iter().filter(|one| is_rated(&one)).collect::<Vec<_>>())
                    .await?;
            }
        }
    }
    note_quiet(execution, &quiet).await
}

/// Customers and currencies all of whose subscriptions have ended and are billed to their end.
fn stranded(world: &World, execution: &Execution<'_>, billed: &FrontierMap) -> Stranded {
    let mut stranded = Stranded::new();
    let mut living: HashSet<(CustomerId, Currency)> = HashSet::new();
    for subscription in world.view.subscriptions() {
        let Some(as_of) = as_of_for(world, subscription, &execution.record.scope) else { continue };
        let Some(version) = world.view.plan_versions(subscription.plan_id).first() else { continue };
        let shared = (subscription.customer_id, version.plan.currency);
        if is_over(subscription, as_of, billed) {
            stranded.entry(shared).or_default().push(subscription.id);
        } else {
            living.insert(shared);
        }
    }
    stranded.retain(|shared, _| !living.contains(shared));
    stranded
}

fn is_over(subscription: &Subscription, as_of: Timestamp, billed: &FrontierMap) -> bool {
    let Some(ended_at) = subscription.ended_at.filter(|ended_at| *ended_at <= as_of) else { return false };
    let Some(frontiers) = billed.get(&subscription.id) else { return true };
    let frontier = frontiers.get(Part::Usage, crate::due::Chain::Main);
    frontier.is_none_or(|frontier| frontier.until >= ended_at)
}

fn invoice(
    execution: &Execution<'_>,
    world: &World,
    (customer, currency): (CustomerId, Currency),
    fees: Vec<Fee>,
) -> Result<Invoice, RunError> {
    let known = world.view.customer(customer).map_err(late_failed)?;
    let scope = &execution.record.scope;
    let as_of = match scope.organization {
        Some(_) => scope.as_of,
        None => world.sandboxes.get(&known.organization).map_or(scope.as_of, |clock| scope.as_of.min(*clock)),
    };
    let entity = world.terms.entity(known.organization, customer).map(|entity| entity.id);
    let planned = planned_for(known, currency, entity, as_of, as_of).map_err(late_failed)?;
    let of = fees.first().and_then(|fee| fee.subscription);
    let the_only = of.filter(|of| fees.iter().all(|fee| fee.subscription == Some(*of)));
    let occasion = format!("late:{currency}:{}", execution.context.cut_id);
    let none = |_: &_, _: &[Fee]| Ok(Vec::new());
    let made = assemble::<MoneyError>(&planned, execution.context.run, fees, none, |_| Ok(Vec::new()));
    Ok(Invoice { subscription: the_only, occasion, ..made.map_err(late_failed)? })
}

fn late_failed(why: impl std::fmt::Display) -> RunError {
    crate::inputs::InputError::Other(format!("late usage without a next invoice: {why}")).into()
}

async fn write_one(execution: &mut Execution<'_>, invoice: Invoice, seen: &[&Looked]) -> Result<(), RunError> {
    let new = NewInvoice { invoice, moves: Vec::new(), completes: 0 };
    if execution.record.scope.dry_run {
        write::in_batches(execution, vec![new]).await?;
        return Ok(());
    }
    execution.context.now = execution.shared.clock.now();
    let mut transaction = execution.shared.database.write().await?;
    let is_first = frontiers::look_at(transaction.connection(), &execution.context.cut_id, seen).await?;
    let mut batch = vec![new];
    if !is_first || !crate::ledger::write::write(transaction.connection(), &execution.context, &mut batch).await? {
        return Ok(());
    }
    transaction.commit().await?;
    write::report(execution, &batch)
}

/// Nothing came late for these; noted, so that the next run does not look at the same events again.
async fn note_quiet(execution: &Execution<'_>, quiet: &[&Looked]) -> Result<(), RunError> {
    if quiet.is_empty() || execution.record.scope.dry_run {
        return Ok(());
    }
    let mut transaction = execution.shared.database.write().await?;
    if frontiers::look_at(transaction.connection(), &execution.context.cut_id, quiet).await? {
        transaction.commit().await?;
    }
    Ok(())
}
