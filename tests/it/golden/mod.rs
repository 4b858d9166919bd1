//! Worked billing scenarios that others published, driven over HTTP through sandboxes: every step, every expected key.
//!
//! The file is that of `TOLLGATE_GOLDEN_SCENARIOS`, else the project's own copy. What differs by decision is a rule with a predicate
//! and a reason, never a list of cases. A case passes only when every expected key was compared and is equal.

mod expect;
mod play;

use crate::harness::Server;
use serde_json::Value;

/// Where a difference is known: which cases (by what is in them), and why.
struct Decision {
    reason: &'static str,
    applies: fn(&Value) -> bool,
}

/// Whether any step does `verb`.
fn does(case: &Value, verb: &str) -> bool {
    case["timeline"].as_array().into_iter().flatten().any(|step| step["do"] == verb)
}

/// Whether two steps of these kinds happen at one instant, the first before the second.
fn at_one_instant(case: &Value, first: &str, second: &str) -> bool {
    let steps = || case["timeline"].as_array().into_iter().flatten();
    let ends = steps().filter(|step| step["do"] == second);
    ends.into_iter().any(|end| steps().any(|step| step["do"] == first && step["at"] == end["at"]))
}

const DECISIONS: [Decision; 2] = [
    Decision {
        reason: "periods are half open (I6): usage at the instant of the end is no longer the subscription's",
        applies: |case| at_one_instant(case, "event", "terminate_subscription"),
    },
    Decision {
        reason: "the clock issues a draft when its days of grace are over, without being told",
        applies: |case| {
            case["customer"].get("invoice_grace_period_days").is_some() && does(case, "finalize_all_drafts")
        },
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn golden_scenarios() {
    let file = match std::env::var_os("TOLLGATE_GOLDEN_SCENARIOS") {
        Some(named) => std::path::PathBuf::from(named),
        None => concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden_scenarios.json").into(),
    };
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let golden: Value = serde_json::from_str(&text).unwrap();
    let server = Server::start(&[]).await;
    let (mut cases, mut passed, mut decided, mut assertions) = (0, 0, 0, 0);
    for case in golden["scenarios"].as_array().into_iter().flatten() {
        cases += 1;
        let outcome = play::play(&server, case).await;
        assertions += outcome.assertions;
        let decision = DECISIONS.iter().find(|decision| (decision.applies)(case));
        match (outcome.differences.is_empty(), decision) {
            (true, _) => passed += 1,
            (false, Some(decision)) => {
                decided += 1;
                println!("{} differs by decision: {}", case["id"], decision.reason);
            }
            (false, None) => outcome.differences.iter().for_each(|difference| println!("{difference}")),
        }
    }
    println!("{assertions} assertions");
    println!("golden: {cases} cases, {passed} passed, {decided} differ by decision");
    assert_eq!(passed + decided, cases, "some cases differ; each difference is printed above");
    assert!(cases > 0, "{} holds no case", file.display());
}
