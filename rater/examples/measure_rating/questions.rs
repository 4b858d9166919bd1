//! The questions: every fee of a month, one subscription among all, and the query that a careful engineer would write by hand.

use crate::workload::{CODE, MARCH, MONTH, Workload};
use aggregator::{EventStore, StoreConfig};
use domain::catalog::Subscription;
use domain::period::Proration;
use domain::time::Timestamp;
use rater::what_if::WhatIf;
use rater::{Rater, RatingItem, RatingView};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Times each question of a whole store is asked; the best counts, the first is often cold.
const TIMES: usize = 3;

pub async fn run(store: &EventStore, config: &StoreConfig, workload: &Workload) {
    let rater = Rater::new(store.clone());
    let cut = store.committed_cut().await.unwrap();
    let started = Instant::now();
    let view = Arc::new(workload.view());
    println!("catalog in memory: {:.2} s", started.elapsed().as_secs_f64());
    let items: Vec<RatingItem> = view.subscriptions().iter().map(|subscription| item(&view, subscription)).collect();
    let mut best = Duration::MAX;
    for _ in 0..TIMES {
        let started = Instant::now();
        let rated = rater.rate(&view, items.clone(), &cut).await.unwrap();
        best = best.min(started.elapsed());
        let fees: usize = rated.iter().map(|item| item.fees.as_ref().unwrap().len()).sum();
        let events: u64 = rated.iter().flat_map(|item| item.fees.as_ref().unwrap()).map(|fee| fee.events_count).sum();
        println!("rating: {fees} fees from {events} events in {:.2} s", started.elapsed().as_secs_f64());
    }
    let baseline = by_hand(config, workload).await;
    println!(
        "best {:.2} s; by hand, without windows, cut, fingerprint and prices: {:.2} s; ratio {:.2}",
        best.as_secs_f64(),
        baseline.as_secs_f64(),
        best.as_secs_f64() / baseline.as_secs_f64()
    );
    what_if(&rater, &view, workload, &cut).await;
    one_by_one(&rater, workload, &cut).await;
}

/// The same history under a plan of ten charges.
async fn what_if(rater: &Rater, view: &Arc<RatingView>, workload: &Workload, cut: &domain::position::Cut) {
    let question = WhatIf {
        plan: workload.plan_of_ten_charges(),
        from: Timestamp(MARCH),
        to: Timestamp(MARCH + MONTH),
        customers: None,
    };
    let started = Instant::now();
    let answer = rater.what_if(view, question, cut).await.unwrap();
    assert!(answer.problems.is_empty());
    println!("what-if of ten charges, {} customers: {:.2} s", answer.customers.len(), started.elapsed().as_secs_f64());
}

fn item(view: &RatingView, subscription: &Subscription) -> RatingItem {
    let period = view.usage_calendar(subscription).unwrap().unwrap().period_containing(Timestamp(MARCH));
    RatingItem {
        subscription: subscription.id,
        period,
        from: period.start,
        to: period.end,
        minimum_share: Proration::WHOLE,
    }
}

/// Sum and count by customer of one month.
async fn by_hand(config: &StoreConfig, workload: &Workload) -> Duration {
    let statement = format!(
        "SELECT count(), sum(total) FROM (SELECT customer, count() AS events, sum(toDecimal256(value, 18)) AS total \
         FROM {}.events WHERE organization = toUUID('{}') AND code = '{CODE}' \
         AND timestamp >= fromUnixTimestamp64Micro({MARCH}) AND timestamp < fromUnixTimestamp64Micro({}) GROUP BY customer)",
        config.database,
        workload.organization,
        MARCH + MONTH
    );
    let client = reqwest::Client::new();
    let mut best = Duration::MAX;
    for _ in 0..TIMES {
        let started = Instant::now();
        let request = client.post(&config.url).basic_auth(&config.user, Some(&config.password));
        let answer = request.body(statement.clone()).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        best = best.min(started.elapsed());
    }
    best
}

/// Usage of one subscription, as `current_usage` asks for it once it has read that customer's part of the catalog.
async fn one_by_one(rater: &Rater, workload: &Workload, cut: &domain::position::Cut) {
    let mut durations = Vec::new();
    for number in 0..200_u64 {
        let alone = Workload::new(1);
        let mut view = alone.view();
        let mut subscription = view.subscriptions()[0].clone();
        let mut customer = view.customer(subscription.customer_id).unwrap().clone();
        customer.external_id = format!("customer-{:06}", number * 7_919 % workload.subscriptions);
        subscription.external_id = format!("subscription-{number}");
        let plan = view.plan_versions(subscription.plan_id)[0].plan.clone();
        let metric = view.metric_at(&plan.charges[0], Timestamp(MARCH)).unwrap().as_ref().clone();
        view = RatingView::new(vec![customer], vec![subscription], vec![plan], vec![metric]);
        let view = Arc::new(view);
        let started = Instant::now();
        let items = vec![item(&view, &view.subscriptions()[0])];
        let rated = rater.rate(&view, items, cut).await.unwrap();
        durations.push(started.elapsed());
        assert_eq!(rated.len(), 1);
    }
    durations.sort_unstable();
    let at = |share: usize| durations[durations.len() * share / 100].as_secs_f64() * 1_000.0;
    println!("one subscription among all: p50 {:.1} ms, p99 {:.1} ms", at(50), at(99));
}
