//! From usage to fees: rounding as the metric says, pricing, cents once, and what a charge's least amount lacks.

use crate::lines::Group;
use crate::rated::{Line, RateProblem, RatedCharge};
use crate::usage::{LineUsage, UsageByLine};
use crate::view::RatableCharge;
use domain::catalog::Metric;
use domain::money::{Currency, MinorUnits};
use domain::period::Proration;
use domain::pricing::UsageToPrice;
use domain::quantity::Quantity;
use std::sync::Arc;

/// What the fees of one charge have in common.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The charge.
    pub ratable: &'a RatableCharge,
    /// Its metric.
    pub metric: &'a Arc<Metric>,
    /// The plan's currency.
    pub currency: Currency,
    /// The share of the period for which a least amount is owed.
    pub minimum_share: Proration,
}

/// The fees of one charge, appended to `fees`; filters in the plan's order, then the charge's own prices, then what its least
/// amount lacks.
///
/// # Errors
/// When it cannot be priced, or an amount does not fit.
pub fn price_charge(terms: Terms<'_>, usage: UsageByLine, fees: &mut Vec<RatedCharge>) -> Result<(), RateProblem> {
    let first = fees.len();
    for ((line, group), line_usage) in usage {
        fees.push(price_line(terms, line, group, line_usage)?);
    }
    let lacking = true_up(terms, &fees[first..])?;
    fees.extend(lacking);
    Ok(())
}

/// What a charge's least amount lacks beyond `fees`, which are all its others; absent when nothing does.
///
/// # Errors
/// When an amount does not fit.
pub(crate) fn true_up(terms: Terms<'_>, fees: &[RatedCharge]) -> Result<Option<RatedCharge>, RateProblem> {
    let mut total = MinorUnits::ZERO;
    for fee in fees {
        total = total.plus(fee.amount_cents).map_err(|reason| money(terms, reason))?;
    }
    let least = terms.minimum_share.of_minor_units(terms.ratable.charge.min_amount);
    // A least amount of 0 is none: corrections may make a charge negative.
    if least <= MinorUnits::ZERO || total >= least {
        return Ok(None);
    }
    // Both are sums of 64-bit cents with total < least, so the difference fits unless total is hugely negative.
    let lacking = least.0.checked_sub(total.0).ok_or_else(|| money(terms, domain::money::MoneyError::TooLarge))?;
    Ok(Some(true_up_of(terms, MinorUnits(lacking))))
}

/// The fee of one line and group.
///
/// # Errors
/// As [`price_charge`].
pub(crate) fn price_line(
    terms: Terms<'_>,
    place: usize,
    group: Group,
    usage: LineUsage,
) -> Result<RatedCharge, RateProblem> {
    let priced_line = &terms.ratable.lines.all()[place];
    let units = rounded(terms.metric, usage.quantity);
    let full_units = usage.full_quantity.map(|quantity| rounded(terms.metric, quantity));
    let to_price = UsageToPrice {
        units,
        full_units,
        // An event whose value cannot be used is not charged for.
        events_count: usage.events_count - usage.invalid_count,
        events: usage.events,
        dynamic_total: usage.dynamic_total,
    };
    let charge = &terms.ratable.charge;
    let priced = priced_line.model.price(&to_price).map_err(|reason| RateProblem::Pricing {
        charge: charge.id,
        code: terms.metric.code.clone(),
        reason,
    })?;
    let cents = terms.currency.to_minor_units(&priced.amount.to_big()).map_err(|reason| money(terms, reason))?;
    Ok(RatedCharge {
        charge: charge.clone(),
        metric: terms.metric.clone(),
        line: Line {
            filter: priced_line.filter,
            filter_values: priced_line.values.clone(),
            display_name: priced_line.display_name.clone(),
            group,
            true_up: false,
        },
        units: to_price.units,
        full_units: to_price.full_units,
        amount: priced.amount,
        amount_cents: cents,
        unit_amount: priced.unit_amount,
        events_count: usage.events_count,
        invalid_count: usage.invalid_count,
        fingerprint: usage.fingerprint,
    })
}

fn true_up_of(terms: Terms<'_>, lacking: MinorUnits) -> RatedCharge {
    let amount = Quantity::from(terms.currency.to_units(lacking));
    RatedCharge {
        charge: terms.ratable.charge.clone(),
        metric: terms.metric.clone(),
        line: Line { true_up: true, ..Line::default() },
        units: Quantity::ONE,
        full_units: None,
        unit_amount: amount.clone(),
        amount,
        amount_cents: lacking,
        events_count: 0,
        invalid_count: 0,
        fingerprint: 0,
    }
}

/// A quantity as the metric rounds it.
pub(crate) fn rounded(metric: &Metric, quantity: Quantity) -> Quantity {
    match metric.rounding {
        // The contract allows 0–15 digits.
        Some((function, digits)) => quantity.rounded(function, i32::try_from(digits).unwrap_or(i32::MAX)),
        None => quantity,
    }
}

pub(crate) fn money(terms: Terms<'_>, reason: domain::money::MoneyError) -> RateProblem {
    RateProblem::Money { charge: terms.ratable.charge.id, code: terms.metric.code.clone(), reason }
}
