//! The plan's flat fee by local days: which days of a period are owed, and when a trial ends.
//!
//! A day that is touched counts. The day on which a subscription ends counts as used, also when it ends at that day's first
//! instant: the unused part that an advance payment gets back begins the day after, and used and unused days together are the
//! period's. (A subscription that ends exactly where a period ends owes that period whole and nothing of the next.)

use chrono::{Days, TimeZone};
use chrono_tz::Tz;
use domain::period::{Period, Proration};
use domain::time::{MICROS_PER_SECOND, Timestamp};

/// Local days of `period` owed for `[from, to)`, a stretch inside it that ends at its end or with the subscription.
#[must_use]
pub fn plan_fee_share(period: &Period, from: Timestamp, to: Timestamp) -> Proration {
    let end_day = if to >= period.end {
        period.end_day
    } else {
        let last_day = period.day_of(to);
        last_day.succ_opt().unwrap_or(last_day)
    };
    period.proration_by_days(period.day_of(from), end_day)
}

/// The instant at which a trial of `days` local days ends: the same local time, so many days later.
#[must_use]
pub fn trial_end(zone: Tz, started_at: Timestamp, days: u32) -> Timestamp {
    if days == 0 {
        return started_at;
    }
    let local = started_at.to_chrono().with_timezone(&zone).naive_local();
    let shifted = local.checked_add_days(Days::new(u64::from(days)));
    // A local time that a clock change skips is found by adding whole days of 24 hours instead.
    let plain = Timestamp(started_at.0.saturating_add(i64::from(days) * 24 * 3600 * MICROS_PER_SECOND));
    shifted
        .and_then(|time| zone.from_local_datetime(&time).earliest())
        .map_or(plain, |at| Timestamp(at.timestamp_micros()))
}
