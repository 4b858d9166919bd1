//! Worked numeric examples of charge models and aggregations that others published, every expected key of every case.
//!
//! The file is that of `TOLLGATE_GOLDEN_RATING`, else the project's own copy. What differs by decision is a rule with a predicate
//! and a reason, never a list of cases.

mod aggregation;
mod charge;
mod check;

use check::Check;
use serde_json::Value;

/// Where we decided otherwise: which cases (by what is in them), and why.
struct Decision {
    reason: &'static str,
    applies: fn(&Value) -> bool,
}

const DECISIONS: [Decision; 1] = [Decision {
    reason: "the newest value of a latest metric is never billed below 0, in a group as without one",
    applies: |case| {
        let negative = |group: &Value| group["aggregation"].as_str().is_some_and(|units| units.starts_with('-'));
        case["aggregation_type"] == "latest_agg"
            && case["expected"]["groups"].as_array().is_some_and(|groups| groups.iter().any(negative))
    },
}];

/// Checks one case.
type Checker = fn(&Value, &mut Check);

#[test]
fn golden_rating() {
    let file = match std::env::var_os("TOLLGATE_GOLDEN_RATING") {
        Some(named) => std::path::PathBuf::from(named),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden_rating.json").into(),
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let golden: Value = serde_json::from_str(&text).unwrap();
    let (mut cases, mut passed, mut decided, mut assertions) = (0, 0, 0, 0);
    let lists: [(&str, Checker); 2] = [("charge_cases", charge::check), ("aggregation_cases", aggregation::check)];
    for (name, check_case) in lists {
        for case in golden[name].as_array().into_iter().flatten() {
            cases += 1;
            let mut check = Check::new(case);
            check_case(case, &mut check);
            assertions += check.assertions();
            let differences = check.finish();
            let decision = DECISIONS.iter().find(|decision| (decision.applies)(case));
            match (differences.is_empty(), decision) {
                (true, _) => passed += 1,
                (false, Some(decision)) => {
                    decided += 1;
                    println!("{} differs by decision: {}", case["id"], decision.reason);
                }
                (false, None) => differences.iter().for_each(|difference| println!("{difference}")),
            }
        }
    }
    println!("{assertions} assertions");
    println!("golden: {cases} cases, {passed} passed, {decided} differ by decision");
    assert_eq!(passed + decided, cases, "some cases differ; each difference is printed above");
    assert!(cases > 0, "{} holds no case", file.display());
}
