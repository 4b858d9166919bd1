//! Sets of instants as sorted, disjoint, half-open intervals.

use domain::time::Timestamp;

/// `[from, to)`, never empty inside a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First instant.
    pub from: Timestamp,
    /// First instant after it.
    pub to: Timestamp,
}

/// A set of instants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<Interval>);

impl Intervals {
    /// `[from, to)`; nothing when it is empty.
    #[must_use]
    pub fn of(from: Timestamp, to: Timestamp) -> Self {
        if from < to { Self(vec![Interval { from, to }]) } else { Self::default() }
    }

    /// The intervals, oldest first.
    #[must_use]
    pub fn as_slice(&self) -> &[Interval] {
        &self.0
    }

    /// Whether it holds no instant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it holds `instant`.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.0.iter().any(|interval| interval.from <= instant && instant < interval.to)
    }

    /// Adds `[from, to)`.
    pub fn add(&mut self, from: Timestamp, to: Timestamp) {
        if from >= to {
            return;
        }
        let mut merged = Interval { from, to };
        self.0.retain(|known| {
            let apart = known.to < merged.from || merged.to < known.from;
            if !apart {
                merged = Interval { from: merged.from.min(known.from), to: merged.to.max(known.to) };
            }
            apart
        });
        let place = self.0.partition_point(|known| known.from < merged.from);
        self.0.insert(place, merged);
    }

    /// What is in either.
    #[must_use]
    pub fn union(&self, other: &Intervals) -> Intervals {
        let mut all = self.clone();
        for interval in &other.0 {
            all.add(interval.from, interval.to);
        }
        all
    }

    /// What is in it and not in `other`.
    #[must_use]
    pub fn minus(&self, other: &Intervals) -> Intervals {
        let mut left = Vec::with_capacity(self.0.len());
        for interval in &self.0 {
            let mut from = interval.from;
            for taken in other.0.iter().filter(|taken| taken.from < interval.to && interval.from < taken.to) {
                if from < taken.from {
                    left.push(Interval { from, to: taken.from });
                }
                from = from.max(taken.to);
            }
            if from < interval.to {
                left.push(Interval { from, to: interval.to });
            }
        }
        Intervals(left)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(&self, other: &Intervals) -> Intervals {
        self.minus(&self.minus(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_intervals() -> impl Strategy<Value = (Intervals, Vec<bool>)> {
        prop::collection::vec((0_i64..30, 0_i64..30), 0..6).prop_map(|list| {
            let mut set = Intervals::default();
            let mut naive = vec![false; 30];
            for (from, to) in list {
                set.add(Timestamp(from), Timestamp(to));
                (from..to).for_each(|instant| naive[usize::try_from(instant).unwrap()] = true);
            }
            (set, naive)
        })
    }

    fn members(set: &Intervals) -> Vec<bool> {
        (0..30).map(|instant| set.contains(Timestamp(instant))).collect()
    }

    proptest! {
        #[test]
        fn set_operations_equal_those_on_single_instants((a, in_a) in any_intervals(), (b, in_b) in any_intervals()) {
            let both = |f: fn(bool, bool) -> bool| -> Vec<bool> { in_a.iter().zip(&in_b).map(|(x, y)| f(*x, *y)).collect() };
            prop_assert_eq!(members(&a), in_a.clone());
            prop_assert_eq!(members(&a.union(&b)), both(|x, y| x || y));
            prop_assert_eq!(members(&a.minus(&b)), both(|x, y| x && !y));
            prop_assert_eq!(members(&a.intersection(&b)), both(|x, y| x && y));
            for set in [&a, &a.union(&b), &a.minus(&b)] {
                prop_assert!(set.as_slice().windows(2).all(|pair| pair[0].to < pair[1].from));
                prop_assert!(set.as_slice().iter().all(|interval| interval.from < interval.to));
            }
        }
    }
}
