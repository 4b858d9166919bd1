//! Shares by local days: which days of a period are owed for, by the plan's flat fee and by least amounts of charges.
//!
//! A day that is touched counts. The day on which a subscription ends counts as used, also when it ends at that day's first
//! instant: the unused part that an advance payment gets back begins the day after, and used and unused days together are the
//! period's. (A subscription that ends exactly where a period ends owes that period whole and nothing of the next.)

use domain::catalog::{Ending, Subscription};
use domain::period::{Period, Proration};
use domain::time::Timestamp;

/// Local days of `period` that a subscription owes for `[from, to)`, a stretch inside it that ends at its end or with the
/// subscription.
#[must_use]
pub fn share_of(subscription: &Subscription, period: &Period, from: Timestamp, to: Timestamp) -> Proration {
    match subscription.ending {
        Ending::HandsOver if subscription.ended_at == Some(to) => share_handed_over(period, from, to),
        _ => share_owed(period, from, to),
    }
}

/// Local days of `period` owed for `[from, to)` when the subscription goes on with another plan at `to`: that day is the other
/// plan's.
#[must_use]
pub fn share_handed_over(period: &Period, from: Timestamp, to: Timestamp) -> Proration {
    if to >= period.end {
        return share_owed(period, from, to);
    }
    period.proration_by_days(period.day_of(from), period.day_of(to))
}

/// Local days of `period` owed for `[from, to)`, a stretch inside it that ends at its end or with the subscription.
#[must_use]
pub fn share_owed(period: &Period, from: Timestamp, to: Timestamp) -> Proration {
    let end_day = if to >= period.end {
        period.end_day
    } else {
        let last_day = period.day_of(to);
        last_day.succ_opt().unwrap_or(last_day)
    };
    period.proration_by_days(period.day_of(from), end_day)
}
