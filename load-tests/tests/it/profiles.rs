//! Every profile runs, is accounted for, and makes a report.

use crate::audits::options;
use crate::store::Faults;
use crate::system::System;
use clap::ValueEnum;
use load_tests::profiles::Profile;
use load_tests::report::{html, table};
use load_tests::run::run;
use load_tests::setup::Access;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_profile_is_accounted_for() {
    for profile in Profile::value_variants() {
        let system = System::start(Faults::default()).await;
        let mut options = options(&system, *profile);
        options.samples = 50;
        if *profile == Profile::Single {
            options.demand.rate = 400;
        }
        let (result, _) = run(&options).await.unwrap();
        let audit = result.audit.as_ref().unwrap();
        assert!(audit.holds() && audit.acknowledged > 100, "{profile:?} {audit:#?}");
        let page = html::render(&result);
        assert!(page.contains("everything is accounted for") && page.contains("<polyline"), "{profile:?}");
        assert!(!page.contains("NaN") && !page.contains("http://www") && !page.contains("<script"), "{profile:?}");
        assert!(table::render(&result).contains("load generator"), "{profile:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_loop_with_echo_and_a_probe_is_accounted_for() {
    let system = System::start(Faults::default()).await;
    let mut options = options(&system, Profile::Steady);
    (options.closed, options.echo, options.probe) = (true, true, true);
    options.demand.batch = 10;
    options.demand.duration = std::time::Duration::from_millis(200);
    options.senders = 1;
    let (result, state) = run(&options).await.unwrap();
    assert!(result.audit.as_ref().unwrap().holds(), "{:#?}", result.audit);
    let freshness = result.measured.freshness.as_ref().unwrap();
    assert_eq!(freshness.error, None);
    assert!(freshness.latency.count > 0 && state.probe.acknowledged == freshness.latency.count);
    assert!(result.measured.samples.iter().any(|sample| sample.lag.contains_key("tollgate_lag_events")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_run_over_the_same_customers_adds_to_what_was_there() {
    let system = System::start(Faults::default()).await;
    let mut options = options(&system, Profile::Mixed);
    let (_, first) = run(&options).await.unwrap();
    options.access = Access::ApiKey("tg_live_test".into());
    options.population = Some(first.population.clone());
    options.seed = Some(2);
    let (result, second) = run(&options).await.unwrap();
    assert!(result.audit.as_ref().unwrap().holds(), "{:#?}", result.audit);
    assert_eq!(second.before.volume, 4_000);
    assert_eq!(second.before.usages.len(), 21);
    assert!(second.key.is_none() && !second.own_organization);
}
