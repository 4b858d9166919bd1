//! What a bill must be, computed from events in whole numbers of 10⁻⁹ dollars, by the plain meaning of the plan of
//! [`crate::account`]: nothing of the product is used here.

use std::collections::BTreeMap;

/// Usage of one customer in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests.
    pub requests: u128,
    /// Context tokens.
    pub context: u128,
    /// Generated tokens.
    pub generated: u128,
    /// Events by metric: requests, context, generated.
    pub events: [u64; 3],
}

/// 10⁻⁹ dollars in a cent.
const NANOS_PER_CENT: u128 = 10_000_000;
const NANOS_PER_DOLLAR: u128 = 1_000_000_000;

/// Half away from zero; nothing here is negative.
fn cents(nanos: u128) -> u128 {
    (nanos + NANOS_PER_CENT / 2) / NANOS_PER_CENT
}

impl Usage {
    /// Adds one event of a metric.
    pub fn add(&mut self, code: &str, tokens: u64) {
        let (at, total) = match code {
            "requests" => (0, &mut self.requests),
            "context_tokens" => (1, &mut self.context),
            "generated_tokens" => (2, &mut self.generated),
            other => panic!("no metric {other}"),
        };
        *total += if code == "requests" { 1 } else { u128::from(tokens) };
        self.events[at] += 1;
    }

    /// Units of a metric.
    pub fn units(&self, code: &str) -> u128 {
        match code {
            "requests" => self.requests,
            "context_tokens" => self.context,
            _ => self.generated,
        }
    }

    /// Cents of each charge: requests, context tokens, generated tokens.
    pub fn charges(&self) -> [u128; 3] {
        // 1,000 free, then each started 100 at 10 cents.
        let packages = self.requests.saturating_sub(1_000).div_ceil(100);
        let requests = packages * NANOS_PER_DOLLAR / 10;
        // The first million at 2.50 a million + 1 once, the rest at 1.25 a million + 0.50 once entered.
        let (low, high) = (self.context.min(1_000_000), self.context.saturating_sub(1_000_000));
        let second = if high > 0 { high * 1_250 + NANOS_PER_DOLLAR / 2 } else { 0 };
        let context = low * 2_500 + NANOS_PER_DOLLAR + second;
        // All at 10 a million, or past half a million all at 7.50 a million + 2 once.
        let generated = if self.generated <= 500_000 {
            self.generated * 10_000
        } else {
            self.generated * 7_500 + 2 * NANOS_PER_DOLLAR
        };
        [cents(requests), cents(context), cents(generated)]
    }

    /// Cents of the invoice: the charges and the flat fee of 49.00.
    pub fn total(&self) -> u128 {
        self.charges().iter().sum::<u128>() + 4_900
    }
}

/// Usage by (customer, start of the period in microseconds).
pub type Bill = BTreeMap<(String, i64), Usage>;

#[test]
fn the_oracle_agrees_with_a_bill_worked_out_by_hand() {
    let usage = Usage { requests: 1_101, context: 3_000_000, generated: 500_001, events: [0; 3] };
    // 2 packages = 20; 2.50 + 1 + 2.50 + 0.50 = 650; 500,001 × 0.0000075 + 2 = 5.7500075 → 575
    assert_eq!(usage.charges(), [20, 650, 575]);
    assert_eq!(usage.total(), 20 + 650 + 575 + 4_900);
}
