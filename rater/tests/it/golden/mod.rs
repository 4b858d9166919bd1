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

/// A list of cases: its name, what checks them, and every key that a case of it may have.
struct List {
    name: &'static str,
    check: Checker,
    keys: &'static [&'static str],
}

const LISTS: [List; 2] = [
    List { name: "charge_cases", check: charge::check, keys: charge::KEYS },
    List { name: "aggregation_cases", check: aggregation::check, keys: aggregation::KEYS },
];

/// What the file says about itself.
const PROSE: [&str; 3] = ["about", "charge_conventions", "aggregation_conventions"];

/// How many cases came to what.
#[derive(Default)]
struct Tally {
    cases: usize,
    passed: usize,
    decided: usize,
    assertions: usize,
}

impl Tally {
    fn case(&mut self, list: &List, case: &Value) {
        self.cases += 1;
        let (differences, assertions) = outcome(list, case);
        self.assertions += assertions;
        let decision = DECISIONS.iter().find(|decision| (decision.applies)(case));
        match (differences.is_empty(), decision) {
            (true, _) => self.passed += 1,
            (false, Some(decision)) => {
                self.decided += 1;
                println!("{} differs by decision: {}", case["id"], decision.reason);
            }
            (false, None) => differences.iter().for_each(|difference| println!("{difference}")),
        }
    }
}

/// What differs, and how much was compared. A case that cannot be read is a difference, and keeps no other from its check.
fn outcome(list: &List, case: &Value) -> (Vec<String>, usize) {
    let id = case["id"].as_str().unwrap_or("a case without an id").to_owned();
    let checked = std::panic::catch_unwind(|| {
        let mut check = Check::new(case);
        check.only_keys("", case, list.keys);
        (list.check)(case, &mut check);
        let assertions = check.assertions();
        (check.finish(), assertions)
    });
    checked.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        (vec![format!("{id}: cannot be interpreted: {text}")], 0)
    })
}

#[test]
fn golden_rating() {
    let file = match std::env::var_os("TOLLGATE_GOLDEN_RATING") {
        Some(named) => std::path::PathBuf::from(named),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden_rating.json").into(),
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let golden: Value = serde_json::from_str(&text).unwrap();
    let mut tally = Tally::default();
    for list in &LISTS {
        golden[list.name].as_array().into_iter().flatten().for_each(|case| tally.case(list, case));
    }
    let known = |key: &&String| PROSE.contains(&key.as_str()) || LISTS.iter().any(|list| list.name == key.as_str());
    let unknown: Vec<&String> = golden.as_object().unwrap().keys().filter(|key| !known(key)).collect();
    if !unknown.is_empty() {
        println!("the file holds lists that nothing knows how to check: {unknown:?}");
    }
    let Tally { cases, passed, decided, assertions } = tally;
    println!("{assertions} assertions");
    println!("golden: {cases} cases, {passed} passed, {decided} differ by decision");
    assert_eq!(passed + decided, cases, "some cases differ; each difference is printed above");
    assert!(unknown.is_empty(), "unknown lists: {unknown:?}");
    assert!(cases > 0, "{} holds no case", file.display());
}

#[test]
fn a_case_or_key_that_cannot_be_interpreted_is_a_difference() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden_rating.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    for list in &LISTS {
        let mut case = golden[list.name][0].clone();
        assert!(outcome(list, &case).0.is_empty());
        case["expected"]["carbon"] = Value::from(1);
        assert_eq!(outcome(list, &case).0.len(), 1, "an expected key");
        let mut case = golden[list.name][0].clone();
        case["weather"] = Value::from("fair");
        assert_eq!(outcome(list, &case).0.len(), 1, "a key of the case");
        let mut case = golden[list.name][0].clone();
        case["expected"] = serde_json::json!({});
        assert_eq!(outcome(list, &case).0.len(), 1, "nothing expected");
    }
    let mut case = golden["charge_cases"][0].clone();
    case["charge_model"] = Value::from("barter");
    assert!(outcome(&LISTS[0], &case).0[0].contains("cannot be interpreted"));
}
