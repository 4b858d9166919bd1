//! What a round must have come to: one cent a unit, each fee rounded once.

use crate::oracle::expected::Usage;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

/// Of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) invoices: u64,
    /// Events in the months billed, charged or not.
    pub(super) events: u64,
    pub(super) total_cents: i64,
}

/// From the usage of every customer, month by month; of some nothing is due.
pub(super) fn expected(customers: usize, months: &[Vec<Usage>], pays_nothing: fn(usize) -> bool) -> Expected {
    let usages = || months.iter().flatten();
    let paying = months.iter().flat_map(|month| month.iter().enumerate().filter(|(number, _)| !pays_nothing(*number)));
    // 10¹⁷ cents a fee would not fit; a fee here is below 10⁴ cents an event.
    let cents = paying.flat_map(|(_, usage)| usage.units).map(cents_of).sum();
    let invoices = (customers * months.len()) as u64;
    Expected { invoices, events: usages().map(|usage| usage.stored).sum(), total_cents: cents }
}

fn cents_of(units: Decimal) -> i64 {
    let rounded = units.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    rounded.to_i64().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fee_is_rounded_by_itself_and_every_customer_has_an_invoice_a_month() {
        let usage = |units: [&str; 3]| Usage { stored: 2, units: units.map(|one| one.parse().unwrap()), users: [9; 4] };
        let months =
            [vec![usage(["1", "0.5", "-0.5"]), Usage::none()], vec![usage(["1.4", "1.4", "0"]), Usage::none()]];
        let everybody = Expected { invoices: 4, events: 4, total_cents: 1 + 1 - 1 + 1 + 1 };
        assert_eq!(expected(2, &months, |_| false), everybody);
        assert_eq!(expected(2, &months, |number| number == 0), Expected { total_cents: 0, ..everybody });
    }
}
