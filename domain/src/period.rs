//! Billing periods: half open `[start, end)` in the customer's timezone, tiling time without gap or overlap (I6).
//!
//! A period is a range of local days. Its boundaries are dates first (1 March, the 31st or the month's last day, a Monday) and
//! become instants by [`zones::day_start`], which defines the nights on which midnight does not exist or comes twice.
//!
//! **No drift.** The n-th boundary of an anniversary is counted from the anchor, never from the boundary before it: anchor 31
//! January gives 28 February and then 31 March.
//!
//! **A customer who moves.** The zone in force when a period begins decides where it ends; the next period begins there, in
//! the new zone. So no instant falls in two periods or in none, and a closed period never changes afterwards.
//!
//! **The start.** Boundaries are counted from the subscription's start: its local date (anniversary) or the calendar boundary
//! on or before it. Periods before that go backward in the zone of the start; nobody is billed for them.
//!
//! What it refuses: rating, money (proration counts days only), and any notion of "now".

mod later;
mod proration;
mod zones;

pub use later::later_by_days;
pub use proration::Proration;
pub use zones::{PeriodError, Timezones, day_start, local_date, parse_timezone};

use crate::catalog::{BillingTime, Interval};
use crate::time::{MICROS_PER_SECOND, Timestamp};
use chrono::{Datelike, Months, NaiveDate, TimeDelta};
use chrono_tz::Tz;

/// One period of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
    /// Its first local day.
    pub first_day: NaiveDate,
    /// The first local day after it.
    pub end_day: NaiveDate,
    /// The zone in force when it began.
    pub zone: Tz,
}

impl Period {
    /// Whether `instant` lies in it.
    #[must_use]
    pub fn contains(&self, instant: Timestamp) -> bool {
        self.start <= instant && instant < self.end
    }

    /// The part of it inside `[from, until)`, if any; an absent bound does not cut.
    #[must_use]
    pub fn clipped(&self, from: Option<Timestamp>, until: Option<Timestamp>) -> Option<(Timestamp, Timestamp)> {
        let start = from.map_or(self.start, |from| from.max(self.start));
        let end = until.map_or(self.end, |until| until.min(self.end));
        (start < end).then_some((start, end))
    }

    /// Its local days.
    #[must_use]
    pub fn days(&self) -> u32 {
        days_between(self.first_day, self.end_day)
    }

    /// The local day of `instant`, held inside the period.
    #[must_use]
    pub fn day_of(&self, instant: Timestamp) -> NaiveDate {
        let last_day = self.end_day.pred_opt().unwrap_or(self.end_day);
        local_date(self.zone, instant).clamp(self.first_day, last_day)
    }

    /// How many of its local days `[from, until)` touches, of how many; nothing of it: 0 days.
    #[must_use]
    pub fn proration(&self, from: Timestamp, until: Timestamp) -> Proration {
        let days = match self.clipped(Some(from), Some(until)) {
            Some((start, end)) => days_between(self.day_of(start), self.day_of(Timestamp(end.0 - 1))) + 1,
            None => 0,
        };
        Proration { days, of: self.days() }
    }

    /// How many of its local days lie in `[from, until)`, given as days.
    #[must_use]
    pub fn proration_by_days(&self, from: NaiveDate, until: NaiveDate) -> Proration {
        Proration { days: days_between(from.max(self.first_day), until.min(self.end_day)), of: self.days() }
    }
}

/// Days from `from` to `to`, 0 when `to` is not later.
fn days_between(from: NaiveDate, to: NaiveDate) -> u32 {
    u32::try_from((to - from).num_days()).unwrap_or(0)
}

/// How a subscription's time is divided into periods.
#[derive(Clone, Debug)]
pub struct BillingCalendar {
    step: Step,
    /// The date of boundary 0.
    anchor: NaiveDate,
    started_at: Timestamp,
    zones: Timezones,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Weeks,
    Months(u32),
}

/// Boundary numbers stay within it: 200,000 years of weeks would leave chrono's calendar.
const MAX_BOUNDARY: i64 = 4_000_000;
/// More than two local midnights of one date lie apart in any two zones (UTC-12 and UTC+14, and offsets of the past).
const ZONE_SPREAD_MICROS: i64 = 28 * 3600 * MICROS_PER_SECOND;

impl BillingCalendar {
    /// The calendar of a subscription that started at `started_at`.
    #[must_use]
    pub fn new(interval: Interval, billing_time: BillingTime, started_at: Timestamp, zones: Timezones) -> Self {
        let started_on = local_date(zones.at(started_at), started_at);
        let anchor = match billing_time {
            BillingTime::Anniversary => started_on,
            BillingTime::Calendar => calendar_boundary(interval, started_on),
        };
        let step = match interval {
            Interval::Weekly => Step::Weeks,
            Interval::Monthly => Step::Months(1),
            Interval::Quarterly => Step::Months(3),
            Interval::Semiannual => Step::Months(6),
            Interval::Yearly => Step::Months(12),
        };
        Self { step, anchor, started_at, zones }
    }

    /// The one period that `instant` falls in.
    #[must_use]
    pub fn period_containing(&self, instant: Timestamp) -> Period {
        self.period(self.number_containing(instant))
    }

    /// The period before `period`.
    #[must_use]
    pub fn previous(&self, period: &Period) -> Period {
        self.period_containing(Timestamp(period.start.0 - 1))
    }

    /// The periods whose end lies in `(from, until]`, oldest first.
    #[must_use]
    pub fn periods_ending_in(&self, from: Timestamp, until: Timestamp) -> Vec<Period> {
        let first = self.number_containing(from);
        (first..).map(|number| self.period(number)).take_while(|period| period.end <= until).collect()
    }

    fn period(&self, number: i64) -> Period {
        Period {
            start: self.boundary(number),
            end: self.boundary(number + 1),
            first_day: self.boundary_date(number),
            end_day: self.boundary_date(number + 1),
            zone: self.zone_of(number),
        }
    }

    fn number_containing(&self, instant: Timestamp) -> i64 {
        let day = local_date(self.zones.at(instant), instant);
        let mut number = match self.step {
            Step::Weeks => (day - self.anchor).num_days().div_euclid(7),
            Step::Months(months) => months_between(self.anchor, day).div_euclid(i64::from(months)),
        }
        .clamp(-MAX_BOUNDARY, MAX_BOUNDARY);
        // The estimate is off by at most one period: clamped days, and zones that changed.
        while number > -MAX_BOUNDARY && self.boundary(number) > instant {
            number -= 1;
        }
        while number < MAX_BOUNDARY && self.boundary(number + 1) <= instant {
            number += 1;
        }
        number
    }

    /// The date of the `number`-th boundary, counted from the anchor.
    fn boundary_date(&self, number: i64) -> NaiveDate {
        let date = match self.step {
            Step::Weeks => TimeDelta::try_days(number * 7).and_then(|days| self.anchor.checked_add_signed(days)),
            Step::Months(months) => {
                let months = Months::new(u32::try_from(number.unsigned_abs() * u64::from(months)).unwrap_or(u32::MAX));
                if number < 0 { self.anchor.checked_sub_months(months) } else { self.anchor.checked_add_months(months) }
            }
        };
        // Only instants hundreds of thousands of years away get here; events and starts are bounded to 1970–2200.
        date.unwrap_or(if number < 0 { NaiveDate::MIN } else { NaiveDate::MAX })
    }

    fn boundary(&self, number: i64) -> Timestamp {
        let zone = if number <= 0 { self.zones.at(self.started_at) } else { self.zone_of(number - 1) };
        day_start(zone, self.boundary_date(number))
    }

    /// The zone in force when period `number` begins (for the first one: when the subscription starts).
    fn zone_of(&self, number: i64) -> Tz {
        if number <= 0 {
            return self.zones.at(self.started_at);
        }
        if let Some(zone) = self.zones.constant() {
            return zone;
        }
        // Where the start lies depends on the zone before it. Only when a change falls near it does that matter, so the walk
        // back ends after as many steps as there are such changes in a row.
        let about = self.boundary_date(number).and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let earliest = Timestamp(about.saturating_sub(ZONE_SPREAD_MICROS)).max(self.started_at);
        let latest = Timestamp(about.saturating_add(ZONE_SPREAD_MICROS)).max(self.started_at);
        match self.zones.constant_between(earliest, latest) {
            Some(zone) => zone,
            None => self.zones.at(self.boundary(number).max(self.started_at)),
        }
    }
}

/// The calendar boundary on or before `day`.
fn calendar_boundary(interval: Interval, day: NaiveDate) -> NaiveDate {
    let months = match interval {
        Interval::Weekly => {
            let back = i64::from(day.weekday().num_days_from_monday());
            return day - TimeDelta::days(back);
        }
        Interval::Monthly => 1,
        Interval::Quarterly => 3,
        Interval::Semiannual => 6,
        Interval::Yearly => 12,
    };
    let first_month = day.month0() / months * months;
    // Day 1 of a month 0, 3, 6, … exists in every year.
    day.with_day(1).and_then(|first| first.with_month0(first_month)).unwrap_or(day)
}

/// Whole months from `from` to `to`, rounded down.
fn months_between(from: NaiveDate, to: NaiveDate) -> i64 {
    let months = i64::from(to.year() - from.year()) * 12 + i64::from(to.month0()) - i64::from(from.month0());
    if to.day() < from.day() { months - 1 } else { months }
}

#[cfg(test)]
#[path = "period/tests.rs"]
mod tests;
