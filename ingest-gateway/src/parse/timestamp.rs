//! Event times: the usual forms of RFC 3339 read digit by digit, all others by [`Timestamp::parse`], with one answer.
//!
//! `2026-03-01T12:00:00Z`, with `t` or a space, with any number of decimals, with `z` or `±hh:mm`, is read here in 10 ns. Leap
//! seconds, other minus signs and whatever is refused go to `Timestamp::parse` (about 100 ns), which stays the only definition.

use super::problem::Flaw;
use domain::time::{MICROS_PER_SECOND, Timestamp};

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The instant an event carries: with a zone, and within what an event may carry.
pub(super) fn event_time(text: &str) -> Result<Timestamp, Flaw> {
    let instant = match usual_form(text.as_bytes()) {
        Some(instant) => instant,
        None => Timestamp::parse(text)?,
    };
    within_bounds(instant)
}

/// The instant, if an event may carry it.
pub(super) fn within_bounds(instant: Timestamp) -> Result<Timestamp, Flaw> {
    if instant < Timestamp::EARLIEST || instant >= Timestamp::LATEST {
        return Err(Flaw::AbsurdTime);
    }
    Ok(instant)
}

/// The instant, if the text has one of the usual forms; `None` says nothing about its validity.
fn usual_form(text: &[u8]) -> Option<Timestamp> {
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let separators = [fixed[4], fixed[7], fixed[13], fixed[16]];
    if separators != *b"--::" || !matches!(fixed[10], b'T' | b't' | b' ') {
        return None;
    }
    let year = two_digits(fixed, 0)? * 100 + two_digits(fixed, 2)?;
    let days = days_since_1970(year, two_digits(fixed, 5)?, two_digits(fixed, 8)?)?;
    let (hour, minute, second) = (two_digits(fixed, 11)?, two_digits(fixed, 14)?, two_digits(fixed, 17)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (micros, zone) = decimals(rest)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3_600 + minute * 60 + second - offset_seconds(zone)?;
    Some(Timestamp(seconds * MICROS_PER_SECOND + micros))
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

fn two_digits(text: &[u8], at: usize) -> Option<i64> {
    Some(digit(*text.get(at)?)? * 10 + digit(*text.get(at + 1)?)?)
}

/// Microseconds of `.123456789` and what follows; digits beyond the sixth are cut off.
fn decimals(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let mut micros = 0;
    for &place in digits[..count].iter().chain(b"000000").take(6) {
        micros = micros * 10 + digit(place)?;
    }
    Some((micros, &digits[count..]))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let sign = match zone {
        b"Z" | b"z" => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    let (hours, minutes) = (two_digits(zone, 1)?, two_digits(zone, 4)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar, by the count of leap days before it.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS_BEFORE_MONTH: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    const DAYS_IN_MONTH: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    // Days from 0000-01-01 to 1970-01-01: 1970 × 365 + 478 leap days (493 years divisible by 4, less 20 by 100, plus 5 by 400).
    const DAYS_TO_1970: i64 = 719_528;
    let index = usize::try_from(month - 1).ok().filter(|index| *index < 12)?;
    let leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let leap_day_of_month = i64::from(leap_year && month == 2);
    if day < 1 || day > DAYS_IN_MONTH[index] + leap_day_of_month {
        return None;
    }
    // Leap days of the years before this one; the year 0 is a leap year, hence the rounding up.
    let leap_days = (year + 3) / 4 - (year + 99) / 100 + (year + 399) / 400 + i64::from(leap_year && month > 2);
    Some(year * 365 + leap_days + DAYS_BEFORE_MONTH[index] + day - 1 - DAYS_TO_1970)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::TimestampError;
    use proptest::prelude::*;

    fn reference(text: &str) -> Result<Timestamp, Flaw> {
        let instant = Timestamp::parse(text)?;
        match (Timestamp::EARLIEST..Timestamp::LATEST).contains(&instant) {
            true => Ok(instant),
            false => Err(Flaw::AbsurdTime),
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_equals_the_reference() {
        let mut compared = 0;
        for year in 0..10_000 {
            for month in 1..=12 {
                for day in [1, 28, 29, 30, 31] {
                    let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                    assert_eq!(usual_form(text.as_bytes()), Timestamp::parse(&text).ok(), "{text}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, 600_000);
    }

    #[test]
    fn the_usual_forms_do_not_need_the_slow_parser() {
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01t12:00:00z",
            "2026-03-01 12:00:00+02:00",
            "2026-03-01T12:00:00.5-03:30",
            "2026-03-01T12:00:00.123456789Z",
        ] {
            assert_eq!(usual_form(text.as_bytes()), Timestamp::parse(text).ok(), "{text}");
            assert!(usual_form(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn unusual_and_wrong_forms_answer_as_the_reference_does() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00",
            "2026-03-01T12:00Z",
            "2026-03-01T12:00:00+0200",
            "2026-03-01T12:00:00+02",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00+02:60",
            "2026-03-01T12:00:00\u{2212}02:00",
            "2026-03-01T12:00:60Z",
            "2026-03-01T12:00:61Z",
            "2026-03-01T24:00:00Z",
            "2026-02-29T12:00:00Z",
            "2028-02-29T12:00:00Z",
            "2026-13-01T12:00:00Z",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00:00,5Z",
            "2026-03-01T12:00:00Zjunk",
            " 2026-03-01T12:00:00Z",
            "+2026-03-01T12:00:00Z",
            "12026-03-01T12:00:00Z",
            "1969-12-31T23:59:59.999999Z",
            "1970-01-01T00:00:00Z",
            "2199-12-31T23:59:59.9999999Z",
            "2200-01-01T00:00:00Z",
            "２０２６-03-01T12:00:00Z",
            "1700146546",
        ] {
            assert_eq!(event_time(text), reference(text), "{text}");
        }
        assert_eq!(event_time("2026-03-01T12:00:00"), Err(Flaw::BadTime(TimestampError::NoZone)));
        assert_eq!(event_time("0001-01-01T00:00:00Z"), Err(Flaw::AbsurdTime));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn well_formed_times_equal_the_reference(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])",
        ) {
            prop_assert_eq!(event_time(&text), reference(&text));
        }

        #[test]
        fn nearly_well_formed_times_equal_the_reference(
            text in "(19|20|21)[0-9]{2}-?(0[1-9]|1[0-2])-?[0-2][0-9][Tt _]?[01][0-9]:?[0-5][0-9]:?[0-6]?[0-9]?\\.?[0-9]{0,3}[Zz+\u{2212}-]?[0-9]{0,2}:?[0-9]{0,2}\\PC?",
        ) {
            prop_assert_eq!(event_time(&text), reference(&text));
        }

        #[test]
        fn any_text_equals_the_reference(text in "\\PC{0,40}") {
            prop_assert_eq!(event_time(&text), reference(&text));
        }
    }
}
