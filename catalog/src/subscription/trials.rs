//! Trials that end: as many local days after the first start as the trial has, at the same time on the customer's clock.
//!
//! Billing works the same instant out for itself; this is what people see of it.

use crate::columns::Columns;
use crate::database::{DatabaseError, WriteTransaction};
use crate::state::Done;
use domain::period::{Timezones, later_by_days};
use domain::time::Timestamp;
use sqlx::AssertSqlSafe;

/// Days are up to an hour (once in the past a day) shorter or longer by a local clock: looked at are those that may have ended.
const SLACK_DAYS: i64 = 2;
const MICROS_PER_DAY: i64 = 24 * 3600 * 1_000_000;

/// Notes the trials that ended by `now`, of the subscriptions that the clock moves.
pub(super) async fn ended(
    write: &mut WriteTransaction,
    now: Timestamp,
    (scope, clocked): (&str, &str),
) -> Result<Vec<Done>, DatabaseError> {
    let running = format!(
        "SELECT id, started_at, anchor_at, trial_period_days, \
         (SELECT timezones FROM customers WHERE customers.id = subscriptions.customer_id) AS timezones FROM subscriptions \
         WHERE trial_period_days > 0 AND trial_ended_at IS NULL AND status IN ('active', 'paused') \
         AND COALESCE(anchor_at, started_at) + (trial_period_days - {SLACK_DAYS}) * {MICROS_PER_DAY} <= $1 AND {clocked}"
    );
    let rows =
        sqlx::query(AssertSqlSafe(running)).bind(now.0).bind(scope.to_owned()).fetch_all(write.connection()).await?;
    let mut done = Vec::new();
    for row in &rows {
        let started_at = row.instant("started_at")?;
        let anchor = row.optional_instant("anchor_at")?.unwrap_or(started_at);
        let zones: Vec<(i64, String)> = row.json("timezones")?;
        let zones: Vec<_> = zones.into_iter().map(|(from, zone)| (Timestamp(from), zone)).collect();
        // A zone that cannot be read keeps its customer from being billed, which is told there.
        let Ok(zones) = Timezones::parse(&zones) else { continue };
        let at = later_by_days(zones.at(anchor), anchor, row.small("trial_period_days")?);
        if at > now {
            continue;
        }
        let id = row.text("id")?;
        let sql = "UPDATE subscriptions SET trial_ended_at = $1, updated_at = $2 WHERE id = $3";
        sqlx::query(sql).bind(at.0).bind(now.0).bind(id.clone()).execute(write.connection()).await?;
        // A subscription that goes on from one whose trial had ended has none that ends.
        if at >= started_at {
            done.push(Done { at, what: "subscription.trial_ended".into(), id });
        }
    }
    Ok(done)
}
