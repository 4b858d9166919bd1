//! Events of requests with unknown outcome: looked up by their id, which is derived from organization and transaction id.

use super::report::AuditReport;
use super::state::State;
use super::{AT_ONCE, report::Discrepancy, report::Fault};
use crate::client::api::{Api, ApiError};
use crate::oracle::fates::Fates;
use domain::identity::EventId;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;
use std::collections::BTreeSet;

const GONE: &str = "of unknown outcome, found by an earlier audit, now gone";

/// Looks up all undecided events and notes in the state which are stored.
pub(super) async fn resolve(
    api: &Api,
    state: &mut State,
    fates: &[Fates],
    report: &mut AuditReport,
) -> Result<(), ApiError> {
    let organization = state.organization;
    for (run, fate) in state.runs.iter_mut().zip(fates) {
        let names = fate.undecided().map(|seq| (seq, run.stream.transaction_id(seq)));
        let found: Vec<(u64, bool)> = stream::iter(names)
            .map(|(seq, name)| async move { Ok((seq, is_stored(api, organization, &name).await?)) })
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await?;
        let stored: BTreeSet<u64> = found.iter().filter(|(_, stored)| *stored).map(|(seq, _)| *seq).collect();
        report.unknown_stored += stored.len() as u64;
        report.unknown_absent += (found.len() - stored.len()) as u64;
        for seq in run.resolved.difference(&stored) {
            let lost = Discrepancy::of(Fault::Lost, GONE);
            report.note(lost.event(run.stream.transaction_id(*seq)));
        }
        run.resolved.extend(stored);
    }
    for name in state.probe.unknown.clone() {
        let stored = is_stored(api, organization, &name).await?;
        report.unknown_stored += u64::from(stored);
        report.unknown_absent += u64::from(!stored);
        if stored {
            state.probe.resolved.insert(name);
        } else if state.probe.resolved.contains(&name) {
            report.note(Discrepancy::of(Fault::Lost, GONE).event(name));
        }
    }
    Ok(())
}

/// The event with this transaction id; `None` when there is none.
pub(super) async fn find(
    api: &Api,
    organization: domain::ids::OrganizationId,
    transaction_id: &str,
) -> Result<Option<Value>, ApiError> {
    let path = format!("/v1/events/{}", EventId::derive(organization, transaction_id));
    let reply = api.get(&path).await?;
    match reply.status {
        200 => Ok(Some(reply.body)),
        404 => Ok(None),
        status => Err(ApiError::Status { method: reqwest::Method::GET, path, status, body: reply.body.to_string() }),
    }
}

async fn is_stored(
    api: &Api,
    organization: domain::ids::OrganizationId,
    transaction_id: &str,
) -> Result<bool, ApiError> {
    Ok(find(api, organization, transaction_id).await?.is_some())
}
