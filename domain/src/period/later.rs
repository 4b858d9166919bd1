//! Whole local days later: the same time on the clock of a zone. For ends of trials, grace periods and payment terms. Pure.

use crate::time::{MICROS_PER_SECOND, Timestamp};
use chrono::{Days, TimeZone};
use chrono_tz::Tz;

/// The same local time in `zone`, `days` days after `instant`; of a time that comes twice the first.
///
/// Where a clock change skips that time, `days` × 24 hours later.
#[must_use]
pub fn later_by_days(zone: Tz, instant: Timestamp, days: u32) -> Timestamp {
    if days == 0 {
        return instant;
    }
    let local = instant.to_chrono().with_timezone(&zone).naive_local();
    let shifted = local.checked_add_days(Days::new(u64::from(days)));
    let plain = Timestamp(instant.0.saturating_add(i64::from(days) * 24 * 3600 * MICROS_PER_SECOND));
    shifted
        .and_then(|time| zone.from_local_datetime(&time).earliest())
        .map_or(plain, |at| Timestamp(at.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::parse_timezone;

    fn later(zone: &str, instant: &str, days: u32) -> String {
        later_by_days(parse_timezone(zone).unwrap(), Timestamp::parse(instant).unwrap(), days).to_string()
    }

    #[test]
    fn the_time_on_the_local_clock_stays_over_a_change_to_summer_time() {
        assert_eq!(later("Europe/Paris", "2026-03-28T23:00:00Z", 1), "2026-03-29T22:00:00Z");
        assert_eq!(later("UTC", "2026-03-28T23:00:00.000001Z", 10), "2026-04-07T23:00:00.000001Z");
        assert_eq!(later("Europe/Paris", "2026-03-28T23:00:00Z", 0), "2026-03-28T23:00:00Z");
    }

    #[test]
    fn a_skipped_local_time_is_reached_after_as_many_times_24_hours() {
        // 02:30 does not exist in Paris on 29 March 2026.
        assert_eq!(later("Europe/Paris", "2026-03-28T01:30:00Z", 1), "2026-03-29T01:30:00Z");
    }
}
