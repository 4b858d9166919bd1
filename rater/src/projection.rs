//! What the running period will come to if usage goes on as it has so far.
//!
//! | quantity | at the end of the period |
//! |---|---|
//! | count, sum, custom, unique_count | grows in proportion to time: units × whole stretch / elapsed part |
//! | max, min, average, latest | levels: as they are |
//! | weighted_sum, and every recurring metric | as they are: what is there now is already counted to the end |
//!
//! The elapsed part is at least a day (or the whole stretch): minutes say nothing about a month. Projected units are priced
//! by the charge's own prices, so ranges and packages that will be reached are. Where prices look at single events
//! (percentage with allowances or limits, dynamic, prorated charges), the amount itself grows in proportion; free
//! allowances are then not used up twice as late as they will be, which makes such a projection low at first.
//!
//! Pure; a projection is never billed.

use crate::price::{Terms, money, price_line, true_up};
use crate::rated::{RateProblem, RatedCharge, RatedItem};
use crate::usage::LineUsage;
use crate::view::RatablePlan;
use domain::catalog::{Aggregation, RoundingFunction};
use domain::quantity::Quantity;
use domain::time::{MICROS_PER_SECOND, Timestamp};

/// Digits of projected units: a projection is no exact figure, and a quotient has no end.
const PROJECTED_DIGITS: u32 = 6;
/// The shortest part of a stretch that a projection rests on.
const LEAST_ELAPSED: i64 = 24 * 3_600 * MICROS_PER_SECOND;

/// How much longer the whole is than what has passed: `whole / elapsed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Growth {
    whole: i64,
    elapsed: i64,
}

impl Growth {
    fn of(rated: &RatedItem, now: Timestamp) -> Self {
        let whole = (rated.item.to.0 - rated.item.from.0).max(1);
        let elapsed = (now.0 - rated.item.from.0).clamp(LEAST_ELAPSED.min(whole), whole);
        Self { whole, elapsed }
    }

    fn apply(self, quantity: &Quantity, digits: u32) -> Quantity {
        if self.whole == self.elapsed {
            return quantity.clone();
        }
        // The elapsed part is never 0.
        (quantity * &Quantity::from(self.whole)).divided(&Quantity::from(self.elapsed), digits).unwrap_or_default()
    }
}

/// The stretch as it will be at its end, seen from `now`.
///
/// # Errors
/// When it cannot be rated, or a projected amount does not fit.
pub fn projected(rated: &RatedItem, now: Timestamp) -> Result<RatedItem, RateProblem> {
    let fees = rated.fees.as_ref().map_err(Clone::clone)?;
    let growth = Growth::of(rated, now);
    let mut projected = Vec::with_capacity(fees.len());
    let Some(plan) = &rated.plan else {
        return Ok(rated.clone());
    };
    for of_charge in fees.chunk_by(|one, next| one.charge.id == next.charge.id) {
        project_charge(rated, plan, of_charge, growth, &mut projected)?;
    }
    Ok(RatedItem { fees: Ok(projected), ..rated.clone() })
}

fn project_charge(
    rated: &RatedItem,
    plan: &RatablePlan,
    fees: &[RatedCharge],
    growth: Growth,
    projected: &mut Vec<RatedCharge>,
) -> Result<(), RateProblem> {
    let charge = fees[0].charge.id;
    let found = plan.charges().iter().flatten().find(|ratable| ratable.charge.id == charge);
    let Some(ratable) = found else {
        projected.extend_from_slice(fees);
        return Ok(());
    };
    let terms = Terms {
        ratable,
        metric: &fees[0].metric,
        currency: plan.plan.currency,
        minimum_share: rated.item.minimum_share,
    };
    let first = projected.len();
    for fee in fees.iter().filter(|fee| !fee.line.true_up) {
        projected.push(project_fee(terms, fee, growth)?);
    }
    let lacking = true_up(terms, &projected[first..])?;
    projected.extend(lacking);
    Ok(())
}

fn project_fee(terms: Terms<'_>, fee: &RatedCharge, growth: Growth) -> Result<RatedCharge, RateProblem> {
    if !grows(fee) {
        return Ok(fee.clone());
    }
    let units = growth.apply(&fee.units, PROJECTED_DIGITS);
    let place = line_of(terms, fee);
    let needs = terms.ratable.lines.all()[place].model.needs();
    if needs.events || needs.dynamic_total || fee.charge.prorated {
        let amount = growth.apply(&fee.amount, PROJECTED_DIGITS);
        let cents = terms.currency.to_minor_units(&amount.to_big()).map_err(|reason| money(terms, reason))?;
        let full_units = fee.full_units.as_ref().map(|full| growth.apply(full, PROJECTED_DIGITS));
        return Ok(RatedCharge { units, full_units, amount, amount_cents: cents, ..fee.clone() });
    }
    let events = growth.apply(&Quantity::from(fee.events_count - fee.invalid_count), 0);
    let whole_events = events.rounded(RoundingFunction::Round, 0).to_string().parse().unwrap_or(u64::MAX);
    let usage = LineUsage { quantity: units, events_count: whole_events, ..LineUsage::default() };
    let priced = price_line(terms, place, fee.line.group.clone(), usage)?;
    // The events are those there are: only what they come to is imagined.
    Ok(RatedCharge {
        events_count: fee.events_count,
        invalid_count: fee.invalid_count,
        fingerprint: fee.fingerprint,
        ..priced
    })
}

fn grows(fee: &RatedCharge) -> bool {
    use Aggregation::{Count, Custom, Sum, UniqueCount};
    !fee.metric.recurring && matches!(fee.metric.aggregation, Count | Sum | Custom | UniqueCount)
}

/// Place of a fee's prices; the charge's own come last.
fn line_of(terms: Terms<'_>, fee: &RatedCharge) -> usize {
    fee.line.filter.unwrap_or(terms.ratable.lines.all().len() - 1)
}
