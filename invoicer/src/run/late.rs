//! Late usage on the next invoice: closed stretches in which events came in, or were voided, after they were billed, rated again at the
//! run's cut; what differs from all that was billed for them becomes lines of kind `adjustment` (additions §4).
//!
//! How far a subscription has been looked at stands with how far its usage is billed: the cut of the run that moved it. Only
//! what changed since is looked at, and only stretches on issued invoices; drafts are rated again anyway. The difference is taken
//! to the newest adjustment of a line, so what was adjusted once is not adjusted twice.

use super::RunError;
use super::execute::Execution;
use crate::assemble::PlannedInvoice;
use crate::due::{Part, share_of};
use crate::fee_period::period_of_fee;
use crate::inputs::World;
use crate::ledger::fees::StoredFee;
use crate::ledger::{LedgerError, adjusted, advanced};
use crate::model::{Fee, FeeKind, FeeVersions};
use bigdecimal::BigDecimal;
use domain::ids::{ChargeId, FeeId, SubscriptionId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::advance::{AdvancePayers, is_billed_already};
use rater::late::{AdjustedStretch, Adjustment, BilledStretch};
use rater::{Figures, RatingItem};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Adjustments of a run, by whose next invoice they stand on.
pub(super) type LateUsage = HashMap<SubscriptionId, Vec<Fee>>;

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
    let mut late = taken_back(execution, world, &due).await?;
    let mut connection = execution.shared.connection().await?;
    let Some((looked_at, closed_until)) = adjusted::looked_at(&mut connection, &due).await? else { return Ok(late) };
    drop(connection);
    let inputs = execution.shared.inputs.as_ref();
    let changes = inputs.changes(&world.view, closed_until, &looked_at, &execution.cut).await?;
    let changed: Vec<SubscriptionId> =
        changes.subscriptions().filter(|subscription| due.binary_search(subscription).is_ok()).collect();
    if changed.is_empty() {
        return Ok(late);
    }
    let mut connection = execution.shared.connection().await?;
    let fees = adjusted::issued_usage(&mut connection, &changed).await?;
    drop(connection);
    let mut closed = closed_stretches(world, fees)?;
    closed.retain(|stretch| changes.touch(&stretch.billed.item));
    let stretches = closed.iter().map(|stretch| stretch.billed.clone()).collect();
    let rated = inputs.adjustments(&world.view, stretches, &execution.cut).await?;
    for (stretch, rated) in closed.iter().zip(rated) {
        add(execution, stretch, rated, &mut late);
    }
    Ok(late)
}

/// What events that were paid in advance, and were voided since, are given back: each exactly what it was billed.
async fn taken_back(
    execution: &mut Execution<'_>,
    world: &World,
    due: &[SubscriptionId],
) -> Result<LateUsage, RunError> {
    let mut late = LateUsage::new();
    if AdvancePayers::of(&world.view).is_empty() {
        return Ok(late);
    }
    let voided = execution.shared.inputs.voided(&execution.cut).await?;
    let fees = advanced::standing_fees_of(&mut *execution.shared.connection().await?, &voided).await?;
    for fee in fees {
        let Some(subscription) = fee.subscription.filter(|id| due.binary_search(id).is_ok()) else { continue };
        late.entry(subscription).or_default().push(given_back(&fee)?);
    }
    Ok(late)
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
            late.entry(subscription).or_default().extend(fees);
        }
        Err(why) => execution.problems.note(format_args!("late usage of subscription {subscription}"), why),
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
