//! The text a value is known by, for distinct counting, filters and groups.

use domain::quantity::Quantity;
use std::borrow::Cow;

/// A number's text in its shortest exact form, so that `1`, `1.0` and `10e-1` are one value.
///
/// Numbers beyond the limits of [`Quantity`] have no plain form worth writing out (`1e999999999`): they stand as
/// `digits` + `e` + `exponent` with no zero at either end of the digits, which is exact and unique too.
#[must_use]
pub fn canonical_number(text: &str) -> Cow<'_, str> {
    if is_short_integer(text) {
        return Cow::Borrowed(text);
    }
    match Quantity::parse(text) {
        Ok(quantity) => Cow::Owned(quantity.to_string()),
        Err(_) => scientific(text).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// Digits without leading zero, at most 38: already canonical.
fn is_short_integer(text: &str) -> bool {
    let bytes = text.as_bytes();
    let leads = bytes.first().is_some_and(|first| *first != b'0' || bytes.len() == 1);
    leads && bytes.len() <= 38 && bytes.iter().all(u8::is_ascii_digit)
}

fn scientific(text: &str) -> Option<String> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    let all = [integer, fraction].concat();
    let significant = all.trim_end_matches('0');
    let trailing = i128::try_from(all.len() - significant.len()).ok()?;
    let fraction_digits = i128::try_from(fraction.len()).ok()?;
    // An exponent past 38 digits stays as it was written: `None`, and the caller keeps the whole text.
    let shifted = exponent.parse::<i128>().ok()?.checked_sub(fraction_digits)?.checked_add(trailing)?;
    let digits = significant.trim_start_matches('0');
    Some(format!("{sign}{digits}e{shifted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_number_has_one_text() {
        for (given, wanted) in [
            ("1", "1"),
            ("1.0", "1"),
            ("10e-1", "1"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1.50", "1.5"),
            ("1E2", "100"),
            ("0.1", "0.1"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("1e999999999", "1e999999999"),
            ("10.0e999999998", "1e999999999"),
            ("-0.05e-999", "-5e-1001"),
        ] {
            assert_eq!(canonical_number(given), wanted, "{given}");
        }
    }

    proptest! {
        #[test]
        fn texts_are_equal_exactly_when_the_numbers_are(
            a in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE]-?[0-4])?", b in "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE]-?[0-4])?",
        ) {
            let same = a.parse::<bigdecimal::BigDecimal>().unwrap() == b.parse::<bigdecimal::BigDecimal>().unwrap();
            prop_assert_eq!(canonical_number(&a) == canonical_number(&b), same);
        }
    }
}
