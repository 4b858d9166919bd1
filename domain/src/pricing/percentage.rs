//! Percentage: a share of the quantity and a fixed fee per event, with free allowances and limits per event.
//!
//! Events count in the order of their timestamps. An event is free while both allowances hold (one that is absent or 0 always
//! does): it is among the first `free_units_per_events`, and it fits into what is left of `free_units_per_total_aggregation`.
//! An event that fits in part is free for that part and pays its fixed fee. So with both set the amount allowance reaches
//! no further than the first `free_units_per_events` events.
//!
//! Without limits per event: `(units − free units) × rate / 100 + (events − free events) × fixed_amount`, nothing without
//! units. With `per_transaction_min_amount` or `per_transaction_max_amount`: that sum per event that is not wholly free, its
//! fixed fee included, raised to the least and then lowered to the greatest amount.

use super::properties::Properties;
use super::{EventUnits, Priced, PricingError, UsageToPrice};
use crate::quantity::Quantity;
use serde_json::{Value, json};

/// One percent.
const PERCENT: Quantity = Quantity::new(1, 2);

/// A rate with its allowances and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Percentage {
    /// In percent, as written.
    rate: Quantity,
    /// Per event that is not free.
    fixed: Quantity,
    /// Events that may be free; absent: no such allowance.
    free_events: Option<u64>,
    /// Units that may be free; absent: no such allowance.
    free_units: Option<Quantity>,
    least: Option<Quantity>,
    greatest: Option<Quantity>,
}

/// What the allowances take off.
#[derive(Default)]
struct Free {
    units: Quantity,
    events: u64,
}

/// The parts of an amount.
struct Parts {
    free: Free,
    paid_units: Quantity,
    paid_events: u64,
    share: Quantity,
    fixed: Quantity,
    /// What the limits per event add (or take).
    adjustment: Quantity,
}

impl Percentage {
    pub(super) fn read(read: &mut Properties<'_>) -> Option<Self> {
        let rate = read.required_amount(["rate", "percentage"]);
        let set = |amount: Option<Quantity>| amount.filter(|amount| !amount.is_zero());
        let least = set(read.amount("per_transaction_min_amount"));
        let greatest = set(read.amount("per_transaction_max_amount"));
        if let (Some(least), Some(greatest)) = (&least, &greatest)
            && least > greatest
        {
            read.reject(
                "per_transaction_min_amount",
                format!("is greater than per_transaction_max_amount ({greatest})"),
            );
        }
        Some(Self {
            fixed: read.amount("fixed_amount").unwrap_or_default(),
            free_events: read.count("free_units_per_events").filter(|events| *events > 0),
            free_units: set(read.amount("free_units_per_total_aggregation")),
            least,
            greatest,
            rate: rate?,
        })
    }

    pub(super) fn needs_events(&self) -> bool {
        self.has_allowance() || self.has_limit()
    }

    fn has_allowance(&self) -> bool {
        self.free_events.is_some() || self.free_units.is_some()
    }

    fn has_limit(&self) -> bool {
        self.least.is_some() || self.greatest.is_some()
    }

    pub(super) fn price(&self, usage: &UsageToPrice) -> Result<Priced, PricingError> {
        let parts = self.parts(usage)?;
        let amount = &(&parts.share + &parts.fixed) + &parts.adjustment;
        Ok(Priced::per_unit(amount, usage.shown_units()))
    }

    fn parts(&self, usage: &UsageToPrice) -> Result<Parts, PricingError> {
        let events = match &usage.events {
            Some(events) => events.as_slice(),
            None if self.needs_events() => return Err(PricingError::NeedsEvents),
            None => &[],
        };
        let mut free = Free::default();
        let mut limited = Quantity::ZERO;
        for (index, event) in (0_u64..).zip(events) {
            let free_part = self.free_part(index, event, &mut free);
            if let Some(free_part) = free_part {
                limited += &self.limited(&(&event.units - &free_part));
            }
        }
        let paid_units =
            if self.has_allowance() { (&usage.units - &free.units).or_zero() } else { usage.units.clone() };
        let paid_events = usage.events_count.saturating_sub(free.events);
        let mut parts = Parts {
            share: self.share(&paid_units),
            fixed: &self.fixed * &Quantity::from(paid_events),
            adjustment: Quantity::ZERO,
            free,
            paid_units,
            paid_events,
        };
        if self.has_limit() {
            parts.adjustment = &limited - &(&parts.share + &parts.fixed);
        } else if usage.units.is_zero() {
            parts.fixed = Quantity::ZERO;
        }
        Ok(parts)
    }

    /// The free part of an event that has to be paid; absent when the whole event is free.
    fn free_part(&self, index: u64, event: &EventUnits, free: &mut Free) -> Option<Quantity> {
        let counts = self.free_events.is_none_or(|allowed| index < allowed);
        if !self.has_allowance() || !counts {
            return Some(Quantity::ZERO);
        }
        let Some(allowed) = &self.free_units else {
            free.units += &event.units;
            free.events += 1;
            return None;
        };
        let left = allowed - &free.units;
        let part = event.units.or_zero().min(left.clone());
        free.units += &part;
        if part == event.units && !left.is_zero() {
            free.events += 1;
            return None;
        }
        Some(part)
    }

    fn share(&self, units: &Quantity) -> Quantity {
        &(units * &self.rate) * &PERCENT
    }

    /// What one event pays for `units`, within the limits.
    fn limited(&self, units: &Quantity) -> Quantity {
        let mut amount = &self.share(units) + &self.fixed;
        if let Some(least) = &self.least {
            amount = amount.max(least.clone());
        }
        if let Some(greatest) = &self.greatest {
            amount = amount.min(greatest.clone());
        }
        amount
    }

    pub(super) fn details(&self, usage: &UsageToPrice) -> Result<Value, PricingError> {
        let parts = self.parts(usage)?;
        Ok(json!({
            "units": usage.units,
            "free_units": parts.free.units,
            "paid_units": parts.paid_units,
            "free_events": parts.free.events.to_string(),
            "paid_events": parts.paid_events.to_string(),
            "rate": self.rate,
            "per_unit_total_amount": parts.share,
            "fixed_fee_unit_amount": self.fixed,
            "fixed_fee_total_amount": parts.fixed,
            "min_max_adjustment_total_amount": parts.adjustment,
        }))
    }
}
