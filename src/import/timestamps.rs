//! Times as files write them to RFC 3339 in UTC.

use chrono::{LocalResult, NaiveDate, NaiveDateTime, TimeZone};
use chrono_tz::Tz;
use domain::time::{Timestamp, TimestampError};

/// Forms of a time without a zone that files use.
const NAIVE_FORMS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];

/// The instant a text means. A time without a zone is read in `zone`; of an hour that happens twice (clocks go back) it is the
/// first pass.
///
/// # Errors
/// When the text is no time, has no zone and none was given, or names an hour that the clocks skipped.
pub(super) fn instant(text: &str, zone: Option<Tz>) -> Result<Timestamp, String> {
    let text = text.trim();
    // RFC 3339 allows a space for the T; our own parser does not.
    let with_t = text.replacen(' ', "T", 1);
    match Timestamp::parse(&with_t) {
        Ok(instant) => return Ok(instant),
        Err(TimestampError::NoZone | TimestampError::NotRfc3339) => (),
    }
    let Some(naive) = naive(text) else {
        return Err(format!("'{text}' is not a time such as '2026-03-01T12:00:00Z' or '2026-03-01 12:00:00'"));
    };
    let Some(zone) = zone else {
        return Err(format!("'{text}' has no time zone: name one with --timezone, such as --timezone UTC"));
    };
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Ok(Timestamp(instant.timestamp_micros())),
        LocalResult::None => Err(format!("'{text}' does not exist in {zone}: the clocks went forward over it")),
    }
}

fn naive(text: &str) -> Option<NaiveDateTime> {
    NAIVE_FORMS.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()).or_else(|| {
        let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        date.and_hms_opt(0, 0, 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_berlin(text: &str) -> Result<String, String> {
        instant(text, Some(chrono_tz::Europe::Berlin)).map(|instant| instant.to_string())
    }

    #[test]
    fn a_zone_in_the_text_wins_and_digits_beyond_microseconds_are_cut_off() {
        assert_eq!(in_berlin("2023-11-16T18:15:46.6805909Z").unwrap(), "2023-11-16T18:15:46.680590Z");
        assert_eq!(in_berlin("2023-11-16 18:15:46+00:00").unwrap(), "2023-11-16T18:15:46Z");
        assert_eq!(in_berlin("2023-11-16 18:15:46.6805900").unwrap(), "2023-11-16T17:15:46.680590Z");
        assert_eq!(in_berlin("2023-07-01").unwrap(), "2023-06-30T22:00:00Z");
    }

    #[test]
    fn a_naive_time_without_a_given_zone_is_refused_with_the_way_out() {
        let fault = instant("2023-11-16 18:15:46", None).unwrap_err();
        assert!(fault.contains("--timezone"), "{fault}");
        assert!(instant("yesterday", Some(chrono_tz::UTC)).unwrap_err().contains("is not a time"));
    }

    #[test]
    fn an_hour_that_happens_twice_is_its_first_pass_and_one_that_never_happens_is_refused() {
        assert_eq!(in_berlin("2023-10-29 02:30:00").unwrap(), "2023-10-29T00:30:00Z");
        assert!(in_berlin("2023-03-26 02:30:00").unwrap_err().contains("does not exist in Europe/Berlin"));
    }
}
