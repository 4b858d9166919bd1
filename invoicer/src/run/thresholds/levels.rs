//! Which amounts a sum of usage has reached. Pure.

use catalog::billing::Threshold;
use domain::money::MinorUnits;

/// The amount of a threshold that `total` has reached: of a recurring one the highest.
pub(super) fn level_reached(threshold: &Threshold, all: &[Threshold], total: MinorUnits) -> Option<MinorUnits> {
    if !threshold.recurring {
        return (total >= threshold.amount).then_some(threshold.amount);
    }
    let single = all.iter().filter(|one| !one.recurring).map(|one| one.amount.0);
    let base = single.max().unwrap_or(0);
    let steps = (total.0 - base).div_euclid(threshold.amount.0);
    (steps > 0).then(|| MinorUnits(base + steps * threshold.amount.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn threshold(amount: i64, recurring: bool) -> Threshold {
        let id = uuid::Uuid::from_u128(u128::from(amount.unsigned_abs()) << 1 | u128::from(recurring));
        Threshold { id, amount: MinorUnits(amount), recurring }
    }

    /// One cent after another: a level is reached at each amount that does not repeat, and at each step above the highest.
    fn by_counting(threshold: &Threshold, all: &[Threshold], total: i64) -> Option<MinorUnits> {
        let base = all.iter().filter(|one| !one.recurring).map(|one| one.amount.0).max().unwrap_or(0);
        let mut reached = None;
        for cents in 1..=total {
            let single = !threshold.recurring && cents == threshold.amount.0;
            let step = threshold.recurring && cents > base && (cents - base) % threshold.amount.0 == 0;
            if single || step {
                reached = Some(MinorUnits(cents));
            }
        }
        reached
    }

    proptest! {
        #[test]
        fn the_level_reached_is_the_one_that_counting_cent_by_cent_reaches(
            amounts in proptest::collection::btree_set((1_i64..60, any::<bool>()), 1..6), total in -5_i64..300,
        ) {
            let all: Vec<Threshold> = amounts.iter().map(|(amount, recurring)| threshold(*amount, *recurring)).collect();
            for one in &all {
                prop_assert_eq!(level_reached(one, &all, MinorUnits(total)), by_counting(one, &all, total));
            }
        }
    }
}
