//! Which events of a run must be stored, may be, or must not be, by what became of the requests that carried their copies.

use super::bits::Bits;
use crate::client::answer::Outcome;
use crate::drive::journal::Outcomes;
use crate::workload::slots::Form;
use crate::workload::stream::Stream;
use serde::{Deserialize, Serialize};

/// Events of a run by what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// A copy was acknowledged: stored, once.
    pub acknowledged: Bits,
    /// No copy was acknowledged, but one may have been stored: to be looked up.
    pub unknown: Bits,
    /// Events of which a copy with the original timestamp was acknowledged, respectively may be stored.
    originals: Copies,
    /// The same of restamped copies.
    restamped: Copies,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Copies {
    acknowledged: Bits,
    unknown: Bits,
}

/// Least and greatest number of restamped copies the server must have met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restamped {
    /// Events of which both timestamps were acknowledged: one of the two lost.
    pub at_least: u64,
    /// These, and those where the outcome of one is unknown.
    pub at_most: u64,
}

impl Fates {
    /// Goes through all requests of a run.
    #[must_use]
    pub fn of(stream: &Stream, outcomes: &Outcomes) -> Self {
        let mut fates = Self::default();
        for (request, outcome) in outcomes.iter() {
            if !matches!(outcome, Outcome::Acknowledged | Outcome::Unknown) {
                continue;
            }
            for place in stream.places_of(request) {
                let copy = stream.copy_at(place);
                fates.note(copy.seq, copy.form, outcome);
            }
        }
        fates
    }

    fn note(&mut self, seq: u64, form: Form, outcome: Outcome) {
        let copies = if form == Form::Restamped { &mut self.restamped } else { &mut self.originals };
        if outcome == Outcome::Acknowledged {
            copies.acknowledged.insert(seq);
            self.acknowledged.insert(seq);
        } else {
            copies.unknown.insert(seq);
            self.unknown.insert(seq);
        }
    }

    /// Events whose storage has to be looked up, ascending.
    pub fn undecided(&self) -> impl Iterator<Item = u64> + '_ {
        self.unknown.iter().filter(|seq| !self.acknowledged.contains(*seq))
    }

    /// How many restamped copies the server must have met.
    #[must_use]
    pub fn restamped(&self) -> Restamped {
        let mut count = Restamped::default();
        for seq in self.restamped.acknowledged.iter() {
            let certain = self.originals.acknowledged.contains(seq);
            count.at_least += u64::from(certain);
            count.at_most += u64::from(certain || self.originals.unknown.contains(seq));
        }
        for seq in self.restamped.unknown.iter().filter(|seq| !self.restamped.acknowledged.contains(*seq)) {
            let other = self.originals.acknowledged.contains(seq) || self.originals.unknown.contains(seq);
            count.at_most += u64::from(other);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::slots::Slots;
    use crate::workload::stream::tests::sample;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn any_outcome() -> impl Strategy<Value = Outcome> {
        use Outcome::{Acknowledged, Refused, Unknown, Unsent};
        prop::sample::select(vec![Acknowledged, Acknowledged, Acknowledged, Acknowledged, Refused, Unknown, Unsent])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn fates_are_those_of_a_slow_count(
            outcomes in prop::collection::vec(any_outcome(), 1..40), batch in 1_u64..500, repeats: bool,
        ) {
            let stream = sample(if repeats { Slots::repeating(batch) } else { Slots::Fresh }, batch);
            let mut noted = Outcomes::default();
            let mut copies: BTreeMap<u64, Vec<(Form, Outcome)>> = BTreeMap::new();
            for (request, outcome) in (0..).zip(&outcomes) {
                noted.push(*outcome, 1);
                for place in stream.places_of(request) {
                    let copy = stream.copy_at(place);
                    copies.entry(copy.seq).or_default().push((copy.form, *outcome));
                }
            }
            let fates = Fates::of(&stream, &noted);
            let undecided: BTreeSet<u64> = fates.undecided().collect();
            let (mut least, mut most) = (0, 0);
            for (seq, of_one) in copies {
                let is = |wanted| move |copy: &&(Form, Outcome)| copy.1 == wanted;
                let acknowledged: Vec<_> = of_one.iter().filter(is(Outcome::Acknowledged)).collect();
                let unknown = of_one.iter().filter(is(Outcome::Unknown)).count();
                prop_assert_eq!(fates.acknowledged.contains(seq), !acknowledged.is_empty());
                prop_assert_eq!(undecided.contains(&seq), acknowledged.is_empty() && unknown > 0);
                let has_restamped = of_one.iter().any(|(form, _)| *form == Form::Restamped);
                least += u64::from(has_restamped && acknowledged.len() == 2);
                most += u64::from(has_restamped && acknowledged.len() + unknown == 2);
            }
            prop_assert_eq!(fates.restamped(), Restamped { at_least: least, at_most: most });
        }
    }
}
