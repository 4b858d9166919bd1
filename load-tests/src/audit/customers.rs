//! Customer by customer: events stored, units rated, amounts.

use super::report::{AuditReport, Check, Discrepancy, Fault};
use super::state::State;
use super::usage::{CustomerUsage, read_usage_since};
use super::{AT_ONCE, Expectation};
use crate::client::api::{Api, ApiError};
use crate::oracle::expected::Usage;
use crate::workload::facts::Kind;
use crate::workload::stream::{REGION_NAMES, customer_name};
use futures::stream::{self, StreamExt, TryStreamExt};
use std::time::Duration;

/// A customer whose figures differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) customer: u32,
    /// Events too few (negative) or too many.
    pub(super) surplus: i64,
    /// What differs, for a person.
    pub(super) differences: Vec<String>,
}

/// Compares up to `limit` customers, the probe's among them; answers those that differ.
pub(super) async fn check(
    api: &Api,
    state: &State,
    wanted: &Expectation,
    limit: u32,
    report: &mut AuditReport,
) -> Result<Vec<Suspect>, ApiError> {
    let chosen = chosen(state.customers + 1, limit);
    let count = chosen.len() as u64;
    let mut suspects: Vec<Suspect> = stream::iter(chosen)
        .map(|customer| compare(api, state, customer, &wanted.usages[customer as usize]))
        .buffer_unordered(AT_ONCE)
        .try_filter_map(|suspect| async { Ok(suspect) })
        .try_collect()
        .await?;
    suspects.sort_by_key(|suspect| suspect.customer);
    report.customers = count;
    let agreeing = count - suspects.len() as u64;
    report.check(Check::equal("customers whose events, units and amounts agree", &count, &agreeing));
    Ok(suspects)
}

/// `limit` of `all` customers at equal distances, always with the first (the hot one) and the last (the probe's).
fn chosen(all: u32, limit: u32) -> Vec<u32> {
    if limit >= all {
        return (0..all).collect();
    }
    let steps = u64::from(limit.max(2)) - 1;
    let nth = |nth: u64| u32::try_from(nth * u64::from(all - 1) / steps).unwrap_or(0);
    (0..=steps).map(nth).collect()
}

/// How often a customer that differs is asked again, and after how long: usage is read at the committed cut, whose id rows are written one insert after
/// the rows that the volume counts. A store that recovers, beside compilers, was seen to take longer than the way to the first question.
const ASKED_AGAIN: (u32, Duration) = (10, Duration::from_millis(500));

async fn compare(api: &Api, state: &State, customer: u32, wanted: &Usage) -> Result<Option<Suspect>, ApiError> {
    let mut asked = 0;
    let (found, differences) = loop {
        let found = read_usage_since(api, &state.population, customer, state.period.0).await?;
        let differences = differences(wanted, &found);
        if differences.is_empty() {
            return Ok(None);
        }
        if asked == ASKED_AGAIN.0 {
            break (found, differences);
        }
        asked += 1;
        tokio::time::sleep(ASKED_AGAIN.1).await;
    };
    let surplus =
        i64::try_from(found.usage.stored).unwrap_or(i64::MAX) - i64::try_from(wanted.stored).unwrap_or(i64::MAX);
    Ok(Some(Suspect { customer, surplus, differences }))
}

fn differences(wanted: &Usage, found: &CustomerUsage) -> Vec<String> {
    let mut differences = Vec::new();
    let usage = &found.usage;
    if usage.stored != wanted.stored {
        differences.push(format!("events: expected {}, listed {}", wanted.stored, usage.stored));
    }
    for kind in [Kind::Requests, Kind::Tokens, Kind::Peak] {
        let (expected, rated) = (wanted.units[kind as usize], usage.units[kind as usize]);
        if expected != rated {
            differences.push(format!("{}: expected {expected}, rated {rated}", kind.code()));
        }
    }
    for (name, (expected, rated)) in REGION_NAMES.iter().zip(wanted.users.iter().zip(usage.users)) {
        if *expected != rated {
            differences.push(format!("{} in {name}: expected {expected}, rated {rated}", Kind::Users.code()));
        }
    }
    for (code, units, amount) in &found.mispriced {
        differences.push(format!("{code}: {units} units at one cent are not {amount} cents"));
    }
    differences
}

/// Notes a suspect whose difference no event explains.
pub(super) fn misrated(state: &State, suspect: &Suspect) -> Discrepancy {
    let name = customer_name(&state.population, suspect.customer);
    Discrepancy::of(Fault::Misrated, suspect.differences.join("; ")).customer(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::Timestamp;
    use rust_decimal::Decimal;

    #[test]
    fn a_choice_of_customers_is_even_and_has_the_first_and_the_last() {
        assert_eq!(chosen(5, 10), [0, 1, 2, 3, 4]);
        assert_eq!(chosen(101, 5), [0, 25, 50, 75, 100]);
        assert_eq!(chosen(101, 0), [0, 100]);
    }

    #[test]
    fn every_figure_is_compared() {
        let wanted = Usage { stored: 3, units: [1, 2, 3].map(Decimal::from), users: [1, 2, 3, 4] };
        let found = |usage: Usage| CustomerUsage { from: Timestamp(0), to: Timestamp(1), usage, mispriced: Vec::new() };
        assert_eq!(differences(&wanted, &found(wanted.clone())), [] as [&str; 0]);
        let other = Usage { stored: 4, units: [2, 3, 4].map(Decimal::from), users: [2, 3, 4, 5] };
        assert_eq!(differences(&wanted, &found(other)).len(), 8);
        let mut mispriced = found(wanted.clone());
        mispriced.mispriced.push(("lt_peak".into(), Decimal::ONE, Decimal::TEN));
        assert_eq!(differences(&wanted, &mispriced), ["lt_peak: 1 units at one cent are not 10 cents"]);
    }
}
