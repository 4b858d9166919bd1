//! Rating any number of stretches at one cut.
//!
//! 1. [`crate::plan`] turns the stretches into questions (in a blocking thread: it hashes three series a slot).
//! 2. The store answers each question in one stream of rows.
//! 3. Slots whose rows are no fees are read event by event, in portions of [`READ_AT_ONCE`] events, so that memory does not grow
//!    with their number. Each must have as many events, with the same fingerprint, as the row said.
//! 4. All stretches are priced, in parallel.
//!
//! A stretch that cannot be rated says why and keeps no other from it; a store that does not answer, or answers two different
//! things about one slot, fails the whole rating: nothing is guessed.

use crate::aggregate::Span;
use crate::plan::{PlannedItem, RatingPlan, Way, only, plan};
use crate::price::{Terms, price_charge};
use crate::rated::{RateProblem, RatedCharge, RatedItem, RatingItem};
use crate::rows::{Rows, from_rows};
use crate::usage::{Dimensions, EventRules, UsageByLine, UsageEvent, from_events, row_dimensions};
use crate::view::{RatableCharge, RatingView};
use aggregator::usage::{EventOfFee, UsageQuery, UsageRow};
use aggregator::{EventStore, StoreError};
use domain::position::Cut;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Events that are held in memory at once, of slots that are read event by event: at about 300 bytes each, 300 MB.
pub const READ_AT_ONCE: u64 = 1_000_000;

/// Why nothing could be rated.
#[derive(Debug, thiserror::Error)]
pub enum RateError {
    /// The event store did not answer.
    #[error("the event store did not answer: {0}")]
    Store(#[from] StoreError),
    /// The store's rows and its events disagree.
    #[error("the event store counted {rows} events where it then listed {events} (slot {slot}); its rows are damaged")]
    Inconsistent {
        /// Events by rows.
        rows: u64,
        /// Events one by one.
        events: u64,
        /// Where.
        slot: usize,
    },
    /// A thread of the rating ended without an answer.
    #[error("a rating thread broke off: {0}")]
    Thread(String),
}

/// Rates usage. Cheap to clone.
#[derive(Clone)]
pub struct Rater {
    store: EventStore,
}

/// What was found for the slots of a plan.
#[derive(Default)]
struct Found {
    rows: Vec<Vec<UsageRow>>,
    /// Usage of slots that were read, by slot and place of the charge in its plan.
    read: HashMap<(usize, usize), UsageByLine>,
}

impl Rater {
    /// A rater over a store.
    #[must_use]
    pub fn new(store: EventStore) -> Self {
        Self { store }
    }

    /// The store it reads.
    #[must_use]
    pub fn store(&self) -> &EventStore {
        &self.store
    }

    /// Rates `items` at `cut`; the answer is in their order.
    ///
    /// # Errors
    /// When the store fails. What only concerns one stretch is in that stretch's answer.
    pub async fn rate(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<RatedItem>, RateError> {
        let started = Instant::now();
        let (planning_view, planning_cut) = (view.clone(), cut.clone());
        let mut plan = in_background(move || plan(&planning_view, items, &planning_cut)).await?;
        let mut found = Found { rows: vec![Vec::new(); plan.slots.len()], read: HashMap::new() };
        let queries: Vec<_> = plan.queries.iter().map(|planned| &planned.query).collect();
        self.store.usage_of_all(&queries, |row| keep(&mut found.rows, row)).await?;
        self.read_events(&mut plan, &mut found).await?;
        let rated = in_background(move || price_all(plan, found)).await?;
        metrics::histogram!("tollgate_rating_seconds").record(started.elapsed());
        metrics::counter!("tollgate_rated_stretches_total").increment(u64::try_from(rated.len()).unwrap_or(u64::MAX));
        Ok(rated)
    }

    /// Reads the slots whose rows are no fees, event by event.
    async fn read_events(&self, plan: &mut RatingPlan, found: &mut Found) -> Result<(), RateError> {
        for planned in std::mem::take(&mut plan.queries) {
            for portion in portions(plan, found, &planned.query) {
                let query = only(&planned.query, &portion);
                let mut events: HashMap<usize, Vec<UsageEvent>> = HashMap::new();
                self.store.stream_events_in(&query, |event| keep_event(&mut events, event)).await?;
                for slot in portion {
                    let of_slot = events.remove(&slot).unwrap_or_default();
                    check(slot, &found.rows[slot], &of_slot)?;
                    found.rows[slot] = Vec::new();
                    usage_of_events(plan, slot, &of_slot, &mut found.read);
                }
            }
        }
        Ok(())
    }
}

fn keep(rows: &mut [Vec<UsageRow>], row: UsageRow) {
    // A slot the plan did not ask for cannot be billed; the store never makes one up.
    if let Some(slot) = usize::try_from(row.slot).ok().and_then(|slot| rows.get_mut(slot)) {
        slot.push(row);
    }
}

fn keep_event(events: &mut HashMap<usize, Vec<UsageEvent>>, event: EventOfFee) {
    let slot = usize::try_from(event.slot).unwrap_or(usize::MAX);
    events.entry(slot).or_default().push(read_event(event));
}

/// An event as usage is made of it, with its term as stored.
pub(crate) fn read_event(event: EventOfFee) -> UsageEvent {
    UsageEvent {
        timestamp: event.event.timestamp,
        id: event.event.id,
        term: event.stored_fingerprint,
        properties: event.event.properties,
        precise_total: event.event.precise_total_amount_cents,
    }
}

/// The slots of one query that have to be read, in portions of at most [`READ_AT_ONCE`] events (or one slot).
fn portions(plan: &RatingPlan, found: &Found, query: &UsageQuery) -> Vec<Vec<usize>> {
    let asked: HashSet<usize> = query.windows.iter().filter_map(|window| usize::try_from(window.slot).ok()).collect();
    let mut slots: Vec<usize> = asked.into_iter().filter(|slot| must_read(plan, *slot, &found.rows[*slot])).collect();
    slots.sort_unstable();
    let mut portions: Vec<Vec<usize>> = Vec::new();
    let mut held = u64::MAX;
    for slot in slots {
        let events: u64 = found.rows[slot].iter().map(|row| row.events_count).sum();
        if held.saturating_add(events) > READ_AT_ONCE {
            portions.push(Vec::new());
            held = 0;
        }
        held += events;
        if let Some(portion) = portions.last_mut() {
            portion.push(slot);
        }
    }
    portions
}

fn must_read(plan: &RatingPlan, slot: usize, rows: &[UsageRow]) -> bool {
    let planned = &plan.slots[slot];
    match planned.shape.way {
        Way::Rows => false,
        Way::Events => !rows.is_empty(),
        Way::LoneRows => charges_of(plan, slot).any(|ratable| !rows_stand_alone(plan, slot, ratable, rows)),
    }
}

/// Whether every row of distinct counts is a fee of its own, and none removes anything.
fn rows_stand_alone(plan: &RatingPlan, slot: usize, ratable: &RatableCharge, rows: &[UsageRow]) -> bool {
    let shape = &plan.slots[slot].shape;
    let mut seen = HashSet::new();
    rows.iter().all(|row| {
        let values = row_dimensions(row);
        let dimensions = Dimensions { keys: &shape.keys, values: &values };
        let removes = dimensions.get(crate::aggregate::OPERATION_TYPE) == Some("remove");
        let line = ratable.lines.line_of(|key| dimensions.get(key));
        let fee = (line, ratable.lines.group_of(line, |key| dimensions.get(key)));
        !removes && seen.insert(fee)
    })
}

/// The charges that share a slot.
fn charges_of(plan: &RatingPlan, slot: usize) -> impl Iterator<Item = &RatableCharge> {
    places_of(plan, slot).map(|(_, ratable)| ratable)
}

fn places_of(plan: &RatingPlan, slot: usize) -> impl Iterator<Item = (usize, &RatableCharge)> {
    let item = &plan.items[plan.slots[slot].item];
    let charges = item.charges.as_ref().ok().into_iter().flatten();
    let ratable_plan = item.plan.as_ref();
    charges.filter(move |charge| charge.slot == slot).filter_map(move |charge| {
        let ratable = ratable_plan?.charges().get(charge.place)?.as_ref().ok()?;
        Some((charge.place, ratable))
    })
}

/// Events and row of a slot must be the same events.
fn check(slot: usize, rows: &[UsageRow], events: &[UsageEvent]) -> Result<(), RateError> {
    let counted: u64 = rows.iter().map(|row| row.events_count).sum();
    let listed = u64::try_from(events.len()).unwrap_or(u64::MAX);
    let by_rows = rows.iter().fold(0_u128, |sum, row| sum.wrapping_add(row.fingerprint));
    let by_events = events.iter().fold(0_u128, |sum, event| sum.wrapping_add(event.term));
    if counted != listed || by_rows != by_events {
        return Err(RateError::Inconsistent { rows: counted, events: listed, slot });
    }
    Ok(())
}

fn usage_of_events(
    plan: &RatingPlan,
    slot: usize,
    events: &[UsageEvent],
    found: &mut HashMap<(usize, usize), UsageByLine>,
) {
    let planned = &plan.slots[slot];
    let item = &plan.items[planned.item];
    for (place, ratable) in places_of(plan, slot) {
        let rules = EventRules {
            lines: &ratable.lines,
            metric: &planned.shape.rules,
            keys: &planned.shape.keys,
            span: span_of(&item.item),
            prorated: ratable.charge.prorated,
            exponent: item.plan.as_ref().map_or(0, |version| version.plan.currency.exponent()),
        };
        found.insert((slot, place), from_events(rules, events));
    }
}

/// What a stretch covers of its period.
#[must_use]
pub fn span_of(item: &RatingItem) -> Span {
    Span { from: item.from, to: item.to, period: item.period }
}

/// Prices all stretches, on as many threads as there are processors; the answer is in their order.
fn price_all(plan: RatingPlan, found: Found) -> Vec<RatedItem> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let portion = plan.items.len().div_ceil(threads).max(1);
    let (plan, found) = (&plan, &found);
    let mut rated = Vec::with_capacity(plan.items.len());
    std::thread::scope(|scope| {
        let start = |items: &'_ [PlannedItem]| -> Vec<RatedItem> {
            items.iter().map(|item| price_item(plan, found, item)).collect()
        };
        let running: Vec<_> = plan.items.chunks(portion).map(|items| scope.spawn(move || start(items))).collect();
        for thread in running {
            match thread.join() {
                Ok(items) => rated.extend(items),
                // Carried on: the caller's thread reports it as its own.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    rated
}

fn price_item(plan: &RatingPlan, found: &Found, planned: &PlannedItem) -> RatedItem {
    let fees = match &planned.charges {
        Ok(_) => price_charges(plan, found, planned),
        Err(problem) => Err(problem.clone()),
    };
    RatedItem { item: planned.item.clone(), plan: planned.plan.clone(), fees }
}

fn price_charges(plan: &RatingPlan, found: &Found, planned: &PlannedItem) -> Result<Vec<RatedCharge>, RateProblem> {
    let charges = planned.charges.as_ref().map_err(Clone::clone)?;
    let mut fees = Vec::with_capacity(charges.len());
    let Some(ratable_plan) = &planned.plan else {
        return Ok(fees);
    };
    for charge in charges {
        let ratable = ratable_plan.charges()[charge.place].as_ref().map_err(Clone::clone)?;
        let shape = &plan.slots[charge.slot].shape;
        let usage = match found.read.get(&(charge.slot, charge.place)) {
            Some(usage) => usage.clone(),
            None => {
                let carried = charge.carried.map(|slot| found.rows[slot].as_slice()).unwrap_or_default();
                let rows = Rows { own: &found.rows[charge.slot], carried };
                from_rows(&ratable.lines, &shape.rules.metric, &shape.keys, span_of(&planned.item), rows)
            }
        };
        let terms = Terms {
            ratable,
            metric: &shape.rules.metric,
            currency: ratable_plan.plan.currency,
            minimum_share: planned.item.minimum_share,
        };
        price_charge(terms, usage, &mut fees)?;
    }
    Ok(fees)
}

/// Runs work that keeps a processor busy away from the threads that serve requests.
pub(crate) async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RateError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RateError::Thread(error.to_string()))
}
