//! Local days: where a day of a timezone begins as an instant, and which zone a customer had when.
//!
//! A local day begins at the first instant whose local date is that day:
//! - where the clock skips midnight (a change at 00:00 to 01:00, as in Beirut), that is the instant of the change;
//! - where midnight comes twice (a change back over it, as in Havana), the first one: the repeated hour belongs to the new day;
//! - where a whole day is skipped (Samoa, 30 December 2011), the day after it begins in its place.

use crate::time::{MICROS_PER_SECOND, Timestamp};
use chrono::{DateTime, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// Why a period cannot be computed.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum PeriodError {
    /// Not a name of the IANA database.
    #[error("'{0}' is not an IANA time zone such as 'Europe/Paris' or 'UTC'")]
    UnknownTimezone(String),
    /// A customer without any zone: the catalog never writes one.
    #[error("the customer has no time zone")]
    NoTimezone,
}

/// Parses an IANA name.
///
/// # Errors
/// When there is no such zone.
pub fn parse_timezone(name: &str) -> Result<Tz, PeriodError> {
    name.parse().map_err(|_| PeriodError::UnknownTimezone(name.chars().take(64).collect()))
}

/// The zones a customer had, by the instant from which each holds. The first holds since ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timezones {
    changes: Vec<(Timestamp, Tz)>,
}

impl Timezones {
    /// From the customer's list, oldest first.
    ///
    /// # Errors
    /// When the list is empty or a name is unknown.
    pub fn parse(zones: &[(Timestamp, String)]) -> Result<Self, PeriodError> {
        let parsed: Result<Vec<_>, _> =
            zones.iter().map(|(from, name)| parse_timezone(name).map(|zone| (*from, zone))).collect();
        let mut changes = parsed?;
        if changes.is_empty() {
            return Err(PeriodError::NoTimezone);
        }
        // Stable: of two changes at one instant the later entry is in force.
        changes.sort_by_key(|(from, _)| *from);
        Ok(Self { changes })
    }

    /// One zone for ever.
    #[must_use]
    pub fn fixed(zone: Tz) -> Self {
        Self { changes: vec![(Timestamp(i64::MIN), zone)] }
    }

    /// The zone in force at `instant`.
    #[must_use]
    pub fn at(&self, instant: Timestamp) -> Tz {
        let later = self.changes.partition_point(|(from, _)| *from <= instant);
        // Never empty, by construction; before the first entry the first holds.
        self.changes[later.saturating_sub(1)].1
    }

    /// The one zone, when it never changed.
    #[must_use]
    pub fn constant(&self) -> Option<Tz> {
        (self.changes.len() == 1).then(|| self.changes[0].1)
    }

    /// The one zone in force over all of `[from, to]`, if it is one.
    #[must_use]
    pub fn constant_between(&self, from: Timestamp, to: Timestamp) -> Option<Tz> {
        let changed = self.changes.iter().skip(1).any(|(at, _)| from < *at && *at <= to);
        (!changed).then(|| self.at(from))
    }
}

/// The local date of `instant` in `zone`.
#[must_use]
pub fn local_date(zone: Tz, instant: Timestamp) -> NaiveDate {
    instant.to_chrono().with_timezone(&zone).date_naive()
}

/// The first instant whose local date in `zone` is `day` (or, if the zone skipped that day, a later one).
#[must_use]
pub fn day_start(zone: Tz, day: NaiveDate) -> Timestamp {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        LocalResult::Single(instant) => Timestamp(instant.timestamp_micros()),
        LocalResult::Ambiguous(one, other) => Timestamp(one.min(other).timestamp_micros()),
        LocalResult::None => end_of_gap(zone, midnight),
    }
}

/// The instant at which `zone` jumps over the local time `skipped`: transitions lie on whole seconds, local time grows on
/// either side of one, and offsets stay within ±26 hours (a skipped day included), so 18 halvings find it.
fn end_of_gap(zone: Tz, skipped: NaiveDateTime) -> Timestamp {
    let reached = |second: i64| {
        let instant = DateTime::<Utc>::from_timestamp(second, 0).unwrap_or(DateTime::<Utc>::MAX_UTC);
        instant.with_timezone(&zone).naive_local() >= skipped
    };
    let around = skipped.and_utc().timestamp();
    let span = TimeDelta::hours(26).num_seconds();
    let (mut before, mut after) = (around - span, around + span);
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if reached(middle) {
            after = middle;
        } else {
            before = middle;
        }
    }
    Timestamp(after * MICROS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn start(zone: &str, day: &str) -> String {
        day_start(parse_timezone(zone).unwrap(), day.parse().unwrap()).to_string()
    }

    #[test]
    fn a_midnight_that_does_not_exist_is_the_instant_of_the_change() {
        // Beirut went from 00:00 (UTC+2) to 01:00 (UTC+3) on 26 March 2022's night.
        assert_eq!(start("Asia/Beirut", "2022-03-27"), "2022-03-26T22:00:00Z");
    }

    #[test]
    fn a_midnight_that_comes_twice_is_the_first() {
        // Havana went from 01:00 (UTC-4) back to 00:00 (UTC-5) on 6 November 2022.
        assert_eq!(start("America/Havana", "2022-11-06"), "2022-11-06T04:00:00Z");
    }

    #[test]
    fn a_skipped_day_begins_where_the_next_one_does() {
        assert_eq!(start("Pacific/Apia", "2011-12-30"), "2011-12-30T10:00:00Z");
        assert_eq!(start("Pacific/Apia", "2011-12-31"), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn an_unknown_zone_is_refused_by_name() {
        assert_eq!(parse_timezone("Mars/Olympus"), Err(PeriodError::UnknownTimezone("Mars/Olympus".into())));
        assert_eq!(Timezones::parse(&[]), Err(PeriodError::NoTimezone));
    }

    #[test]
    fn the_zone_in_force_is_the_latest_that_began() {
        let zones = Timezones::parse(&[(Timestamp(10), "UTC".into()), (Timestamp(20), "Asia/Tokyo".into())]).unwrap();
        assert_eq!(
            [5, 10, 19, 20, 99].map(|at| zones.at(Timestamp(at)).name()),
            ["UTC", "UTC", "UTC", "Asia/Tokyo", "Asia/Tokyo"]
        );
    }

    proptest! {
        #[test]
        fn a_day_begins_at_the_first_instant_of_its_date(zone in 0..chrono_tz::TZ_VARIANTS.len(), day in 0_i64..60_000) {
            let zone = chrono_tz::TZ_VARIANTS[zone];
            let day = NaiveDate::from_ymd_opt(1950, 1, 1).unwrap() + TimeDelta::days(day);
            let start = day_start(zone, day);
            prop_assert!(local_date(zone, start) >= day);
            // Naive: no second of the 27 hours before has reached the day.
            for back in (1..27 * 3600).step_by(61).chain([1]) {
                prop_assert!(local_date(zone, Timestamp(start.0 - back * MICROS_PER_SECOND)) < day);
            }
            prop_assert!(local_date(zone, Timestamp(start.0 - 1)) < day);
        }
    }
}
