//! The questions of billing, through the store's own interface.

use crate::report::{Report, Timer, percentiles};
use crate::workload::{CODES, MARCH, MONTH, Workload};
use aggregator::EventStore;
use aggregator::usage::{Measure, MetricScope, UsageQuery, UsageWindow};
use domain::identity::EventId;
use domain::position::Cut;
use domain::time::Timestamp;
use std::time::Instant;

/// Times each question of a whole store is asked; the best counts, the first is often cold.
const TIMES: usize = 3;

pub async fn run(report: &mut Report, store: &EventStore, workload: &Workload) {
    let timer = Timer::start();
    let cut = store.committed_cut().await.unwrap();
    report.line("committed cut", &timer.text());
    let all: Vec<u64> = (0..workload.pairs).collect();
    let sums = query(workload, Measure::Sum, &all, &cut, false);
    ask(report, store, "one question: a sum for every pair", &sums).await;
    let of = |code: usize| -> Vec<u64> { all.iter().copied().filter(|pair| (pair % 3) as usize == code).collect() };
    let billing = [
        ("billing, 1 of 3: count of api_calls", query(workload, Measure::Count, &of(0), &cut, false)),
        ("billing, 2 of 3: sum of tokens by region", query(workload, Measure::Sum, &of(1), &cut, true)),
        ("billing, 3 of 3: sum of storage", query(workload, Measure::Sum, &of(2), &cut, false)),
    ];
    for (name, question) in &billing {
        ask(report, store, name, question).await;
    }
    one_pair(report, store, workload, &cut).await;
    one_id(report, store, workload).await;
    let scan = Timer::start();
    let verified = store.verify_unique_ids().await.unwrap();
    report.line(
        "verification scan of the id table",
        &format!("{} for {} ids, {} doubtful", scan.text(), verified.ids, verified.doubtful),
    );
}

pub fn query(workload: &Workload, measure: Measure, pairs: &[u64], cut: &Cut, by_dimensions: bool) -> UsageQuery {
    let scope = |code: usize| MetricScope {
        organization: workload.organization,
        code: CODES[code].to_owned(),
        field_name: (measure != Measure::Count && code > 0).then(|| "value".to_owned()),
        dimensions: if code == 1 { vec!["region".to_owned()] } else { Vec::new() },
    };
    let window = |pair: &u64| UsageWindow {
        series: workload.series(*pair),
        from: Timestamp(MARCH),
        to: Timestamp(MARCH + MONTH),
        slot: *pair as u32,
        scope: (pair % 3) as u32,
    };
    UsageQuery {
        measure,
        scopes: (0..CODES.len()).map(scope).collect(),
        windows: pairs.iter().map(window).collect(),
        cut: cut.clone(),
        by_dimensions,
    }
}

async fn ask(report: &mut Report, store: &EventStore, name: &str, question: &UsageQuery) {
    let mut best = f64::MAX;
    let (mut rows, mut events) = (0_u64, 0);
    for _ in 0..TIMES {
        (rows, events) = (0, 0);
        let timer = Timer::start();
        let count = |row: aggregator::usage::UsageRow| {
            rows += 1;
            events += row.events_count;
        };
        store.usage(question.clone(), count).await.unwrap();
        best = best.min(timer.seconds());
    }
    let windows = question.windows.len();
    report.line(name, &format!("{best:.2} s: {windows} windows, {rows} rows, {events} events"));
}

async fn one_pair(report: &mut Report, store: &EventStore, workload: &Workload, cut: &Cut) {
    let mut durations = Vec::new();
    for number in 0..200_u64 {
        let pair = number * 7919 % workload.pairs;
        let question = query(workload, Measure::Sum, &[pair], cut, pair % 3 == 1);
        let started = Instant::now();
        store.usage(question, |_| {}).await.unwrap();
        durations.push(started.elapsed());
    }
    report.line("usage of one pair among all", &percentiles(durations));
}

async fn one_id(report: &mut Report, store: &EventStore, workload: &Workload) {
    let mut durations = Vec::new();
    for number in 1..200_u64 {
        // Row 0 of a thousand is never a repeat, so the event of its number was sent.
        let id = EventId::derive(workload.organization, &format!("tx-{:012}", number * 1_000));
        let started = Instant::now();
        assert!(store.event(workload.organization, id).await.unwrap().is_some());
        durations.push(started.elapsed());
    }
    report.line("one event by its id", &percentiles(durations));
}
