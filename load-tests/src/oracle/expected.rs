//! What each customer must have used: exact sums over the events that are stored.

use super::bits::Bits;
use crate::workload::facts::{Facts, Kind, REGIONS, USERS};
use crate::workload::stream::Stream;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What one customer has used in the period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Events of all metrics.
    pub stored: u64,
    /// Units by metric without groups, in order of [`Kind::ALL`]: requests, tokens, peak.
    pub units: [Decimal; 3],
    /// Distinct users by region.
    pub users: [u64; REGIONS],
}

/// Sums a customer's events of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    stored: u64,
    requests: u64,
    /// In millionths: the finest scale of any value, so that sums are of integers.
    tokens: i128,
    peak: Option<i128>,
    /// A bit a user.
    users: [u64; REGIONS],
}

const _: () = assert!(USERS == 64, "a set of users is one word");

impl Usage {
    /// Nothing used.
    #[must_use]
    pub fn none() -> Self {
        Self { stored: 0, units: [Decimal::ZERO; 3], users: [0; REGIONS] }
    }

    fn add(&mut self, sum: &Sum) {
        self.stored += sum.stored;
        self.units[Kind::Requests as usize] += Decimal::from(sum.requests);
        // 10⁶ × 2³⁰ × the number of events: an i128, and 28 digits, hold 10¹² events.
        self.units[Kind::Tokens as usize] += Decimal::from_i128_with_scale(sum.tokens, 6);
        if let Some(peak) = sum.peak {
            let peak = Decimal::from_i128_with_scale(peak, 6);
            self.units[Kind::Peak as usize] = self.units[Kind::Peak as usize].max(peak);
        }
        for (users, set) in self.users.iter_mut().zip(sum.users) {
            // Names of users begin with the run's tag: those of two runs are different users.
            *users += u64::from(set.count_ones());
        }
    }
}

impl Sum {
    fn add(&mut self, facts: &Facts) {
        let millionths = i128::from(facts.value.mantissa) * 10_i128.pow(6 - facts.value.scale);
        self.stored += 1;
        match facts.kind {
            Kind::Requests => self.requests += 1,
            Kind::Tokens => self.tokens += millionths,
            Kind::Peak => self.peak = self.peak.max(Some(millionths)),
            Kind::Users => self.users[usize::from(facts.region)] |= 1 << facts.user,
        }
    }
}

/// Adds a run's stored events to the usage of each customer.
pub fn add_run(usages: &mut [Usage], stream: &Stream, stored: &Bits) {
    let mut sums = vec![Sum::default(); usages.len()];
    for seq in stored.iter() {
        let facts = stream.facts(seq);
        sums[facts.customer as usize].add(&facts);
    }
    for (usage, sum) in usages.iter_mut().zip(&sums) {
        usage.add(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::slots::Slots;
    use crate::workload::stream::tests::sample;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The same from the rendered text, with decimals, one event after the other.
    fn slowly(stream: &Stream, stored: &BTreeSet<u64>, customer: u32) -> Usage {
        let mut usage = Usage::none();
        let mut users: [BTreeSet<u8>; REGIONS] = Default::default();
        for facts in stored.iter().map(|seq| stream.facts(*seq)).filter(|facts| facts.customer == customer) {
            usage.stored += 1;
            let value = facts.value.decimal();
            match facts.kind {
                Kind::Requests => usage.units[0] += Decimal::ONE,
                Kind::Tokens => usage.units[1] += value,
                Kind::Peak => usage.units[2] = usage.units[2].max(value),
                Kind::Users => {
                    users[usize::from(facts.region)].insert(facts.user);
                }
            }
        }
        usage.users = users.map(|set| set.len() as u64);
        usage
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn sums_of_integers_equal_sums_of_decimals(
            first in prop::collection::btree_set(0_u64..2_000, 0..800), second in prop::collection::btree_set(0_u64..500, 0..50),
        ) {
            let one = sample(Slots::Fresh, 10);
            let two = Stream { tag: "lt1".into(), seed: 12, ..one.clone() };
            let mut usages = vec![Usage::none(); 11];
            for (stream, stored) in [(&one, &first), (&two, &second)] {
                let mut bits = Bits::default();
                stored.iter().for_each(|seq| bits.insert(*seq));
                add_run(&mut usages, stream, &bits);
            }
            for customer in 0..11 {
                let (a, b) = (slowly(&one, &first, customer), slowly(&two, &second, customer));
                let usage = &usages[customer as usize];
                prop_assert_eq!(usage.stored, a.stored + b.stored);
                prop_assert_eq!(usage.units[0], a.units[0] + b.units[0]);
                prop_assert_eq!(usage.units[1], a.units[1] + b.units[1]);
                prop_assert_eq!(usage.units[2], a.units[2].max(b.units[2]));
                for region in 0..REGIONS {
                    prop_assert_eq!(usage.users[region], a.users[region] + b.users[region]);
                }
            }
        }
    }
}
