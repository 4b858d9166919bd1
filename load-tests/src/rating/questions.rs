//! The questions: every fee of the month, the same under other prices, one subscription among all.

use super::by_hand;
use super::ground::Ground;
use super::report::{Size, check};
use super::workload::{MARCH, MONTH};
use crate::measure::latency::{Latencies, Percentiles};
use crate::measure::machine::Reading;
use crate::measure::process::{between, own_cpu};
use anyhow::{Context, ensure};
use domain::catalog::Subscription;
use domain::period::Proration;
use domain::position::Cut;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use rater::what_if::WhatIf;
use rater::{RatedItem, Rater, RatingItem, RatingView};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Times each question of a whole store is asked; the best counts, the first is often cold.
const TIMES: usize = 3;
/// Questions about one subscription.
const ALONE: u64 = 1_000;
/// Subscriptions asked about lie this far apart, so that no two share what the engine has just read.
const STRIDE: u64 = 7_919;

/// Asks everything of one store.
pub(super) async fn ask(ground: &Ground) -> anyhow::Result<Size> {
    let rater = Rater::new(ground.store.clone());
    let cut = ground.store.committed_cut().await?;
    let view = Arc::new(ground.workload.view());
    let machine = Reading::now();
    let (mut meter, own) = (ground.meter(), own_cpu());
    let before = meter.read();
    let parts = ground.parts().await?;
    let (mut rated, mut hand) = (Vec::new(), Vec::new());
    let mut problems = Vec::new();
    let mut fees = 0;
    for _ in 0..TIMES {
        let items = view.subscriptions().iter().map(|one| item(&view, one)).collect::<anyhow::Result<Vec<_>>>()?;
        let started = Instant::now();
        let all = rater.rate(&view, items, &cut).await?;
        rated.push(started.elapsed());
        fees = all.iter().map(|item| item.fees.as_ref().map_or(0, Vec::len)).sum::<usize>() as u64;
        problems = differences(ground, &all);
        hand.push(by_hand::everything(ground).await?);
    }
    let engine: Duration = between(&before, &meter.read()).values().sum();
    let others = machine.others_since(engine + own_cpu().saturating_sub(own));
    let what_if = what_if(&rater, &view, ground, &cut).await?;
    ground.merge().await?;
    let merged_parts = ground.parts().await?;
    let (alone, alone_by_hand) = one_by_one(&rater, ground, &cut).await?;
    Ok(Size {
        events: ground.events,
        written: ground.written,
        parts,
        fees,
        first: rated.first().copied().unwrap_or_default(),
        best: rated.into_iter().min().unwrap_or_default(),
        by_hand: hand.into_iter().min().unwrap_or_default(),
        others_cores: others,
        what_if,
        merged_parts,
        alone,
        alone_by_hand,
        problems,
    })
}

/// What the fees lack of the events that were sent.
fn differences(ground: &Ground, all: &[RatedItem]) -> Vec<String> {
    let mut problems: Vec<String> = all
        .iter()
        .filter_map(|item| Some(format!("{}: {}", item.item.subscription, item.fees.as_ref().err()?)))
        .take(5)
        .collect();
    let fees = || all.iter().filter_map(|item| item.fees.as_ref().ok()).flatten();
    let (events, units) = ground.workload.expected(ground.events);
    let found: Quantity = fees().map(|fee| &fee.units).sum();
    problems.extend(check("events", &events, &fees().map(|fee| fee.events_count).sum()));
    problems.extend(check("units", &units, &found));
    problems
}

/// The same month under a plan of ten charges.
async fn what_if(rater: &Rater, view: &Arc<RatingView>, ground: &Ground, cut: &Cut) -> anyhow::Result<Duration> {
    let question = WhatIf {
        plan: ground.workload.plan_of_ten_charges(),
        from: Timestamp(MARCH),
        to: Timestamp(MARCH + MONTH.cast_signed()),
        customers: None,
    };
    let started = Instant::now();
    let answer = rater.what_if(view, question, cut).await?;
    ensure!(answer.problems.is_empty(), "the what-if has problems: {:?}", answer.problems.first());
    Ok(started.elapsed())
}

fn item(view: &RatingView, subscription: &Subscription) -> anyhow::Result<RatingItem> {
    let calendar = view.usage_calendar(subscription)?.context("a subscription that does not run")?;
    let period = calendar.period_containing(Timestamp(MARCH));
    Ok(RatingItem {
        subscription: subscription.id,
        period,
        from: period.start,
        to: period.end,
        minimum_share: Proration::WHOLE,
    })
}

/// Usage of one subscription, as `current_usage` asks for it once it has read that customer's part of the catalog.
async fn one_by_one(rater: &Rater, ground: &Ground, cut: &Cut) -> anyhow::Result<(Percentiles, Percentiles)> {
    let (mut rated, mut hand) = (Latencies::new(), Latencies::new());
    for number in 0..ALONE {
        let number = number * STRIDE % ground.workload.subscriptions;
        let view = Arc::new(ground.workload.view_of_one(number));
        let started = Instant::now();
        let items = view.subscriptions().iter().map(|one| item(&view, one)).collect::<anyhow::Result<Vec<_>>>()?;
        let usage = rater.rate(&view, items, cut).await?;
        rated.record(started.elapsed());
        ensure!(usage.iter().all(|one| one.fees.is_ok()), "subscription {number} cannot be rated");
        hand.record(by_hand::one(ground, &super::workload::customer_name(number)).await?);
    }
    Ok((rated.percentiles(), hand.percentiles()))
}
