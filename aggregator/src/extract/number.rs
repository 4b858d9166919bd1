//! Decimal text to the store's `Decimal(38, 18)`: exact or flagged, never rounded.

use bigdecimal::BigDecimal;
use domain::quantity::Quantity;

/// Digits after the decimal point of the stored value.
pub const VALUE_SCALE: u32 = 18;
/// 10³⁸: a `Decimal(38, 18)` holds integers of less than that, times 10⁻¹⁸.
const VALUE_BOUND: i128 = 10_i128.pow(38);

/// What a text is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// Times 10⁻¹⁸, exact.
    Scaled(i128),
    /// Exact, but too long for the stored column.
    OutOfScale(BigDecimal),
    /// No number, or one beyond 38 digits on either side of the point.
    Unusable,
}

impl Number {
    /// The exact value; `None` for [`Number::Unusable`].
    #[must_use]
    pub fn to_big(&self) -> Option<BigDecimal> {
        match self {
            Number::Scaled(scaled) => Some(BigDecimal::new((*scaled).into(), i64::from(VALUE_SCALE))),
            Number::OutOfScale(value) => Some(value.clone()),
            Number::Unusable => None,
        }
    }
}

/// Reads decimal text: `-?digits[.digits][e[+-]digits]`, the grammar and limits of [`Quantity::parse`].
#[must_use]
pub fn parse(text: &str) -> Number {
    match parse_short(text.as_bytes()) {
        Some(scaled) => Number::Scaled(scaled),
        None => parse_any(text),
    }
}

/// Up to 18 digits before and 18 after the point, no exponent: what nearly all events carry, at a tenth of the cost.
fn parse_short(text: &[u8]) -> Option<i128> {
    let (negative, unsigned) = match text.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, text),
    };
    let point = unsigned.iter().position(|byte| *byte == b'.');
    let (integer, fraction) = match point {
        Some(at) => (&unsigned[..at], &unsigned[at + 1..]),
        None => (unsigned, &unsigned[..0]),
    };
    let has_digits = !integer.is_empty() && (point.is_none() || !fraction.is_empty());
    if !has_digits || integer.len() > 18 || fraction.len() > 18 {
        return None;
    }
    // 18 digits are less than 10¹⁸ < 2⁶³; the products below stay under 10³⁶.
    let shift = 10_i128.pow(VALUE_SCALE - u32::try_from(fraction.len()).ok()?);
    let magnitude = i128::from(digits(integer)?) * 10_i128.pow(VALUE_SCALE) + i128::from(digits(fraction)?) * shift;
    Some(if negative { -magnitude } else { magnitude })
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0_i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn parse_any(text: &str) -> Number {
    let Ok(quantity) = Quantity::parse(text) else {
        return Number::Unusable;
    };
    let value = quantity.to_big().normalized();
    let (mantissa, scale) = value.as_bigint_and_scale();
    let scaled = u32::try_from(i64::from(VALUE_SCALE) - scale)
        .ok()
        // Quantity refuses more than 38 digits before the point, so the power stays small.
        .and_then(|up| i128::try_from(mantissa.into_owned() * num_bigint::BigInt::from(10).pow(up)).ok())
        .filter(|scaled| -VALUE_BOUND < *scaled && *scaled < VALUE_BOUND);
    match scaled {
        Some(scaled) => Number::Scaled(scaled),
        None => Number::OutOfScale(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_within_the_scale_are_exact() {
        for (text, scaled) in [
            ("0.1", 100_000_000_000_000_000),
            ("-0", 0),
            ("1e3", 1000 * 10_i128.pow(18)),
            ("1.5E-3", 1_500_000_000_000_000),
            ("99999999999999999999.999999999999999999", VALUE_BOUND - 1),
            ("-99999999999999999999.999999999999999999", 1 - VALUE_BOUND),
            ("0.0000000000000000010", 1),
            ("1000000e-24", 1),
            ("007", 7 * 10_i128.pow(18)),
        ] {
            assert_eq!(parse(text), Number::Scaled(scaled), "{text}");
        }
    }

    #[test]
    fn numbers_beyond_the_scale_are_flagged_not_rounded() {
        for text in [
            "100000000000000000000",
            "0.0000000000000000001",
            "1e20",
            "1e-19",
            "12345678901234567890123456789012345678",
        ] {
            assert_eq!(parse(text), Number::OutOfScale(text.parse::<BigDecimal>().unwrap().normalized()), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_or_absurdly_long_is_unusable() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "+1",
            " 1",
            "NaN",
            "Infinity",
            "-inf",
            "0x1",
            "1e",
            "1e999999999",
            "1_0",
            "١",
            "1e-99999999999999999999",
        ] {
            assert_eq!(parse(text), Number::Unusable, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_is_its_decimal_value(text in "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][+-]?[0-9])?") {
            let wanted: BigDecimal = text.parse().unwrap();
            prop_assert_eq!(parse(&text).to_big().unwrap(), wanted);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+0-9eE.]{0,60}|\\PC{0,20}") {
            let _ = parse(&text);
        }
    }
}
