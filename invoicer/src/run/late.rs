//! Late usage on the next invoice: closed stretches in which events came in, or were voided, after they were billed, rated again at the
//! run's cut; what differs from all that was billed for them becomes lines of kind `adjustment` (additions §4).
//!
//! How far a subscription has been looked at stands with how far its usage is billed: the cut of the run that moved it. Only
//! what changed since is looked at, and only stretches on issued invoices; drafts are rated again anyway. The difference is taken
//! to the newest adjustment of a line, so what was adjusted once is not adjusted twice. What cannot be rated is named by the run, and by each
//! later one of its subscription until it can.
//!
//! What came late for a subscription that has ended (also by a change of plan) stands on the next invoice of its customer in its
//! currency; of a customer without any, on one of its own: see [`super::no_next_invoice`].

use super::RunError;
use super::execute::Execution;
use crate::assemble::PlannedInvoice;
use crate::due::{Chain, Part, share_of};
use crate::fee_period::period_of_fee;
use crate::inputs::World;
use crate::ledger::fees::StoredFee;
use crate::ledger::frontiers::{FrontierKey, FrontierMove};
use crate::ledger::{LedgerError, adjusted, advanced, frontiers};
use crate::model::{Fee, FeeKind, FeeVersions};
use bigdecimal::BigDecimal;
use domain::catalog::Subscription;
use domain::ids::{ChargeId, CustomerId, FeeId, SubscriptionId};
use domain::money::{Currency, MinorUnits};
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::advance::{AdvancePayers, is_billed_already};
use rater::late::{AdjustedStretch, Adjustment, BilledStretch};
use rater::{Figures, RatingItem};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Adjustments of a run.
#[derive(Debug, Default)]
pub(super) struct LateUsage {
    /// By whose next invoice they stand on.
    pub(super) fees: HashMap<SubscriptionId, Vec<Fee>>,
    /// Of whom some of it cannot be rated: looked for again by the next run.
    pub(super) unrated: HashSet<SubscriptionId>,
    /// How far ended subscriptions were looked at, by whose invoice that is noted with.
    pub(super) looked_at: HashMap<SubscriptionId, Vec<(FrontierKey, FrontierMove)>>,
}

/// An ended subscription and the one on whose invoice its late usage stands.
struct Ended {
    subscription: SubscriptionId,
    carrier: SubscriptionId,
}

/// All that a line came to when it was adjusted, as the adjustment's properties keep it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Now {
    events_count: u64,
    fingerprint: String,
    units: Quantity,
    amount_cents: MinorUnits,
}

/// A closed stretch with the newest fee of each of its lines.
struct Closed {
    billed: BilledStretch,
    lines: BTreeMap<(ChargeId, String), StoredFee>,
}

/// What the subscriptions whose usage the plan bills owe for closed stretches beyond what was billed.
pub(super) async fn usage(
    execution: &mut Execution<'_>,
    world: &World,
    planned: &[PlannedInvoice],
) -> Result<LateUsage, RunError> {
    let lines = planned.iter().flat_map(|invoice| &invoice.lines);
    let mut due: Vec<SubscriptionId> =
        lines.filter(|line| line.due.part == Part::Usage).map(|line| line.due.subscription).collect();
    due.sort_unstable();
    due.dedup();
    let ended = ended_beside(world, planned, &due);
    due.extend(ended.iter().map(|one| one.subscription));
    due.sort_unstable();
    let mut late = LateUsage::default();
    changed_since(execution, world, &due, &mut late).await?;
    for one in &ended {
        let fees = late.fees.remove(&one.subscription).unwrap_or_default();
        late.fees.entry(one.carrier).or_default().extend(fees);
    }
    late.looked_at = looked_at(execution, world, &ended, &late.unrated).await?;
    Ok(late)
}

/// Ended subscriptions of which nothing is due any more, beside one of the same customer and currency whose usage is billed now.
fn ended_beside(world: &World, planned: &[PlannedInvoice], due: &[SubscriptionId]) -> Vec<Ended> {
    let mut carriers: HashMap<(CustomerId, Currency), SubscriptionId> = HashMap::new();
    for invoice in planned {
        let usage = invoice.lines.iter().find(|line| line.due.part == Part::Usage);
        if let Some(line) = usage {
            carriers.entry((invoice.customer, invoice.currency)).or_insert(line.due.subscription);
        }
    }
    let over =
        |subscription: &&Subscription| subscription.ended_at.is_some() && due.binary_search(&subscription.id).is_err();
    let beside = |subscription: &Subscription| {
        let currency = world.view.plan_versions(subscription.plan_id).first()?.plan.currency;
        let carrier = *carriers.get(&(subscription.customer_id, currency))?;
        Some(Ended { subscription: subscription.id, carrier })
    };
    world.view.subscriptions().iter().filter(over).filter_map(beside).collect()
}

/// The cut up to which ended subscriptions are looked at moves on with the invoice that their late usage stands on.
async fn looked_at(
    execution: &Execution<'_>,
    world: &World,
    ended: &[Ended],
    unrated: &HashSet<SubscriptionId>,
) -> Result<HashMap<SubscriptionId, Vec<(FrontierKey, FrontierMove)>>, RunError> {
    let ids: Vec<SubscriptionId> = ended.iter().map(|one| one.subscription).collect();
    let billed = frontiers::read_of(&mut *execution.shared.connection().await?, &ids).await?;
    let mut moves: HashMap<_, Vec<_>> = HashMap::new();
    for one in ended {
        let (Some(all), Ok(known)) = (billed.get(&one.subscription), world.view.subscription(one.subscription)) else {
            continue;
        };
        for chain in [Chain::Backlog, Chain::Main] {
            let Some(frontier) = all.get(Part::Usage, chain) else { continue };
            let key = FrontierKey { subscription: one.subscription, part: Part::Usage, chain };
            let (organization, late_is_billed) = (known.organization, !unrated.contains(&one.subscription));
            let stays = FrontierMove { organization, after: Some(frontier), to: frontier, late_is_billed };
            moves.entry(one.carrier).or_default().push((key, stays));
        }
    }
    Ok(moves)
}

/// What changed of these subscriptions since they were looked at, as adjustments.
pub(super) async fn changed_since(
    execution: &mut Execution<'_>,
    world: &World,
    due: &[SubscriptionId],
    late: &mut LateUsage,
) -> Result<(), RunError> {
    taken_back(execution, world, due, &mut late.fees).await?;
    let mut connection = execution.shared.connection().await?;
    let Some((looked_at, closed_until)) = adjusted::looked_at(&mut connection, due).await? else { return Ok(()) };
    drop(connection);
    let inputs = execution.shared.inputs.as_ref();
    let changes = inputs.changes(&world.view, closed_until, &looked_at, &execution.cut).await?;
    let changed: Vec<SubscriptionId> =
        changes.subscriptions().filter(|subscription| due.binary_search(subscription).is_ok()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let mut connection = execution.shared.connection().await?;
    let fees = adjusted::issued_usage(&mut connection, &changed).await?;
    drop(connection);
    let mut closed = closed_stretches(world, fees)?;
    closed.retain(|stretch| changes.touch(&stretch.billed.item));
    let stretches = closed.iter().map(|stretch| stretch.billed.clone()).collect();
    let rated = inputs.adjustments(&world.view, stretches, &execution.cut).await?;
    for (stretch, rated) in closed.iter().zip(rated) {
        add(execution, stretch, rated, late);
    }
    Ok(())
}

/// What events that were paid in advance, and were voided since, are given back: each exactly what it was billed.
async fn taken_back(
    execution: &mut Execution<'_>,
    world: &World,
    due: &[SubscriptionId],
    late: &mut HashMap<SubscriptionId, Vec<Fee>>,
) -> Result<(), RunError> {
    if AdvancePayers::of(&world.view).is_empty() {
        return Ok(());
    }
    let voided = execution.shared.inputs.voided(&execution.cut).await?;
    let fees = advanced::standing_fees_of(&mut *execution.shared.connection().await?, &voided).await?;
    for fee in fees {
        let Some(subscription) = fee.subscription.filter(|id| due.binary_search(id).is_ok()) else { continue };
        late.entry(subscription).or_default().push(given_back(&fee)?);
    }
    Ok(())
}

fn given_back(fee: &StoredFee) -> Result<Fee, LedgerError> {
    let units: BigDecimal = fee.units.parse().map_err(|_| LedgerError::corrupt("fees.units", fee.id))?;
    let amount = MinorUnits(-fee.amount.0);
    Ok(Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Adjustment,
        subscription: fee.subscription,
        plan: fee.plan,
        charge: fee.charge,
        line_key: fee.line_key.clone(),
        description: format!("{} (voided)", fee.description),
        metric_code: fee.metric_code.clone(),
        units: -&Quantity::from(units),
        unit_amount: Quantity::ZERO,
        amount,
        precise_amount: Quantity::from(amount.0),
        events_count: 0,
        fingerprint: None,
        from: fee.from,
        to: fee.to,
        versions: fee.versions,
        properties: "{}".into(),
        taxes: fee.taxes.clone(),
        adjusts: Some(fee.id),
        in_advance: fee.in_advance,
        coupons: Quantity::ZERO,
    })
}

fn add(execution: &mut Execution<'_>, stretch: &Closed, rated: AdjustedStretch, late: &mut LateUsage) {
    let subscription = rated.item.subscription;
    match rated.lines {
        Ok(lines) => {
            // Late events of what is paid in advance were billed as they came in.
            let in_advance = |line: &Adjustment| line.rated.as_ref().is_some_and(is_billed_already);
            let fees =
                lines.into_iter().filter(|line| !in_advance(line)).filter_map(|line| adjustment_fee(stretch, line));
            late.fees.entry(subscription).or_default().extend(fees);
        }
        Err(why) => {
            late.unrated.insert(subscription);
            execution.problems.note(format_args!("late usage of subscription {subscription}"), why);
        }
    }
}

/// The stretches of issued fees, each with all that was billed for it.
fn closed_stretches(world: &World, fees: Vec<StoredFee>) -> Result<Vec<Closed>, LedgerError> {
    let mut by_stretch: BTreeMap<(SubscriptionId, Timestamp), Closed> = BTreeMap::new();
    for fee in fees {
        let (Some(subscription), Some(charge)) = (fee.subscription, fee.charge) else { continue };
        let figures = figures_of(&fee)?;
        let stretch = match by_stretch.entry((subscription, fee.from)) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                // A plan or subscription that is gone cannot be rated again; the fee's own proof tells of it.
                let Ok(period) = period_of_fee(&world.view, &fee, subscription) else { continue };
                let Ok(known) = world.view.subscription(subscription) else { continue };
                let minimum_share = share_of(known, &period, fee.from, fee.to);
                let item = RatingItem { subscription, period, from: fee.from, to: fee.to, minimum_share };
                new.insert(Closed { billed: BilledStretch { item, billed: BTreeMap::new() }, lines: BTreeMap::new() })
            }
        };
        // Oldest first: the newest adjustment of a line says all that it came to.
        let line = (charge, fee.line_key.clone());
        stretch.billed.billed.insert(line.clone(), figures);
        stretch.lines.insert(line, fee);
    }
    Ok(by_stretch.into_values().collect())
}

fn figures_of(fee: &StoredFee) -> Result<Figures, LedgerError> {
    let unreadable = |column: &str| LedgerError::corrupt(column, fee.id);
    let parsed = |digits: &str| u128::from_str_radix(digits, 16);
    if fee.kind == FeeKind::Adjustment {
        let properties: serde_json::Value = serde_json::from_str(&fee.properties)?;
        let now: Now = serde_json::from_value(properties["now"].clone())?;
        let fingerprint = parsed(&now.fingerprint).map_err(|_| unreadable("fees.properties"))?;
        let (events_count, units, amount_cents) = (now.events_count, now.units, now.amount_cents);
        return Ok(Figures { events_count, fingerprint, units, amount_cents });
    }
    let units: BigDecimal = fee.units.parse().map_err(|_| unreadable("fees.units"))?;
    let fingerprint = fee.fingerprint.as_deref().map(parsed).transpose();
    Ok(Figures {
        events_count: fee.events_count,
        fingerprint: fingerprint.map_err(|_| unreadable("fees.event_fingerprint"))?.unwrap_or_default(),
        units: Quantity::from(units),
        amount_cents: fee.amount,
    })
}

/// The line of a difference; none when neither units nor money differ.
fn adjustment_fee(stretch: &Closed, line: Adjustment) -> Option<Fee> {
    if line.units.is_zero() && line.amount_cents == MinorUnits::ZERO {
        return None;
    }
    let before = stretch.lines.get(&(line.charge, line.line_key.clone()));
    // A line that had no events has no fee of its own: another of the stretch names plan and taxes.
    let beside = before.or_else(|| stretch.lines.values().next())?;
    let adjusted = beside.adjusts.unwrap_or(beside.id);
    let now = Now {
        events_count: line.now.events_count,
        fingerprint: format!("{:032x}", line.now.fingerprint),
        units: line.now.units,
        amount_cents: line.now.amount_cents,
    };
    let metric = line.rated.as_ref().map(|rated| rated.metric.version).or(beside.versions.metric);
    let code = line.rated.as_ref().map(|rated| rated.metric.code.clone()).or_else(|| beside.metric_code.clone());
    let cents = Quantity::from(line.amount_cents.0);
    let properties = serde_json::json!({ "now": now });
    Some(Fee {
        id: FeeId(uuid::Uuid::now_v7()),
        kind: FeeKind::Adjustment,
        subscription: beside.subscription,
        plan: beside.plan,
        charge: Some(line.charge),
        line_key: line.line_key,
        description: format!("{} (late usage)", beside.description.trim_end_matches(" (late usage)")),
        metric_code: code,
        units: line.units,
        unit_amount: Quantity::ZERO,
        amount: line.amount_cents,
        precise_amount: cents,
        events_count: 0,
        fingerprint: None,
        from: stretch.billed.item.from,
        to: stretch.billed.item.to,
        versions: FeeVersions { plan: beside.versions.plan, metric },
        properties: properties.to_string(),
        taxes: beside.taxes.clone(),
        adjusts: Some(adjusted),
        in_advance: None,
        coupons: Quantity::ZERO,
    })
}
