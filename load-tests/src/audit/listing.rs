//! For customers whose figures differ: their events listed one by one, to say which are lost, doubled or unexpected.

use super::Expectation;
use super::customers::{Suspect, misrated};
use super::report::{AuditReport, Discrepancy, Fault};
use super::resolve::find;
use super::state::State;
use crate::client::api::{Api, ApiError};
use crate::workload::stream::customer_name;
use std::collections::BTreeMap;

/// Customers listed event by event; a system that fails this many is not explained further.
const EXPLAINED: usize = 50;

/// Explains suspects by their events, or notes that no event explains them.
pub(super) async fn explain(
    api: &Api,
    state: &State,
    wanted: &Expectation,
    suspects: &[Suspect],
    report: &mut AuditReport,
) -> Result<(), ApiError> {
    let (explained, rest) = suspects.split_at(suspects.len().min(EXPLAINED));
    let mut expected = expected_of(state, wanted, explained);
    for suspect in explained {
        let names = expected.remove(&suspect.customer).unwrap_or_default();
        let before = report.discrepancies_total;
        compare(api, state, suspect, names, report).await?;
        if report.discrepancies_total == before {
            report.note(misrated(state, suspect));
        }
    }
    rest.iter().for_each(|suspect| report.note(misrated(state, suspect)));
    Ok(())
}

/// How often an event is listed, by transaction id; those that must be listed start at 0.
type Listed = BTreeMap<String, u32>;

/// The events that must be stored of each suspect, in one pass over all runs.
fn expected_of(state: &State, wanted: &Expectation, suspects: &[Suspect]) -> BTreeMap<u32, Listed> {
    let mut expected: BTreeMap<u32, Listed> =
        suspects.iter().map(|suspect| (suspect.customer, Listed::new())).collect();
    for (run, stored) in state.runs.iter().zip(&wanted.stored) {
        for seq in stored.iter() {
            if let Some(names) = expected.get_mut(&run.stream.facts(seq).customer) {
                names.insert(run.stream.transaction_id(seq), 0);
            }
        }
    }
    expected
}

async fn compare(
    api: &Api,
    state: &State,
    suspect: &Suspect,
    mut names: Listed,
    report: &mut AuditReport,
) -> Result<(), ApiError> {
    let customer = customer_name(&state.population, suspect.customer);
    let (from, to) = (state.since, state.period.1);
    let path = format!(
        "/v1/events/?external_customer_id={customer}&from_timestamp={from}&to_timestamp={to}&order_by=timestamp:asc"
    );
    for row in api.list(&path).await? {
        let Some(name) = row["transaction_id"].as_str() else { continue };
        if let Some(seen) = names.get_mut(name) {
            *seen += 1;
        } else if is_foreign(state, name) {
            let fault = Discrepancy::of(Fault::Unexpected, "stored, though refused or never sent");
            report.note(fault.event(name).customer(&customer));
        }
    }
    for (name, seen) in names {
        match seen {
            0 => report.note(missing(api, state, &name).await?.event(name).customer(&customer)),
            1 => {}
            _ => {
                let fault = Discrepancy::of(Fault::Doubled, format!("stored {seen} times"));
                report.note(fault.event(name).customer(&customer));
            }
        }
    }
    Ok(())
}

/// Whether an event nobody expects is wrong here: the probe's are counted, not listed, and a population that was there before
/// may hold events of earlier runs.
fn is_foreign(state: &State, name: &str) -> bool {
    let ours = state.runs.iter().any(|run| run.stream.seq_of(name).is_some());
    let probes = !state.probe.prefix.is_empty() && name.starts_with(&state.probe.prefix);
    ours || (!probes && state.before.usages.is_empty())
}

async fn missing(api: &Api, state: &State, name: &str) -> Result<Discrepancy, ApiError> {
    Ok(match find(api, state.organization, name).await? {
        None => Discrepancy::of(Fault::Lost, "acknowledged, neither listed nor found by id"),
        Some(_) => Discrepancy::of(Fault::Lost, "acknowledged and found by id, but not listed"),
    })
}
