//! Usage thresholds: what a subscription has used in its running period is billed as soon as it reaches an amount.
//!
//! A pass asks the store once which series of the metrics concerned had events since the last pass, rates the running periods of
//! the subscriptions that these touch as one set, and compares. What is crossed is billed by an invoice that holds all usage of
//! the period so far, less what the invoices before it billed; the period's invoice takes off what was billed so
//! ([`progressive`]). Position, crossings and invoices are written in one transaction (I4): of two passes at once one writes
//! nothing and goes again.
//!
//! - Thresholds are reached by lifetime usage: what the periods before came to, added up as the next one begins (what comes in
//!   later for them counts in no threshold), and the running period so far. One that does not repeat is crossed once; one that
//!   does, at each such amount above the highest that does not ([`level_reached`]). Several at once are one invoice.
//! - Usage that is paid in advance is billed already, and what charges' least amounts lack shows only at the end: neither counts.
//! - A new or changed threshold is compared with the usage there is, whether or not more comes in.
//! - A subscription that cannot be rated keeps no other from being billed, and is tried again with each pass.
//! - A period that has ended, or is billed, is the billing run's: crossing is noted, and billed with it.
//!
//! Cost: while nothing came in, one row of the ledger and the store's last position.

mod levels;
mod watched;

use super::in_advance::{joined, line_of};
use super::plan::Problems;
use super::terms::applied_taxes;
use super::{RunError, Shared};
use crate::assemble::{add_up, total_of};
use crate::charge_fee::ChargeFees;
use crate::due::{Chain, Part};
use crate::inputs::World;
use crate::ledger::progressive::{self, Crossing, Lifetime, Waiting};
use crate::ledger::watch_progress::{self, Progress, THRESHOLDS};
use crate::ledger::write::{BatchContext, insert_all};
use crate::ledger::{LedgerError, frontiers, runs, tally};
use crate::model::{Credits, Fee, Invoice, InvoiceKind, InvoiceStatus, PaidAhead};
use crate::tax::InvoiceTaxes;
use catalog::WriteTransaction;
use catalog::billing::{Threshold, UnknownTax};
use domain::ids::{InvoiceId, OrganizationId, SubscriptionId};
use domain::money::{MinorUnits, MoneyError};
use domain::period::{PeriodError, Timezones, later_by_days};
use domain::position::Cut;
use domain::time::Timestamp;
use levels::level_reached;
use rater::advance::stretches_between;
use rater::{RateProblem, RatedItem, RatingItem, ViewError};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Instant;
use watched::Watched;

/// Passes in a row of which another was first; each time some pass has made progress.
const MAX_ATTEMPTS: usize = 100;

/// Who has thresholds, for as long as the catalog does not change; absent where nobody has, so that no catalog is held for it.
pub(super) struct Known {
    mark: String,
    watched: Option<Watched>,
}

/// An invoice that a pass made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BilledAtThreshold {
    /// Tenant.
    pub organization: OrganizationId,
    /// The invoice.
    pub invoice: InvoiceId,
    /// By the organization's clock.
    pub at: Timestamp,
}

/// Why a subscription is left for a later pass.
#[derive(Debug, thiserror::Error)]
enum HeldUp {
    #[error(transparent)]
    Rating(#[from] RateProblem),
    #[error(transparent)]
    View(#[from] ViewError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Tax(#[from] UnknownTax),
    #[error(transparent)]
    Period(#[from] PeriodError),
}

/// What a subscription has used.
struct Used {
    lifetime: Lifetime,
    /// Its running stretch.
    item: RatingItem,
    fees: Vec<Fee>,
    /// Σ these fees.
    usage: MinorUnits,
    /// With earlier periods.
    total: MinorUnits,
}

/// What a pass is to write.
#[derive(Default)]
struct Found {
    lifetimes: Vec<Lifetime>,
    crossings: Vec<Crossing>,
    invoices: Vec<Invoice>,
}

impl Shared {
    /// Bills the thresholds that usage up to `cut` crosses, or farther where it was looked at before.
    pub(super) async fn bill_thresholds_up_to(&self, cut: &Cut) -> Result<Vec<BilledAtThreshold>, RunError> {
        let mut cached = self.thresholds.lock().await;
        let known = self.watched_now(cached.take()).await?;
        let Some(watched) = &mut cached.insert(known).watched else { return Ok(Vec::new()) };
        for _ in 0..MAX_ATTEMPTS {
            if let Some(billed) = self.threshold_pass(watched, cut).await? {
                return Ok(billed);
            }
        }
        Err(RunError::Ledger(LedgerError::Contended))
    }

    async fn watched_now(&self, cached: Option<Known>) -> Result<Known, RunError> {
        if !self.inputs.may_have_thresholds().await? {
            return Ok(Known { mark: String::new(), watched: None });
        }
        // Read before the catalog: what changes in between is seen by the next pass.
        let mark = self.inputs.catalog_mark().await?;
        if let Some(known) = cached.filter(|known| known.mark == mark) {
            return Ok(known);
        }
        let world = self.world_at(&mark).await?;
        let looked_at = progressive::looked_at(&mut *self.connection().await?).await?;
        let watched = Watched::of(world, &looked_at);
        Ok(Known { mark, watched: (!watched.limits.is_empty()).then_some(watched) })
    }

    /// One attempt; absent when another was first.
    async fn threshold_pass(
        &self,
        watched: &mut Watched,
        cut: &Cut,
    ) -> Result<Option<Vec<BilledAtThreshold>>, RunError> {
        let progress = watch_progress::progress(&mut *self.connection().await?, THRESHOLDS).await?;
        let until = joined(&progress.cut, cut);
        if until == progress.cut && watched.anew.is_empty() && progress.version > 0 {
            return Ok(Some(Vec::new()));
        }
        let started = Instant::now();
        let touched = self.touched_by(watched, &progress, &until).await?;
        watched.world.sandboxes = self.inputs.sandbox_clocks().await?;
        let mut problems = Problems::default();
        let found = self.compare(watched, &touched, &until, &mut problems).await?;
        let held_up: HashSet<SubscriptionId> =
            found.lifetimes.iter().filter(|one| one.held_up).map(|one| one.subscription).collect();
        let billed = self.write_crossings(&progress, &until, found).await?;
        if billed.is_some() {
            watched.anew = held_up;
            metrics::histogram!("tollgate_watch_pass_seconds", "what" => THRESHOLDS).record(started.elapsed());
            metrics::counter!("tollgate_watch_rated_total", "what" => THRESHOLDS).increment(touched.len() as u64);
        }
        Ok(billed)
    }

    /// Whose usage may have changed since the last pass, in the order of ids.
    async fn touched_by(
        &self,
        watched: &Watched,
        progress: &Progress,
        until: &Cut,
    ) -> Result<Vec<SubscriptionId>, RunError> {
        let all = || watched.limits.keys().copied();
        let mut touched: BTreeSet<SubscriptionId> = watched.anew.iter().copied().collect();
        if progress.version == 0 {
            touched.extend(all());
        } else if *until != progress.cut {
            let codes = watched.codes.iter().cloned().collect();
            let changed = self.inputs.changed_in(&watched.world.view, codes, &progress.cut, until).await?;
            touched.extend(changed.subscriptions().filter(|id| watched.limits.contains_key(id)));
        }
        Ok(touched.into_iter().collect())
    }

    /// Rates what the touched ones have used, and finds what they crossed.
    async fn compare(
        &self,
        watched: &Watched,
        touched: &[SubscriptionId],
        until: &Cut,
        problems: &mut Problems,
    ) -> Result<Found, RunError> {
        let mut connection = self.connection().await?;
        let known = progressive::lifetimes(&mut connection, touched).await?;
        drop(connection);
        let mut items = Vec::new();
        for id in touched {
            items.extend(self.stretches_of(watched, *id, known.get(id)));
        }
        let rated = self.inputs.rate(&watched.world.view, items, until).await?;
        let mut by_subscription: BTreeMap<SubscriptionId, Vec<RatedItem>> = BTreeMap::new();
        for item in rated {
            by_subscription.entry(item.item.subscription).or_default().push(item);
        }
        let mut maker = ChargeFees::default();
        let (mut found, mut all_used) = (Found::default(), Vec::new());
        for (id, stretches) in by_subscription {
            let Some(before) = watched.lifetime(id, known.get(&id), &stretches) else { continue };
            match used(&mut maker, &watched.world, before.clone(), stretches) {
                Ok(used) => {
                    if known.get(&id) != Some(&used.lifetime) {
                        found.lifetimes.push(used.lifetime.clone());
                    }
                    all_used.push(used);
                }
                Err(why) => {
                    problems.note(format_args!("usage thresholds of subscription {id}"), why);
                    found.lifetimes.push(Lifetime { held_up: true, ..before });
                }
            }
        }
        self.cross(watched, all_used, &mut found, problems).await?;
        Ok(found)
    }

    /// From the first stretch that is not added up yet to the running one.
    fn stretches_of(&self, watched: &Watched, id: SubscriptionId, known: Option<&Lifetime>) -> Vec<RatingItem> {
        let view = &watched.world.view;
        let Ok(subscription) = view.subscription(id) else { return Vec::new() };
        let Some(started_at) = subscription.started_at else { return Vec::new() };
        let now = watched.now(subscription.organization).unwrap_or_else(|| self.clock.now());
        if now < started_at || subscription.ended_at.is_some_and(|ended_at| ended_at <= now) {
            return Vec::new();
        }
        let first = known.map_or(started_at, |known| known.period_start);
        // What its periods rest on is missing: its billing run names it.
        stretches_between(view, subscription, first.min(now), now).unwrap_or_default()
    }

    async fn cross(
        &self,
        watched: &Watched,
        all_used: Vec<Used>,
        found: &mut Found,
        problems: &mut Problems,
    ) -> Result<(), RunError> {
        let reach_any = |used: &Used| {
            let thresholds = watched.thresholds(used.item.subscription);
            thresholds.iter().any(|one| level_reached(one, thresholds, used.total).is_some())
        };
        let near: Vec<Used> = all_used.into_iter().filter(reach_any).collect();
        let ids: Vec<SubscriptionId> = near.iter().map(|used| used.item.subscription).collect();
        let mut connection = self.connection().await?;
        let crossed = progressive::crossed(&mut connection, &ids).await?;
        let waiting = progressive::waiting(&mut connection, &ids).await?;
        drop(connection);
        for used in near {
            let id = used.item.subscription;
            let levels = new_levels(watched.thresholds(id), &used, &crossed);
            let Some((named, level)) = levels.last().copied() else { continue };
            let organization = used.lifetime.organization;
            let now = watched.now(organization).unwrap_or_else(|| self.clock.now());
            let before = waiting.iter().find(|bill| bill.subscription == id && bill.period_start == used.item.from);
            let billed = before.map_or(MinorUnits::ZERO, |bill| bill.usage);
            let invoice = if used.usage > billed {
                let paid = PaidAhead::Threshold { id: named.id, level };
                match invoice_of(&watched.world, &used, paid, now) {
                    Ok(invoice) => Some(invoice),
                    Err(why) => {
                        problems.note(format_args!("usage thresholds of subscription {id}"), why);
                        found.lifetimes.retain(|one| one.subscription != id);
                        found.lifetimes.push(Lifetime { held_up: true, ..used.lifetime });
                        continue;
                    }
                }
            } else {
                None
            };
            found.crossings.extend(levels.iter().map(|(threshold, level)| Crossing {
                subscription: id,
                organization,
                threshold: threshold.id,
                level: *level,
                lifetime: used.total,
                usage: used.usage,
                period_start: used.item.from,
                invoice: invoice.as_ref().map(|invoice| invoice.id),
                crossed_at: now,
            }));
            found.invoices.extend(invoice);
        }
        Ok(())
    }

    async fn write_crossings(
        &self,
        progress: &Progress,
        until: &Cut,
        mut found: Found,
    ) -> Result<Option<Vec<BilledAtThreshold>>, RunError> {
        let mut write = self.database.write().await?;
        if !watch_progress::advance(write.connection(), THRESHOLDS, progress, until).await? {
            return Ok(None);
        }
        progressive::keep(write.connection(), &found.lifetimes).await?;
        self.write_progressive(&mut write, until, &mut found).await?;
        progressive::note_crossings(write.connection(), &found.crossings).await?;
        if let Some(first) = found.invoices.first() {
            tally::fold_sometimes(write.connection(), first.organization).await?;
        }
        write.commit().await?;
        metrics::counter!("tollgate_threshold_crossings_total").increment(found.crossings.len() as u64);
        let billed = |invoice: &Invoice| BilledAtThreshold {
            organization: invoice.organization,
            invoice: invoice.id,
            at: invoice.issued_at,
        };
        Ok(Some(found.invoices.iter().map(billed).collect()))
    }

    /// Inserts the invoices, each less what the one before it billed. What a billing run was first with is the run's.
    async fn write_progressive(
        &self,
        write: &mut WriteTransaction,
        until: &Cut,
        found: &mut Found,
    ) -> Result<(), RunError> {
        if found.invoices.is_empty() {
            return Ok(());
        }
        let ids: Vec<SubscriptionId> = found.invoices.iter().filter_map(|invoice| invoice.subscription).collect();
        let billed = frontiers::read_of(write.connection(), &ids).await?;
        found.invoices.retain(|invoice| {
            let frontiers = invoice.subscription.and_then(|id| billed.get(&id));
            let reached = frontiers.and_then(|all| all.get(Part::Usage, Chain::Main));
            reached.is_none_or(|frontier| frontier.until <= invoice.period_start)
        });
        let kept: HashSet<InvoiceId> = found.invoices.iter().map(|invoice| invoice.id).collect();
        for crossing in &mut found.crossings {
            crossing.invoice = crossing.invoice.filter(|id| kept.contains(id));
        }
        let waiting = progressive::waiting(write.connection(), &ids).await?;
        let mut before = HashMap::new();
        for invoice in &mut found.invoices {
            if let Some(bill) = waiting.iter().find(|bill| is_of(bill, invoice)) {
                invoice.credits.progressive = bill.amount;
                before.insert(invoice.id, bill.invoice);
            }
        }
        // Numbers grow with time.
        found.invoices.sort_by_key(|invoice| (invoice.organization, invoice.issued_at));
        let cut_id = runs::keep_positions(write.connection(), until).await?;
        let context = BatchContext { run: None, cut_id, now: self.clock.now(), row_lock: write.for_update() };
        insert_all(write.connection(), &context, found.invoices.iter_mut()).await?;
        progressive::note_billed(write.connection(), &found.invoices, &before).await?;
        Ok(())
    }
}

fn is_of(bill: &Waiting, invoice: &Invoice) -> bool {
    Some(bill.subscription) == invoice.subscription && bill.period_start == invoice.period_start
}

/// Adds up the stretches before the running one, and makes the fees of that.
fn used(
    maker: &mut ChargeFees,
    world: &World,
    mut lifetime: Lifetime,
    stretches: Vec<RatedItem>,
) -> Result<Used, HeldUp> {
    let count = stretches.len();
    let subscription = world.view.subscription(lifetime.subscription)?;
    let mut running = None;
    for (place, stretch) in stretches.into_iter().enumerate() {
        let (fees, item) = (stretch.fees?, stretch.item);
        let plan = stretch.plan.ok_or(ViewError::UnknownPlan(subscription.plan_id))?;
        let line = line_of(&item, plan);
        let usage = fees.into_iter().filter(|charge| !charge.line.true_up).collect();
        let mut fees = maker.of(&line, usage);
        let sum = total_of(&fees)?;
        if place + 1 < count {
            lifetime.before = lifetime.before.plus(sum)?;
            lifetime.period_start = item.to;
            continue;
        }
        fees.retain(|fee| fee.amount != MinorUnits::ZERO || fee.events_count > 0);
        lifetime.period_start = item.from;
        running = Some((item, fees, sum));
    }
    let (item, fees, usage) = running.ok_or(ViewError::UnknownSubscription(lifetime.subscription))?;
    let total = lifetime.before.plus(usage)?;
    Ok(Used { lifetime, item, fees, usage, total })
}

/// What was not reached before, in the order of amounts.
fn new_levels<'a>(
    thresholds: &'a [Threshold],
    used: &Used,
    crossed: &HashMap<(SubscriptionId, uuid::Uuid), MinorUnits>,
) -> Vec<(&'a Threshold, MinorUnits)> {
    let is_new = |threshold: &Threshold, level: MinorUnits| {
        crossed.get(&(used.item.subscription, threshold.id)).is_none_or(|before| *before < level)
    };
    let mut levels: Vec<_> = thresholds
        .iter()
        .filter_map(|threshold| Some((threshold, level_reached(threshold, thresholds, used.total)?)))
        .filter(|(threshold, level)| is_new(threshold, *level))
        .collect();
    levels.sort_by_key(|(_, level)| *level);
    levels
}

/// All usage of the period so far.
fn invoice_of(world: &World, used: &Used, paid: PaidAhead, now: Timestamp) -> Result<Invoice, HeldUp> {
    let subscription = world.view.subscription(used.item.subscription)?;
    let customer = world.view.customer(subscription.customer_id)?;
    let zone = Timezones::parse(&customer.timezones)?.at(now);
    let mut fees = used.fees.clone();
    for fee in &mut fees {
        fee.in_advance = Some(paid);
        fee.taxes = applied_taxes(&world.terms, subscription.organization, subscription.customer_id, fee)?;
    }
    let currency = world.view.plan_at(subscription.plan_id, now)?.plan.currency;
    let mut invoice = Invoice {
        id: InvoiceId(uuid::Uuid::now_v7()),
        organization: subscription.organization,
        customer: subscription.customer_id,
        subscription: Some(subscription.id),
        kind: InvoiceKind::ProgressiveBilling,
        // Days of grace are for what may still change; what comes in later stands on the next invoice.
        status: InvoiceStatus::Finalized,
        currency,
        due_at: now,
        occasion: format!("{paid}:{}", subscription.id),
        period_start: used.item.from,
        period_end: used.item.to,
        issued_at: now,
        due_date: later_by_days(zone, now, customer.net_payment_term_days),
        paid_at: None,
        run: None,
        regenerated_from: None,
        entity: world.terms.entity(subscription.organization, customer.id).map(|entity| entity.id),
        fees,
        subtotal: MinorUnits::ZERO,
        taxes: InvoiceTaxes::default(),
        credits: Credits::default(),
        total: MinorUnits::ZERO,
    };
    add_up(&mut invoice, now)?;
    Ok(invoice)
}
