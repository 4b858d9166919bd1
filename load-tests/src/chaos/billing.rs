//! The billing run after a round, and whether its fees are exactly what the oracle says: in sum by metric, each proved by the
//! system from its events, and billed once however often a run is asked for.

use crate::audit::state::State;
use crate::client::api::{Api, ApiError};
use crate::oracle::expected::Usage;
use crate::workload::facts::Kind;
use domain::time::Timestamp;
use futures::stream::{self, StreamExt, TryStreamExt};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const RUNS: &str = "/v1/billing_runs/";
/// A run over some twenty customers takes well under a second; one that was killed is resumed by the next start.
const DONE_WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
/// Proofs asked for at once.
const AT_ONCE: usize = 8;

/// What was billed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Billed {
    /// Invoices issued.
    pub invoices: u64,
    /// Fees of usage.
    pub fees: u64,
    /// Those of them that the system proves.
    pub proved: u64,
}

/// Asks for a run until one is completed. A run may fail, or be cut off from us, while processes die: asking again with the
/// same instant must be safe at any time.
///
/// # Errors
/// The last answer, when none completes in time.
pub(super) async fn bill(api: &Api, as_of: Timestamp) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut last;
    loop {
        last = match attempt(api, as_of).await {
            Ok(run) if run["status"] == "completed" => return Ok(()),
            Ok(run) => run.to_string(),
            Err(error) => error.to_string(),
        };
        anyhow::ensure!(start.elapsed() < DONE_WITHIN, "no billing run completed within {DONE_WITHIN:?}: {last}");
        tokio::time::sleep(LOOK).await;
    }
}

/// One run, followed until it is completed or failed.
async fn attempt(api: &Api, as_of: Timestamp) -> Result<Value, ApiError> {
    let begun = api.post(RUNS, &json!({"as_of": as_of.to_string()}), &[202]).await?;
    let path = format!("{RUNS}{}", begun.text(RUNS, "/id")?);
    let start = Instant::now();
    loop {
        let run = api.read(&path).await?.body;
        let over = matches!(run["status"].as_str(), Some("completed" | "failed"));
        if over || start.elapsed() > DONE_WITHIN {
            return Ok(run);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Compares what was billed with the oracle, and has every fee proved. Problems are appended.
pub(super) async fn check(
    api: &Api,
    state: &State,
    usages: &[Usage],
    problems: &mut Vec<String>,
) -> Result<Billed, ApiError> {
    let invoices = api.list("/v1/invoices/").await?.len() as u64;
    let customers = u64::from(state.customers) + 1;
    if invoices != customers {
        problems.push(format!("{invoices} invoices for {customers} customers with one period due each"));
    }
    let fees = api.list("/v1/fees/?fee_type=charge").await?;
    compare(&fees, usages, problems);
    let broken: Vec<Option<String>> =
        stream::iter(&fees).map(|fee| prove(api, fee)).buffer_unordered(AT_ONCE).try_collect().await?;
    let broken: Vec<String> = broken.into_iter().flatten().collect();
    let proved = (fees.len() - broken.len()) as u64;
    problems.extend(broken);
    Ok(Billed { invoices, fees: fees.len() as u64, proved })
}

fn compare(fees: &[Value], usages: &[Usage], problems: &mut Vec<String>) {
    let stored: u64 = usages.iter().map(|usage| usage.stored).sum();
    let billed: u64 = fees.iter().filter_map(|fee| fee["events_count"].as_u64()).sum();
    if stored != billed {
        problems.push(format!("{billed} events billed of {stored}"));
    }
    for kind in Kind::ALL {
        let expected: Decimal = usages.iter().map(|usage| expected_units(usage, kind)).sum();
        let units = fees.iter().filter(|fee| fee["metric_code"] == kind.code()).map(units_of);
        match units.sum::<Option<Decimal>>() {
            Some(units) if units == expected => {}
            found => problems.push(format!("{}: {expected} units expected, {found:?} billed", kind.code())),
        }
    }
}

fn expected_units(usage: &Usage, kind: Kind) -> Decimal {
    match usage.units.get(kind as usize) {
        Some(units) => *units,
        None => usage.users.iter().map(|users| Decimal::from(*users)).sum(),
    }
}

fn units_of(fee: &Value) -> Option<Decimal> {
    fee["units"].as_str()?.parse().ok()
}

/// What is wrong with the proof of a fee.
async fn prove(api: &Api, fee: &Value) -> Result<Option<String>, ApiError> {
    let id = fee["id"].as_str().unwrap_or_default();
    let proof = api.read(&format!("/v1/fees/{id}/proof")).await?.body;
    let late = proof["since"]["late_events"].as_u64() != Some(0);
    if proof["holds"] == true && !late {
        return Ok(None);
    }
    Ok(Some(format!("fee {id} of {} is not proved: {proof}", fee["metric_code"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fee(code: &str, events: u64, units: &str) -> Value {
        json!({"metric_code": code, "events_count": events, "units": units})
    }

    #[test]
    fn an_event_or_a_unit_too_many_is_named() {
        let usage = Usage { stored: 3, units: [1, 2, 3].map(Decimal::from), users: [1, 0, 0, 1] };
        let fees =
            [fee("lt_requests", 1, "1"), fee("lt_tokens", 1, "2"), fee("lt_peak", 0, "3"), fee("lt_users", 1, "2")];
        let mut problems = Vec::new();
        compare(&fees, std::slice::from_ref(&usage), &mut problems);
        assert_eq!(problems, [] as [&str; 0]);
        let mut doubled = fees.to_vec();
        doubled.push(fee("lt_tokens", 1, "2"));
        compare(&doubled, &[usage], &mut problems);
        assert_eq!(problems, ["4 events billed of 3", "lt_tokens: 2 units expected, Some(4) billed"]);
    }
}
