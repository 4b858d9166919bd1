//! What the system counts as refused after acceptance: restamped copies, exactly as many as the run made; nothing else.

use super::Expectation;
use super::report::{AuditReport, Check};
use super::state::State;
use crate::client::api::{Api, ApiError};
use serde_json::Value;

const SUMMARY: &str = "/v1/events/rejections/summary";
/// Reasons that no event of a load test gives cause for.
const NEVER: [&str; 4] = ["invalid_value", "unmatched", "ambiguous_subscription", "dead_letter"];

/// Compares the counts by reason.
pub(super) async fn check(
    api: &Api,
    state: &State,
    wanted: &Expectation,
    report: &mut AuditReport,
) -> Result<(), ApiError> {
    let body = api.read(SUMMARY).await?.body;
    let found = count(&body, "restamped").saturating_sub(state.before.restamped);
    let expected = wanted.restamped();
    // A batch that was sent again may have met its own restamped copy twice: from then on only the lower bound is certain.
    let certain = state.runs.iter().all(|run| run.retries == 0);
    let holds = found >= expected.at_least && (found <= expected.at_most || !certain);
    let range = match (certain, expected.at_least == expected.at_most) {
        (true, true) => expected.at_least.to_string(),
        (true, false) => format!("{} to {}", expected.at_least, expected.at_most),
        (false, _) => format!("at least {}", expected.at_least),
    };
    report.check(Check { what: "copies listed as restamped".into(), expected: range, found: found.to_string(), holds });
    if state.own_organization {
        report.check(conflicts(count(&body, "conflict"), state.conflicts));
        let others: u64 = NEVER.iter().map(|reason| count(&body, reason)).sum();
        report.check(Check::equal("events refused after acceptance for other reasons", &0, &others));
    }
    Ok(())
}

/// None where none was sent; else at least those sent: a copy whose answer was lost was sent again.
fn conflicts(found: u64, sent: u64) -> Check {
    let expected = if sent == 0 { "0".to_owned() } else { format!("at least {sent}") };
    let holds = found >= sent && (sent > 0 || found == 0);
    Check { what: "copies listed as conflicts".into(), expected, found: found.to_string(), holds }
}

/// Restamped copies counted so far.
///
/// # Errors
/// Any [`ApiError`].
pub async fn restamped(api: &Api) -> Result<u64, ApiError> {
    Ok(count(&api.read(SUMMARY).await?.body, "restamped"))
}

/// The count of a reason, from `{"reason": n}` or `[{"reason": …, "count": n}]`, at the top or one level below; 0 when absent.
fn count(body: &Value, reason: &str) -> u64 {
    if let Some(count) = body[reason].as_u64() {
        return count;
    }
    let rows = match body {
        Value::Array(rows) => rows.as_slice(),
        Value::Object(fields) => {
            let below = fields.values().find(|value| value.is_array() || value[reason].is_u64());
            return below.map_or(0, |below| count(below, reason));
        }
        _ => &[],
    };
    let row = rows.iter().find(|row| row["reason"] == reason);
    row.and_then(|row| row["count"].as_u64()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_are_found_in_a_map_or_a_list() {
        for body in [
            json!({"restamped": 7, "conflict": 0}),
            json!([{"reason": "conflict", "count": 1}, {"reason": "restamped", "count": 7}]),
            json!({"counts": {"restamped": 7}}),
            json!({"total": 8, "reasons": [{"reason": "restamped", "count": 7}]}),
        ] {
            assert_eq!(count(&body, "restamped"), 7, "{body}");
            assert_eq!(count(&body, "late"), 0, "{body}");
        }
    }
}
