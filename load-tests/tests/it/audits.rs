//! What the audit says of a server that misbehaves in one known way.

use crate::store::Faults;
use crate::system::System;
use load_tests::audit::report::{AuditReport, Fault};
use load_tests::audit::state::State;
use load_tests::audit::{Thoroughness, audit};
use load_tests::client::target::Target;
use load_tests::profiles::{Demand, Profile};
use load_tests::report::result::RunResult;
use load_tests::run::{Options, run};
use load_tests::setup::{Access, client};
use std::time::Duration;

/// 4,000 events in 40 requests.
pub(crate) fn options(system: &System, profile: Profile) -> Options {
    Options {
        url: system.url.clone(),
        ingest_urls: vec![system.url.clone()],
        metrics_urls: vec![system.url.clone()],
        access: Access::AdminSecret("secret".into()),
        profile,
        demand: Demand { rate: 8_000, duration: Duration::from_millis(500), batch: 100 },
        closed: false,
        echo: false,
        senders: 4,
        threads: 2,
        // A third of the requests may be refused: (1/3)^20 is 3e-10.
        attempts: 20,
        limit: Duration::from_secs(20),
        customers: 20,
        population: None,
        seed: Some(1),
        watched: Vec::new(),
        probe: false,
        samples: 300,
        audit: Some(Thoroughness { customers: u32::MAX, settle: Duration::from_millis(300) }),
    }
}

async fn audited(faults: Faults, profile: Profile) -> (System, RunResult, State) {
    let system = System::start(faults).await;
    let (result, state) = run(&options(&system, profile)).await.unwrap();
    (system, result, state)
}

fn report(result: &RunResult) -> &AuditReport {
    result.audit.as_ref().unwrap()
}

/// Faults found in events, each once however many checks saw it.
fn found(report: &AuditReport) -> Vec<(Fault, Option<String>)> {
    let mut found: Vec<(Fault, Option<String>)> =
        report.discrepancies.iter().map(|one| (one.fault, one.transaction_id.clone())).collect();
    found.sort();
    found.dedup();
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_behaves_is_told_so() {
    let (_system, result, _) = audited(Faults::default(), Profile::Steady).await;
    let report = report(&result);
    assert!(report.holds(), "{report:#?}");
    assert_eq!((report.acknowledged, report.stored, report.customers), (4_000, 4_000, 21));
    assert!(report.samples > 250 && report.settled_after.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_event_is_named() {
    let (_system, result, _) = audited(Faults { loses: Some(1_234), ..Faults::default() }, Profile::Steady).await;
    let report = report(&result);
    let found = found(report);
    assert_eq!(found.len(), 1, "{report:#?}");
    assert_eq!(found[0].0, Fault::Lost);
    assert!(found[0].1.is_some());
    assert_eq!(report.settled_after, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doubled_event_is_named() {
    let (system, result, _) = audited(Faults { doubles: Some(777), ..Faults::default() }, Profile::Steady).await;
    let name = system.store().name_of_arrival(777);
    assert_eq!(found(report(&result)), [(Fault::Doubled, Some(name))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_altered_event_shows_as_a_wrong_sum_or_a_wrong_sample() {
    let system = System::start(Faults { alters: Some(100), ..Faults::default() }).await;
    let mut options = options(&system, Profile::Steady);
    options.samples = 100_000;
    let (result, _) = run(&options).await.unwrap();
    let name = system.store().name_of_arrival(100);
    let altered = report(&result).discrepancies.iter().find(|one| one.fault == Fault::Altered).unwrap();
    assert_eq!(altered.transaction_id, Some(name));
    assert!(altered.detail.starts_with("amount"), "{}", altered.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_and_kept_all_the_same_is_named() {
    let (_system, result, _) = audited(Faults { keeps_refused: Some(500), ..Faults::default() }, Profile::Steady).await;
    let report = report(&result);
    // The whole request of a hundred.
    let found = found(report);
    assert_eq!(found.len(), 100, "{found:#?}");
    assert!(found.iter().all(|(fault, name)| *fault == Fault::Unexpected && name.is_some()));
    assert_eq!(report.acknowledged + 100, report.stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_price_with_all_events_in_place_is_misrated() {
    let (_system, result, _) =
        audited(Faults { overcharges: Some("lt_peak"), ..Faults::default() }, Profile::Steady).await;
    let report = report(&result);
    assert_eq!(report.discrepancies_total, 20, "{report:#?}");
    assert!(report.discrepancies.iter().all(|one| one.fault == Fault::Misrated && one.detail.contains("lt_peak")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_503_are_sent_again_until_all_is_acknowledged() {
    let (_system, result, _) = audited(Faults { fails_every: Some(3), ..Faults::default() }, Profile::Steady).await;
    let report = report(&result);
    assert!(report.holds(), "{report:#?}");
    assert_eq!(report.acknowledged, 4_000);
    assert!(result.measured.summary.total.retries >= 10);
    assert!(result.measured.summary.reasons.keys().any(|reason| reason.starts_with("503")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_unknown_outcome_are_looked_up_and_accounted_for() {
    let system = System::start(Faults { breaks_after: Some(2_000), ..Faults::default() }).await;
    let mut options = options(&system, Profile::Steady);
    options.attempts = 1;
    let (result, mut state) = run(&options).await.unwrap();
    let report = report(&result).clone();
    assert!(report.holds(), "{report:#?}");
    assert!(report.unknown_stored > 500 && report.unknown_absent == report.unknown_stored, "{report:#?}");
    assert_eq!(report.acknowledged + report.unknown_stored, report.stored);
    // Found once, they must stay.
    let gone = *state.runs[0].resolved.iter().next().unwrap();
    let name = state.runs[0].stream.transaction_id(gone);
    system.store().delete(&name);
    let target = Target::parse(&system.url).unwrap();
    let api = client(&target, &options.access, Some(state.organization), Duration::from_secs(5)).unwrap();
    let again = audit(&api, &mut state, options.audit.as_ref().unwrap()).await.unwrap();
    assert_eq!(found(&again), [(Fault::Lost, Some(name))], "{again:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_a_retry_storm_count_once_and_are_listed() {
    let (_system, result, _) = audited(Faults::default(), Profile::RetryStorm).await;
    let report = report(&result);
    assert!(report.holds(), "{report:#?}");
    assert!(report.acknowledged < 4_000);
    let restamped = report.checks.iter().find(|check| check.what.contains("restamped")).unwrap();
    assert_ne!(restamped.found, "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lets_the_last_copy_win_is_found_out() {
    let system = System::start(Faults { last_wins: true, ..Faults::default() }).await;
    let mut options = options(&system, Profile::RetryStorm);
    options.samples = 100_000;
    let (result, _) = run(&options).await.unwrap();
    let report = report(&result);
    assert!(report.discrepancies.iter().any(|one| one.fault == Fault::Altered && one.detail.starts_with("timestamp")));
    assert!(report.discrepancies.iter().all(|one| one.fault == Fault::Altered), "{report:#?}");
}
