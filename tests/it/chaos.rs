//! The crash matrix of `load-tests chaos` against this build: three rounds in every run of the tests, a hundred in the soak.

use crate::harness::TOLLGATE;
use clap::Parser;
use event_log::testing::needs_real_brokers;
use load_tests::chaos::{ChaosArgs, report::ChaosReport, run};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    chaos: ChaosArgs,
}

async fn chaos(arguments: &str) -> ChaosReport {
    let kafka = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/dev-kafka/kafka");
    let fixed = ["chaos", "--tollgate", TOLLGATE, "--kafka", kafka];
    let line = Line::parse_from(fixed.into_iter().chain(arguments.split_ascii_whitespace()));
    run(&line.chaos).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_rounds_of_killing_and_stopping_lose_double_and_hide_nothing() {
    let small = "--rounds 1 --rate 1500 --duration 2s --customers 6";
    let mut rounds = vec!["--system embedded --seed 1 --only tree", "--system apart --seed 2 --only SIGSTOP"];
    if needs_real_brokers("three brokers, one of which is killed") {
        rounds.push("--system streaming --seed 3 --only broker");
    }
    for round in rounds {
        let report = chaos(&format!("{small} {round}")).await;
        assert!(report.holds(), "{}", report.table());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "soak: a hundred rounds, about an hour"]
async fn a_hundred_rounds_of_chaos_lose_double_and_hide_nothing() {
    let report = chaos("--rounds 100").await;
    println!("{}", report.table());
    assert!(report.holds(), "{}", report.table());
}
