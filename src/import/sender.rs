//! One chunk of rows to the server, until it is acknowledged.

use super::event::Prepared;
use super::options::{ImportOptions, patiently};
use super::position::Totals;
use crate::client::{Api, ApiFailure};
use serde_json::Value;
use std::time::Duration;

/// The route that takes lines; a bad line is refused and the rest kept.
const ROUTE: &str = "/v1/events/batch";

/// A row that is not in the store, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Line in the file.
    pub line: u64,
    /// Reason, with the field when the server named one.
    pub reason: String,
}

/// What became of one chunk.
#[derive(Debug, Default)]
pub(super) struct ChunkOutcome {
    /// Counts of this chunk.
    pub totals: Totals,
    /// The refusals the server listed (at most 100 a request) and all rows that were not sent.
    pub refusals: Vec<Refusal>,
}

/// Sends the chunk's events and answers once every one is acknowledged or refused by name.
///
/// # Errors
/// When the server refuses the request as a whole, or does not take it for longer than the options' patience.
pub(super) async fn send(
    api: &Api,
    rows: &[Prepared],
    options: &ImportOptions,
    on_pause: impl FnMut(&ApiFailure, Duration),
) -> Result<ChunkOutcome, ApiFailure> {
    let mut outcome = ChunkOutcome::default();
    let (mut lines, mut body) = (Vec::with_capacity(rows.len()), String::new());
    for row in rows {
        outcome.totals.rows += 1;
        match &row.event {
            Ok(event) => {
                lines.push(row.line);
                body.push_str(event);
                body.push('\n');
            }
            Err(reason) => {
                outcome.totals.unusable += 1;
                outcome.refusals.push(Refusal { line: row.line, reason: reason.clone() });
            }
        }
    }
    if lines.is_empty() {
        return Ok(outcome);
    }
    let answer = patiently(options, on_pause, || whole_answer(api, body.clone())).await?;
    read_answer(&answer, &lines, &mut outcome)?;
    Ok(outcome)
}

/// Sends the lines; an answer that stopped midway counts as a failure that may be tried again.
async fn whole_answer(api: &Api, body: String) -> Result<Value, ApiFailure> {
    let answer = api.post_lines(ROUTE, body).await?;
    match answer.get("aborted").filter(|aborted| !aborted.is_null()) {
        None => Ok(answer),
        Some(aborted) => Err(ApiFailure::Unreachable {
            url: api.base().to_string(),
            reason: format!("the server stopped at line {} of the chunk: {}", aborted["line"], aborted["reason"]),
        }),
    }
}

fn read_answer(answer: &Value, lines: &[u64], outcome: &mut ChunkOutcome) -> Result<(), ApiFailure> {
    let count = |field: &str| {
        answer[field].as_u64().ok_or_else(|| ApiFailure::Unusable {
            path: ROUTE.to_string(),
            reason: format!("'{field}' is missing or no count"),
        })
    };
    outcome.totals.ingested = count("ingested")?;
    outcome.totals.duplicates = count("duplicates")?;
    outcome.totals.rejected = count("rejected")?;
    for error in answer["errors"].as_array().into_iter().flatten() {
        let sent_line = error["line"].as_u64().and_then(|line| usize::try_from(line).ok()).unwrap_or(0);
        let line = lines.get(sent_line.wrapping_sub(1)).copied().unwrap_or_default();
        let field = error["field"].as_str().map_or(String::new(), |field| format!("{field}: "));
        outcome
            .refusals
            .push(Refusal { line, reason: format!("{field}{}", error["reason"].as_str().unwrap_or("refused")) });
    }
    Ok(())
}
