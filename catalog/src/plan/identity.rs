//! Which charge of a new version is the same line as one of the version before: it keeps its id (behaviour W64 made new ids and
//! lost the links of fees to them).
//!
//! The same line = same metric and model at the same position; failing that, same metric and model, in order: so a charge that
//! is inserted before others renames none of them.

use domain::catalog::ChargeModel;
use domain::ids::{ChargeId, MetricId};

/// What makes two charges candidates for being one line.
pub(crate) type Line = (MetricId, ChargeModel);

/// For each new charge the position of the old one it continues, if any. No old charge is continued twice.
pub(crate) fn continued(old: &[Line], new: &[Line]) -> Vec<Option<usize>> {
    let mut free = vec![true; old.len()];
    let mut matches = vec![None; new.len()];
    for (position, line) in new.iter().enumerate() {
        if old.get(position) == Some(line) {
            matches[position] = Some(position);
            free[position] = false;
        }
    }
    for (position, line) in new.iter().enumerate() {
        if matches[position].is_some() {
            continue;
        }
        if let Some(found) = old.iter().enumerate().position(|(index, candidate)| free[index] && candidate == line) {
            matches[position] = Some(found);
            free[found] = false;
        }
    }
    matches
}

/// The id of a new charge.
pub(crate) fn charge_id(continues: Option<ChargeId>) -> ChargeId {
    continues.unwrap_or_else(ChargeId::random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn line(metric: u128, model: ChargeModel) -> Line {
        (MetricId(Uuid::from_u128(metric)), model)
    }

    #[test]
    fn a_line_that_stays_or_moves_keeps_its_id_and_a_new_one_gets_its_own() {
        use ChargeModel::{Standard, Volume};
        let old = [line(1, Standard), line(2, Standard)];
        assert_eq!(continued(&old, &old), [Some(0), Some(1)]);
        assert_eq!(continued(&old, &[line(3, Volume), line(1, Standard), line(2, Standard)]), [None, Some(0), Some(1)]);
        assert_eq!(continued(&old, &[line(2, Standard)]), [Some(1)]);
        assert_eq!(continued(&old, &[line(1, Volume)]), [None]);
        assert_eq!(continued(&old, &[line(1, Standard), line(1, Standard)]), [Some(0), None]);
    }

    proptest! {
        #[test]
        fn no_old_charge_is_continued_twice_and_only_by_its_equal(
            old in proptest::collection::vec(0_u128..3, 0..6),
            new in proptest::collection::vec(0_u128..3, 0..6),
        ) {
            let lines = |ids: &[u128]| ids.iter().map(|id| line(*id, ChargeModel::Standard)).collect::<Vec<_>>();
            let matches = continued(&lines(&old), &lines(&new));
            let mut used: Vec<usize> = matches.iter().flatten().copied().collect();
            used.sort_unstable();
            let distinct = used.len();
            used.dedup();
            prop_assert_eq!(used.len(), distinct);
            for (position, found) in matches.iter().enumerate() {
                if let Some(found) = found {
                    prop_assert_eq!(old[*found], new[position]);
                }
            }
        }
    }
}
