//! The baselines: what a careful engineer would write by hand on the same tables. No windows, no cut, no fingerprint, no prices.

use super::ground::Ground;
use super::workload::{CODE, MARCH, MONTH};
use domain::identity::SeriesId;
use std::time::{Duration, Instant};

/// Sum and count by customer of the month.
pub(super) async fn everything(ground: &Ground) -> anyhow::Result<Duration> {
    let by_customer = format!(
        "SELECT customer, count() AS events, sum(toDecimal256(value, 18)) AS total FROM {} GROUP BY customer",
        month(ground)
    );
    timed(ground, &format!("SELECT count(), sum(total) FROM ({by_customer})")).await
}

/// Sum and count of one customer: found by the sorting key.
pub(super) async fn one(ground: &Ground, customer: &str) -> anyhow::Result<Duration> {
    let series = SeriesId::derive(ground.workload.organization, CODE, customer, "").0;
    let from = month(ground);
    timed(
        ground,
        &format!("SELECT count(), sum(toDecimal256(value, 18)) FROM {from} AND series = toUInt128('{series}')"),
    )
    .await
}

fn month(ground: &Ground) -> String {
    format!(
        "{}.events WHERE organization = toUUID('{}') AND code = '{CODE}' \
         AND timestamp >= fromUnixTimestamp64Micro({MARCH}) AND timestamp < fromUnixTimestamp64Micro({})",
        ground.config.database,
        ground.workload.organization,
        MARCH + MONTH.cast_signed()
    )
}

async fn timed(ground: &Ground, sql: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    ground.statement(sql).await?;
    Ok(started.elapsed())
}
