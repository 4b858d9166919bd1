//! The trace over HTTP: several senders at once, lines of JSON, a progress bar.

use super::PATIENCE;
use super::trace::{EVENTS_PER_REQUEST, Request, requests};
use crate::client::retry::retrying;
use crate::client::{Api, ApiFailure};
use crate::failure::Failure;
use crate::terminal;
use indicatif::{HumanCount, ProgressBar};
use serde_json::Value;
use std::time::Duration;
use tokio::task::JoinSet;

/// Senders at once: more than the cores of a small machine, so that one waiting for the disk leaves no core idle.
const SENDERS: usize = 4;
/// Requests of the trace in one HTTP request: 1,500 events.
const CHUNK: usize = 500;

/// What the server said of all events.
#[derive(Debug, Default)]
pub(super) struct Sent {
    requests: u64,
    ingested: u64,
    duplicates: u64,
}

/// Sends all of it; `gateways`, at least one, by turns.
pub(super) async fn send_trace(gateways: &[Api]) -> Result<Sent, Failure> {
    let requests = requests()?;
    let bar = terminal::count_bar("streaming events", (requests.len() * EVENTS_PER_REQUEST) as u64);
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let chunks: Vec<Vec<Request>> =
            requests.chunks(CHUNK).skip(sender).step_by(SENDERS).map(<[Request]>::to_vec).collect();
        senders.spawn(send_chunks(gateways[sender % gateways.len()].clone(), chunks, bar.clone()));
    }
    let mut total = Sent { requests: requests.len() as u64, ..Sent::default() };
    while let Some(ended) = senders.join_next().await {
        let sent = ended.map_err(Failure::trouble)??;
        total.ingested += sent.ingested;
        total.duplicates += sent.duplicates;
    }
    bar.finish_and_clear();
    Ok(total)
}

async fn send_chunks(api: Api, chunks: Vec<Vec<Request>>, bar: ProgressBar) -> Result<Sent, ApiFailure> {
    let mut sent = Sent::default();
    for chunk in chunks {
        let lines: String = chunk.iter().map(Request::lines).collect();
        let answer = retrying(PATIENCE, |_, _| (), || acknowledged(&api, lines.clone())).await?;
        sent.ingested += answer["ingested"].as_u64().unwrap_or_default();
        sent.duplicates += answer["duplicates"].as_u64().unwrap_or_default();
        bar.inc((chunk.len() * EVENTS_PER_REQUEST) as u64);
    }
    Ok(sent)
}

/// Sends lines that must all be taken; a stream that broke off is tried again, a refused line is a fault of ours.
async fn acknowledged(api: &Api, lines: String) -> Result<Value, ApiFailure> {
    const ROUTE: &str = "/v1/events/batch";
    let answer = api.post_lines(ROUTE, lines).await?;
    if answer.get("aborted").is_some_and(|aborted| !aborted.is_null()) {
        return Err(ApiFailure::Unreachable { url: api.base().to_string(), reason: answer["aborted"].to_string() });
    }
    match answer["rejected"].as_u64() {
        Some(0) => Ok(answer),
        _ => Err(ApiFailure::Unusable { path: ROUTE.to_string(), reason: answer.to_string() }),
    }
}

/// One line about what was sent.
pub(super) fn told(sent: &Sent, took: Duration) -> String {
    let events = sent.ingested + sent.duplicates;
    let known = match sent.duplicates {
        0 => String::new(),
        known => format!(" ({} were known from before)", HumanCount(known)),
    };
    // For the eye only: a rate of events, no quantity that is billed.
    let rate = u128::from(events) * 1_000 / took.as_millis().max(1);
    format!(
        "Streamed {} requests as {} events over HTTP in {:.1?}, {} a second{known}.",
        HumanCount(sent.requests),
        HumanCount(events),
        took,
        HumanCount(u64::try_from(rate).unwrap_or(u64::MAX))
    )
}
