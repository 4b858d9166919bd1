//! Decimals on the wire (I5): in as number or text, out as text in the shortest exact form, never through a float.

use bigdecimal::BigDecimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;

/// Greatest absolute exponent of a number: that of the largest float. Beyond it the exact plain form alone is a burden.
pub const MAX_EXPONENT: i64 = 308;
/// Longest decimal text: 38 digits either side of the point are far beyond any price; the rest is slack for zeros.
pub const MAX_DECIMAL_CHARS: usize = 128;

/// Why a text is not a decimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalFault {
    /// Letters, spaces, `NaN`, nothing.
    #[error("is not a decimal number such as \"12.5\"")]
    NotADecimal,
    /// Too many characters or too great an exponent.
    #[error(
        "is a decimal number out of range (at most {MAX_DECIMAL_CHARS} characters, exponent at most ±{MAX_EXPONENT})"
    )]
    OutOfRange,
}

/// Parses `[+-]digits[.digits][e±digits]`, where digits may be missing on one side of the point.
///
/// # Errors
/// On anything else, and out of range.
pub fn parse(text: &str) -> Result<BigDecimal, DecimalFault> {
    if text.len() > MAX_DECIMAL_CHARS {
        return Err(DecimalFault::OutOfRange);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    check_mantissa(mantissa)?;
    if let Some(exponent) = exponent {
        check_exponent(exponent)?;
    }
    text.strip_prefix('+').unwrap_or(text).parse().map_err(|_| DecimalFault::NotADecimal)
}

fn check_mantissa(mantissa: &str) -> Result<(), DecimalFault> {
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 {
        return Ok(());
    }
    Err(DecimalFault::NotADecimal)
}

fn check_exponent(exponent: &str) -> Result<(), DecimalFault> {
    let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalFault::NotADecimal);
    }
    match digits.parse::<i64>() {
        Ok(value) if value <= MAX_EXPONENT => Ok(()),
        _ => Err(DecimalFault::OutOfRange),
    }
}

/// The shortest exact plain form: no exponent, no trailing zeros after the point (`"1999"`, `"0.125"`, `"0"`).
#[must_use]
pub fn shortest(value: &BigDecimal) -> String {
    value.normalized().to_plain_string()
}

/// [`shortest`] for `rust_decimal`.
#[must_use]
pub fn shortest_decimal(value: rust_decimal::Decimal) -> String {
    value.normalize().to_string()
}

/// A decimal of a request or an answer: read from a JSON number or text, written as text in the shortest exact form.
#[derive(Clone, PartialEq, Eq)]
pub struct ExactDecimal(pub BigDecimal);

impl fmt::Display for ExactDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortest(&self.0))
    }
}

impl fmt::Debug for ExactDecimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ExactDecimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ExactDecimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Through Value: serde_json hands over a number's text only to its own types.
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Number(number) => parse(number.as_str()).map(Self).map_err(D::Error::custom),
            serde_json::Value::String(text) => parse(&text).map(Self).map_err(D::Error::custom),
            _ => Err(D::Error::custom("should be a number or a decimal text")),
        }
    }
}

impl utoipa::PartialSchema for ExactDecimal {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .description(Some("Decimal text in the shortest exact form; a request may send a number instead."))
            .examples([serde_json::json!("0.125")])
            .into()
    }
}

impl utoipa::ToSchema for ExactDecimal {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn answers_show_the_shortest_exact_form() {
        for (value, shown) in
            [("1999.000", "1999"), ("0.1250", "0.125"), ("0.00", "0"), ("1e3", "1000"), ("-0.50", "-0.5")]
        {
            assert_eq!(shortest(&parse(value).unwrap()), shown);
        }
        assert_eq!(shortest_decimal("1.500".parse().unwrap()), "1.5");
    }

    #[test]
    fn a_number_and_a_text_read_as_the_same_exact_decimal() {
        for text in [r#"0.1"#, r#""0.1""#] {
            assert_eq!(serde_json::from_str::<ExactDecimal>(text).unwrap().to_string(), "0.1");
        }
        let long = "12345678901234567890.123456789";
        assert_eq!(serde_json::from_str::<ExactDecimal>(long).unwrap().to_string(), long);
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in
            ["", ".", "-", "+", "NaN", "inf", "1_000", "1,5", " 1", "1 ", "0x1", "1e", "1e+", "--1", "1.2.3", "١"]
        {
            assert_eq!(parse(text), Err(DecimalFault::NotADecimal), "{text}");
        }
        for text in ["1e309", "1e-309", "1e99999999999999999999", &"1".repeat(200)] {
            assert_eq!(parse(text), Err(DecimalFault::OutOfRange), "{text}");
        }
        assert!(serde_json::from_str::<ExactDecimal>("true").is_err());
    }

    proptest! {
        #[test]
        fn the_shortest_form_reads_back_as_the_same_value(digits in any::<i128>(), scale in -20_i64..40) {
            let value = BigDecimal::new(digits.into(), scale);
            prop_assert_eq!(parse(&shortest(&value)).unwrap(), value);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
