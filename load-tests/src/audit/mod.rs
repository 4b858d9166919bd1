//! Whether acknowledged = stored = rated: each event that was answered 2xx is stored once and counted once, nothing else is.
//!
//! In order:
//! 1. [`settle`]: wait until the store has caught up (streaming ingestion is asynchronous after the 2xx)
//! 2. [`resolve`]: events of requests with unknown outcome are looked up by id; what is found must be counted, too
//! 3. the number of events in the period, by `GET /v1/events/volume`
//! 4. [`customers`]: per customer the number of events, per metric the units and amounts, decimal-equal to the oracle
//! 5. [`lookup`]: events drawn at random, field by field
//! 6. [`rejections`]: copies with another timestamp are counted as restamped (I9), nothing is refused after acceptance
//! 7. [`listing`]: for customers that differ, which events are lost, doubled, or never sent
//!
//! [`state`] is what a run leaves behind; from it the audit can be repeated at any later time.
//!
//! It refuses to correct or to retry what differs: a discrepancy is reported, once, with what is known of it.

pub mod customers;
pub mod listing;
pub mod lookup;
pub mod rejections;
pub mod report;
pub mod resolve;
pub mod settle;
pub mod state;
pub mod usage;

use crate::client::api::{Api, ApiError};
use crate::oracle::bits::Bits;
use crate::oracle::expected::{self, Usage};
use crate::oracle::fates::{Fates, Restamped};
use report::{AuditReport, Check};
use state::State;
use std::time::Duration;

/// How thorough an audit is.
#[derive(Clone, Copy, Debug)]
pub struct Thoroughness {
    /// Customers looked at, evenly chosen; all when there are fewer.
    pub customers: u32,
    /// Longest wait for the store to catch up.
    pub settle: Duration,
}

/// Requests under way at once.
const AT_ONCE: usize = 16;
/// Discrepancies listed; the rest is counted.
const LISTED: usize = 200;

/// Everything the checks need besides the state.
pub(crate) struct Expectation {
    /// Fates by run.
    pub(crate) fates: Vec<Fates>,
    /// Events that must be stored, by run: acknowledged, or found by the look-up.
    pub(crate) stored: Vec<Bits>,
    /// Usage by customer, the probe's last, with what was there before.
    pub(crate) usages: Vec<Usage>,
}

/// Audits, and notes in `state` what the look-ups found.
///
/// # Errors
/// Any [`ApiError`]: then nothing can be said.
pub async fn audit(api: &Api, state: &mut State, thoroughness: &Thoroughness) -> Result<AuditReport, ApiError> {
    let fates: Vec<Fates> = state.runs.iter().map(|run| Fates::of(&run.stream, &run.outcomes)).collect();
    let acknowledged: u64 = fates.iter().map(|fates| fates.acknowledged.len()).sum::<u64>() + state.probe.acknowledged;
    let settled_after = settle::wait(api, state, acknowledged, thoroughness.settle).await?;
    let mut report = AuditReport { acknowledged, settled_after, ..AuditReport::default() };
    resolve::resolve(api, state, &fates, &mut report).await?;
    let expectation = expect(state, fates);
    volume(api, state, &expectation, &mut report).await?;
    let suspects = customers::check(api, state, &expectation, thoroughness.customers, &mut report).await?;
    lookup::check(api, state, &expectation, &mut report).await?;
    rejections::check(api, state, &expectation, &mut report).await?;
    listing::explain(api, state, &expectation, &suspects, &mut report).await?;
    Ok(report)
}

/// The number of events in the period, of the whole organization.
async fn volume(api: &Api, state: &State, wanted: &Expectation, report: &mut AuditReport) -> Result<(), ApiError> {
    let expected = wanted.stored.iter().map(Bits::len).sum::<u64>() + state.probe.stored();
    let found = settle::volume(api, state).await?.saturating_sub(state.before.volume);
    report.stored = found;
    report.check(Check::equal("events stored, by volume", &expected, &found));
    Ok(())
}

/// What each customer must have used, the probe's last, after an audit has resolved what was unknown.
#[must_use]
pub fn expected_usages(state: &State) -> Vec<Usage> {
    let fates = state.runs.iter().map(|run| Fates::of(&run.stream, &run.outcomes)).collect();
    expect(state, fates).usages
}

fn expect(state: &State, fates: Vec<Fates>) -> Expectation {
    let mut usages = vec![Usage::none(); state.customers as usize + 1];
    for (usage, before) in usages.iter_mut().zip(&state.before.usages) {
        usage.clone_from(&before.usage);
    }
    let mut stored = Vec::with_capacity(fates.len());
    for (run, fate) in state.runs.iter().zip(&fates) {
        let mut bits = fate.acknowledged.clone();
        run.resolved.iter().for_each(|seq| bits.insert(*seq));
        expected::add_run(&mut usages, &run.stream, &bits);
        stored.push(bits);
    }
    if let Some(probe) = usages.last_mut() {
        probe.stored += state.probe.stored();
        probe.units[0] += rust_decimal::Decimal::from(state.probe.stored());
    }
    Expectation { fates, stored, usages }
}

impl Expectation {
    pub(crate) fn restamped(&self) -> Restamped {
        let add = |sum: Restamped, one: Restamped| Restamped {
            at_least: sum.at_least + one.at_least,
            at_most: sum.at_most + one.at_most,
        };
        self.fates.iter().map(Fates::restamped).fold(Restamped::default(), add)
    }
}
