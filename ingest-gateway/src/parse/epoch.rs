//! Times as Lago's clients write them: seconds since 1970 in decimal digits, as a number or in a string, or an ISO 8601 text.
//!
//! Exact: the digits are read as they stand, digits beyond microseconds are cut off. `1651240791.123` through a binary float
//! would be 1651240791.1229999 on one machine's path and .123 on another's: two events, or one in another period.

use super::problem::Flaw;
use super::timestamp::{event_time, within_bounds};
use domain::catalog::RoundingFunction;
use domain::quantity::Quantity;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use num_traits::ToPrimitive;

/// Most digits before the point that are read digit by digit: 10¹² seconds are 33,700 AD, and times 10⁶ fits an i64.
const MAX_PLAIN_DIGITS: usize = 12;

/// The instant that a Lago event's `timestamp` names.
pub(super) fn lago_time(text: &str) -> Result<Timestamp, Flaw> {
    if let Some(instant) = plain_seconds(text.as_bytes()) {
        return within_bounds(instant);
    }
    match exact_seconds(text) {
        Some(instant) => within_bounds(instant),
        None if text.bytes().take(4).filter(u8::is_ascii_digit).count() == 4 => event_time(text),
        None => Err(Flaw::NotAnEpoch),
    }
}

/// `digits[.digits]`; `None` says nothing about the text's validity.
fn plain_seconds(text: &[u8]) -> Option<Timestamp> {
    let point = text.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        None => (text, &b""[..]),
        Some(point) => (&text[..point], &text[point + 1..]),
    };
    let has_digits = !whole.is_empty() && whole.len() <= MAX_PLAIN_DIGITS && (point.is_none() || !fraction.is_empty());
    if !has_digits || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    let digits = whole.iter().chain(fraction.iter().chain(b"000000").take(6));
    Some(Timestamp(digits.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0'))))
}

/// Any decimal number: with a sign or an exponent.
fn exact_seconds(text: &str) -> Option<Timestamp> {
    let seconds = Quantity::parse(text).ok()?;
    let micros = (&seconds * &Quantity::new(i128::from(MICROS_PER_SECOND), 0)).rounded(RoundingFunction::Floor, 0);
    // Past an i64 lies no instant an event may carry: the bound that is reported as such.
    Some(Timestamp(micros.to_big().to_i64().unwrap_or(if micros.is_negative() { i64::MIN } else { i64::MAX })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::TimestampError;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_one_instant_is_that_instant() {
        let instant = Ok(Timestamp(1_651_240_791_123_000));
        for text in [
            "1651240791.123",
            "1651240791.123000",
            "1651240791.1230009",
            "1.651240791123e9",
            "1651240791123E-3",
            "2022-04-29T13:59:51.123Z",
            "2022-04-29 15:59:51.123+02:00",
        ] {
            assert_eq!(lago_time(text), instant, "{text}");
        }
        assert_eq!(lago_time("1651240791"), Ok(Timestamp(1_651_240_791_000_000)));
        assert_eq!(lago_time("0"), Ok(Timestamp(0)));
    }

    #[test]
    fn what_is_no_instant_is_refused_by_its_reason() {
        for text in ["", ".", ".5", "5.", "now", "1e", "0x10", "1 651", " 1", "NaN", "Infinity", "1_000", "٣"] {
            assert_eq!(lago_time(text), Err(Flaw::NotAnEpoch), "{text}");
        }
        // Milliseconds, a time before 1970, and numbers no integer holds.
        for text in ["1651240791123", "-1", "-0.000001", "99999999999999999999", "1e30", "7258118400"] {
            assert_eq!(lago_time(text), Err(Flaw::AbsurdTime), "{text}");
        }
        assert_eq!(lago_time("2022-04-29T13:59:51"), Err(Flaw::BadTime(TimestampError::NoZone)));
        assert_eq!(lago_time("2022-04-31T13:59:51Z"), Err(Flaw::BadTime(TimestampError::NotRfc3339)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn digits_read_one_by_one_are_the_exact_number(text in "[0-9]{0,13}(\\.[0-9]{0,9})?") {
            if let Some(instant) = plain_seconds(text.as_bytes()) {
                prop_assert_eq!(Some(instant), exact_seconds(&text));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,24}|-?[0-9]{1,30}\\.?[0-9]{0,30}([eE][+-]?[0-9]{1,4})?") {
            let _outcome = lago_time(&text);
        }
    }
}
