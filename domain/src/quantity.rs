//! Exact decimals: quantities of usage, prices, and amounts before they become integers of a minor unit (I5).
//!
//! One type with two forms. The small form is an `i128` with a decimal scale and checked integer arithmetic: it prices five
//! million fees a second. Whatever leaves it (38 digits) goes on as a [`BigDecimal`] of any length. Neither form rounds:
//! digits are lost only in [`Quantity::rounded`] and [`Quantity::divided`], which say how. (`rust_decimal` is not used
//! here because its multiplication rounds silently past 28 digits.)
//!
//! Refused: floats, NaN, infinities, hexadecimal, blanks, and numbers with more than [`MAX_INTEGER_DIGITS`] digits before or
//! [`MAX_FRACTION_DIGITS`] after the decimal point: `1e999999999` is eleven bytes of input and a gigabyte of digits.

use crate::catalog::RoundingFunction;
use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, RoundingMode};
use num_traits::{Signed, ToPrimitive, Zero};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};
use std::str::FromStr;

/// Digits a number may have before its decimal point: those of a ClickHouse `Decimal(38, …)`.
pub const MAX_INTEGER_DIGITS: i64 = 38;
/// Digits a number may have after its decimal point, trailing zeros not counted.
pub const MAX_FRACTION_DIGITS: i64 = 38;

/// An exact decimal number.
#[derive(Clone)]
pub struct Quantity(Form);

#[derive(Clone)]
enum Form {
    /// `mantissa × 10^-scale`; trailing zeros are allowed, so one number has several such forms.
    Small { mantissa: i128, scale: u32 },
    /// Anything; may also be a number that would fit the small form.
    Big(BigDecimal),
}

/// Why a text is not a usable number.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum QuantityError {
    /// Not `-12`, `0.5`, `1e-3`.
    #[error("is not a decimal number such as \"12\" or \"0.005\"")]
    NotANumber,
    /// More digits than any quantity may have.
    #[error("has more than {MAX_INTEGER_DIGITS} digits before or {MAX_FRACTION_DIGITS} after the decimal point")]
    TooLong,
}

impl Quantity {
    /// 0.
    pub const ZERO: Quantity = Quantity::small(0, 0);
    /// 1.
    pub const ONE: Quantity = Quantity::small(1, 0);

    const fn small(mantissa: i128, scale: u32) -> Self {
        Self(Form::Small { mantissa, scale })
    }

    /// `mantissa × 10^-scale`.
    #[must_use]
    pub const fn new(mantissa: i128, scale: u32) -> Self {
        Self::small(mantissa, scale)
    }

    /// Parses `-?digits[.digits][e[+-]digits]`, as JSON writes numbers (leading zeros are allowed besides).
    ///
    /// # Errors
    /// When it is no such text, or longer than a quantity may be.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let parts = NumberText::split(text).ok_or(QuantityError::NotANumber)?;
        parts.value()
    }

    /// The number in a JSON value: a number, or a string that holds one.
    ///
    /// # Errors
    /// For all other JSON values, and as [`Quantity::parse`].
    pub fn from_json(value: &serde_json::Value) -> Result<Self, QuantityError> {
        match value {
            serde_json::Value::Number(number) => Self::parse(&number.to_string()),
            serde_json::Value::String(text) => Self::parse(text),
            _ => Err(QuantityError::NotANumber),
        }
    }

    /// As a [`BigDecimal`], exactly.
    #[must_use]
    pub fn to_big(&self) -> BigDecimal {
        match &self.0 {
            Form::Small { mantissa, scale } => BigDecimal::new(BigInt::from(*mantissa), i64::from(*scale)),
            Form::Big(value) => value.clone(),
        }
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match &self.0 {
            Form::Small { mantissa, .. } => *mantissa == 0,
            Form::Big(value) => value.is_zero(),
        }
    }

    /// Whether it is less than 0.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        match &self.0 {
            Form::Small { mantissa, .. } => *mantissa < 0,
            Form::Big(value) => value.is_negative(),
        }
    }

    /// Whether it is greater than 0.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        !self.is_zero() && !self.is_negative()
    }

    /// Whether it has no digits after the decimal point.
    #[must_use]
    pub fn is_integer(&self) -> bool {
        *self == self.rounded(RoundingFunction::Floor, 0)
    }

    /// Itself, or 0 when it is negative.
    #[must_use]
    pub fn or_zero(&self) -> Quantity {
        if self.is_negative() { Quantity::ZERO } else { self.clone() }
    }

    /// Rounded to `precision` digits after the decimal point; a negative precision rounds to tens, hundreds, ….
    /// `Round` is half away from zero, `Ceil` toward +∞, `Floor` toward −∞.
    #[must_use]
    pub fn rounded(&self, function: RoundingFunction, precision: i32) -> Quantity {
        let mode = match function {
            RoundingFunction::Round => RoundingMode::HalfUp,
            RoundingFunction::Ceil => RoundingMode::Ceiling,
            RoundingFunction::Floor => RoundingMode::Floor,
        };
        if let Form::Small { scale, .. } = self.0
            && i64::from(scale) <= i64::from(precision)
        {
            return self.clone();
        }
        Quantity::from(self.to_big().with_scale_round(i64::from(precision), mode))
    }

    /// `self / divisor`, rounded half away from zero to `precision` digits; absent when the divisor is 0.
    #[must_use]
    pub fn divided(&self, divisor: &Quantity, precision: u32) -> Option<Quantity> {
        if divisor.is_zero() {
            return None;
        }
        let (dividend, divider) = self.over(divisor, precision);
        let magnitude: BigInt = (dividend.abs() * 2 + divider.abs()) / (divider.abs() * 2);
        let negative = (dividend.sign() == Sign::Minus) != (divider.sign() == Sign::Minus);
        let quotient = if negative { -magnitude } else { magnitude };
        Some(Quantity::from(BigDecimal::new(quotient, i64::from(precision))))
    }

    /// The least integer that is not below `self / divisor`; absent when the divisor is 0.
    #[must_use]
    pub fn divided_up(&self, divisor: &Quantity) -> Option<Quantity> {
        if divisor.is_zero() {
            return None;
        }
        let (dividend, divider) = self.over(divisor, 0);
        let floor = num_integer_div_floor(&-dividend, &divider);
        Some(Quantity::from(BigDecimal::new(-floor, 0)))
    }

    /// Integers whose quotient is `self × 10^precision / divisor`.
    fn over(&self, divisor: &Quantity, precision: u32) -> (BigInt, BigInt) {
        let (numerator, numerator_scale) = self.to_big().into_bigint_and_exponent();
        let (denominator, denominator_scale) = divisor.to_big().into_bigint_and_exponent();
        let shift = denominator_scale - numerator_scale + i64::from(precision);
        match u32::try_from(shift) {
            Ok(up) => (numerator * BigInt::from(10).pow(up), denominator),
            // Digits are limited to tens where numbers enter, so scales stay far below 2³².
            Err(_) => (numerator, denominator * BigInt::from(10).pow(u32::try_from(-shift).unwrap_or(u32::MAX))),
        }
    }
}

/// Floor division of big integers, toward −∞.
fn num_integer_div_floor(dividend: &BigInt, divider: &BigInt) -> BigInt {
    let (quotient, rest) = (dividend / divider, dividend % divider);
    if rest.is_zero() || (rest.is_negative() == divider.is_negative()) { quotient } else { quotient - 1 }
}

/// A number's text, split.
struct NumberText<'a> {
    negative: bool,
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> NumberText<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (digits, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, parse_exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        (!integer.is_empty() && all_digits(integer) && all_digits(fraction)).then_some(Self {
            negative,
            integer: integer.trim_start_matches('0'),
            fraction: fraction.trim_end_matches('0'),
            exponent,
        })
    }

    fn value(&self) -> Result<Quantity, QuantityError> {
        let (integer, fraction) = (digits_of(self.integer), digits_of(self.fraction));
        if integer == 0 && fraction == 0 {
            return Ok(Quantity::ZERO);
        }
        self.check_length(integer, fraction)?;
        let mut mantissa: i128 = 0;
        for digit in self.integer.bytes().chain(self.fraction.bytes()).map(|byte| i128::from(byte - b'0')) {
            match mantissa.checked_mul(10).and_then(|tens| tens.checked_add(digit)) {
                Some(next) => mantissa = next,
                None => return self.big_value(fraction),
            }
        }
        let signed = if self.negative { -mantissa } else { mantissa };
        match u32::try_from(fraction - self.exponent) {
            Ok(scale) => Ok(Quantity::small(signed, scale)),
            Err(_) => Ok(Quantity::from(BigDecimal::new(BigInt::from(signed), fraction - self.exponent))),
        }
    }

    /// Counts the digits of the plain form, zeros at its ends left out, before any digit is computed.
    fn check_length(&self, integer: i64, fraction: i64) -> Result<(), QuantityError> {
        let leading_zeros = match self.integer {
            "" => fraction - digits_of(self.fraction.trim_start_matches('0')),
            _ => 0,
        };
        let trailing_zeros = match self.fraction {
            "" => integer - digits_of(self.integer.trim_end_matches('0')),
            _ => 0,
        };
        let before = integer - leading_zeros + self.exponent;
        let after = fraction - trailing_zeros - self.exponent;
        if before > MAX_INTEGER_DIGITS || after > MAX_FRACTION_DIGITS {
            return Err(QuantityError::TooLong);
        }
        Ok(())
    }

    fn big_value(&self, fraction: i64) -> Result<Quantity, QuantityError> {
        let sign = if self.negative { "-" } else { "" };
        let text = [sign, self.integer, self.fraction].concat();
        let mantissa = BigInt::from_str(&text).map_err(|_| QuantityError::NotANumber)?;
        Ok(Quantity::from(BigDecimal::new(mantissa, fraction - self.exponent)))
    }
}

fn digits_of(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

/// An exponent with optional sign. One beyond 9 digits is cut to what [`NumberText::check_length`] refuses (or, for 0, ignores).
fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    if significant.len() > 9 {
        return Some(sign * 1_000_000_000_000);
    }
    Some(sign * significant.parse::<i64>().unwrap_or(0))
}

const POWERS: usize = 39;
/// 10⁰ … 10³⁸, the powers that fit an `i128`.
static POWERS_OF_TEN: [i128; POWERS] = {
    let mut powers = [1_i128; POWERS];
    let mut exponent = 1;
    while exponent < POWERS {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

fn scaled_up(mantissa: i128, digits: u32) -> Option<i128> {
    mantissa.checked_mul(*POWERS_OF_TEN.get(digits as usize)?)
}

/// Both mantissas at the larger scale, when they fit.
fn aligned(left: &Quantity, right: &Quantity) -> Option<(i128, i128, u32)> {
    let (Form::Small { mantissa: a, scale: sa }, Form::Small { mantissa: b, scale: sb }) = (&left.0, &right.0) else {
        return None;
    };
    match sa.cmp(sb) {
        Ordering::Equal => Some((*a, *b, *sa)),
        Ordering::Less => Some((scaled_up(*a, sb - sa)?, *b, *sb)),
        Ordering::Greater => Some((*a, scaled_up(*b, sa - sb)?, *sa)),
    }
}

impl Add for &Quantity {
    type Output = Quantity;
    fn add(self, other: &Quantity) -> Quantity {
        let small = aligned(self, other).and_then(|(a, b, scale)| Some(Quantity::small(a.checked_add(b)?, scale)));
        small.unwrap_or_else(|| Quantity::from(self.to_big() + other.to_big()))
    }
}

impl Sub for &Quantity {
    type Output = Quantity;
    fn sub(self, other: &Quantity) -> Quantity {
        let small = aligned(self, other).and_then(|(a, b, scale)| Some(Quantity::small(a.checked_sub(b)?, scale)));
        small.unwrap_or_else(|| Quantity::from(self.to_big() - other.to_big()))
    }
}

impl Mul for &Quantity {
    type Output = Quantity;
    fn mul(self, other: &Quantity) -> Quantity {
        if let (Form::Small { mantissa: a, scale: sa }, Form::Small { mantissa: b, scale: sb }) = (&self.0, &other.0)
            && let (Some(mantissa), Some(scale)) = (a.checked_mul(*b), sa.checked_add(*sb))
        {
            return Quantity::small(mantissa, scale);
        }
        Quantity::from(self.to_big() * other.to_big())
    }
}

impl Neg for &Quantity {
    type Output = Quantity;
    fn neg(self) -> Quantity {
        match &self.0 {
            Form::Small { mantissa, scale } if *mantissa != i128::MIN => Quantity::small(-mantissa, *scale),
            _ => Quantity::from(-self.to_big()),
        }
    }
}

impl AddAssign<&Quantity> for Quantity {
    fn add_assign(&mut self, other: &Quantity) {
        *self = &*self + other;
    }
}

impl<'a> Sum<&'a Quantity> for Quantity {
    fn sum<I: Iterator<Item = &'a Quantity>>(terms: I) -> Quantity {
        terms.fold(Quantity::ZERO, |total, term| &total + term)
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        match aligned(self, other) {
            Some((a, b, _)) => a.cmp(&b),
            None => self.to_big().cmp(&other.to_big()),
        }
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Quantity {}

impl Default for Quantity {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<BigDecimal> for Quantity {
    fn from(value: BigDecimal) -> Self {
        let (mantissa, scale) = value.as_bigint_and_scale();
        match (mantissa.to_i128(), u32::try_from(scale)) {
            (Some(small), Ok(digits)) => Self::small(small, digits),
            (Some(small), Err(_)) if (-38..0).contains(&scale) => {
                // A negative scale stands for trailing zeros; -scale is 1..=38 by the guard.
                let zeros = u32::try_from(-scale).unwrap_or_default();
                scaled_up(small, zeros).map_or(Self(Form::Big(value)), |full| Self::small(full, 0))
            }
            _ => Self(Form::Big(value)),
        }
    }
}

impl From<u64> for Quantity {
    fn from(value: u64) -> Self {
        Self::small(i128::from(value), 0)
    }
}

impl From<i64> for Quantity {
    fn from(value: i64) -> Self {
        Self::small(i128::from(value), 0)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

/// The shortest exact plain form: `"1999"`, `"0.125"`, `"-0.5"`; never an exponent.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let (mantissa, scale) = self.to_big().normalized().into_bigint_and_exponent();
        let digits = mantissa.magnitude().to_string();
        if self.is_negative() {
            f.write_str("-")?;
        }
        match usize::try_from(scale) {
            Ok(0) => f.write_str(&digits),
            Ok(after) if digits.len() > after => {
                let (integer, fraction) = digits.split_at(digits.len() - after);
                write!(f, "{integer}.{fraction}")
            }
            Ok(after) => write!(f, "0.{digits:0>after$}"),
            // Negative scale: trailing zeros.
            Err(_) => {
                write!(f, "{digits}{:0<zeros$}", "", zeros = usize::try_from(-scale).unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// From a JSON string or number, exactly.
impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Self::from_json(&value).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_rational::BigRational;
    use proptest::prelude::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    /// Any number of up to 45 digits: both forms and the border between them.
    fn any_quantity() -> impl Strategy<Value = (Quantity, BigRational)> {
        ("-?(0|[1-9][0-9]{0,30})", "[0-9]{0,15}").prop_map(|(integer, fraction)| {
            let text = if fraction.is_empty() { integer.clone() } else { format!("{integer}.{fraction}") };
            let mantissa: BigInt = format!("{integer}{fraction}").parse().unwrap();
            let scale = BigInt::from(10).pow(u32::try_from(fraction.len()).unwrap());
            (quantity(&text), BigRational::new(mantissa, scale))
        })
    }

    fn rational(value: &Quantity) -> BigRational {
        let (mantissa, scale) = value.to_big().into_bigint_and_exponent();
        let ten = BigRational::from(BigInt::from(10));
        BigRational::from(mantissa) / ten.pow(i32::try_from(scale).unwrap())
    }

    #[test]
    fn numbers_are_printed_in_their_shortest_exact_form() {
        for (given, shown) in [
            ("1999.000", "1999"),
            ("0.1250", "0.125"),
            ("-0.50", "-0.5"),
            ("1e3", "1000"),
            ("1E-3", "0.001"),
            ("-0", "0"),
            ("0e999999999999", "0"),
            ("007", "7"),
            ("12345678901234567890.123456789", "12345678901234567890.123456789"),
            ("99999999999999999999999999999999999999.5", "99999999999999999999999999999999999999.5"),
        ] {
            assert_eq!(quantity(given).to_string(), shown, "{given}");
        }
    }

    #[test]
    fn what_is_not_a_decimal_number_is_refused() {
        for text in [
            "", "-", "+1", ".5", "5.", "1.e3", "1e", "1e+", "NaN", "Infinity", "0x10", " 1", "1 ", "1_000", "--1",
            "1.2.3", "١",
        ] {
            assert_eq!(Quantity::parse(text), Err(QuantityError::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn a_number_of_39_digits_on_either_side_is_refused_before_it_is_computed() {
        let ones = |count| "1".repeat(count);
        assert!(Quantity::parse(&ones(38)).is_ok());
        assert!(Quantity::parse(&format!("0.{}", ones(38))).is_ok());
        assert!(Quantity::parse(&format!("0.{}000000000", ones(38))).is_ok());
        for text in [
            ones(39),
            format!("0.{}", ones(39)),
            "1e38".into(),
            "1e-39".into(),
            "1e999999999".into(),
            "-1e-99999999999999999999".into(),
        ] {
            assert_eq!(Quantity::parse(&text), Err(QuantityError::TooLong), "{text}");
        }
    }

    #[test]
    fn rounding_follows_the_published_examples() {
        use RoundingFunction::{Ceil, Floor, Round};
        for (given, function, precision, wanted) in [
            ("1.005", Round, 2, "1.01"),
            ("2.5", Round, 0, "3"),
            ("-2.5", Round, 0, "-3"),
            ("-1.2", Ceil, 0, "-1"),
            ("-1.2", Floor, 0, "-2"),
            ("123.456", Floor, -2, "100"),
            ("123.456", Ceil, -2, "200"),
            ("123.456", Round, -2, "100"),
            ("12", Round, 5, "12"),
        ] {
            assert_eq!(
                quantity(given).rounded(function, precision),
                quantity(wanted),
                "{given} {function:?} {precision}"
            );
        }
    }

    #[test]
    fn dividing_rounds_half_away_from_zero_and_refuses_zero() {
        assert_eq!(quantity("1").divided(&quantity("3"), 4), Some(quantity("0.3333")));
        assert_eq!(quantity("-1").divided(&quantity("8"), 2), Some(quantity("-0.13")));
        assert_eq!(quantity("1").divided(&quantity("-8"), 2), Some(quantity("-0.13")));
        assert_eq!(quantity("1").divided(&Quantity::ZERO, 2), None);
        assert_eq!(quantity("1").divided_up(&Quantity::ZERO), None);
    }

    #[test]
    fn a_json_number_and_a_json_string_mean_the_same() {
        for json in ["\"12345678901234567890.123456789\"", "12345678901234567890.123456789"] {
            let parsed: Quantity = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"12345678901234567890.123456789\"");
        }
        for json in ["true", "null", "[1]", "{}", "\"\""] {
            assert!(serde_json::from_str::<Quantity>(json).is_err(), "{json}");
        }
    }

    proptest! {
        #[test]
        fn arithmetic_equals_that_of_rational_numbers((a, ra) in any_quantity(), (b, rb) in any_quantity()) {
            prop_assert_eq!(rational(&(&a + &b)), &ra + &rb);
            prop_assert_eq!(rational(&(&a - &b)), &ra - &rb);
            prop_assert_eq!(rational(&(&a * &b)), &ra * &rb);
            prop_assert_eq!(rational(&-&a), -ra.clone());
            prop_assert_eq!(a.cmp(&b), ra.cmp(&rb));
            prop_assert_eq!(a == b, ra == rb);
            if !b.is_zero() {
                prop_assert_eq!(rational(&a.divided_up(&b).unwrap()), (&ra / &rb).ceil());
                let scale = BigRational::from(BigInt::from(1_000_000));
                prop_assert_eq!(rational(&a.divided(&b, 6).unwrap()), (&ra / &rb * &scale).round() / &scale);
            }
        }

        #[test]
        fn rounding_equals_that_of_rational_numbers((a, ra) in any_quantity(), precision in 0_i32..12) {
            let scale = BigRational::from(BigInt::from(10)).pow(precision);
            let shifted = &ra * &scale;
            prop_assert_eq!(rational(&a.rounded(RoundingFunction::Round, precision)), shifted.round() / &scale);
            prop_assert_eq!(rational(&a.rounded(RoundingFunction::Ceil, precision)), shifted.ceil() / &scale);
            prop_assert_eq!(rational(&a.rounded(RoundingFunction::Floor, precision)), shifted.floor() / &scale);
        }

        #[test]
        fn the_printed_form_reads_back_as_the_same_number((a, ra) in any_quantity(), exponent in -5_i64..5) {
            prop_assert_eq!(rational(&quantity(&a.to_string())), ra.clone());
            let shifted = quantity(&format!("{a}e{exponent}"));
            prop_assert_eq!(rational(&shifted), ra * BigRational::from(BigInt::from(10)).pow(i32::try_from(exponent).unwrap()));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+0-9eE.]{0,60}|\\PC{0,20}") {
            let _ = Quantity::parse(&text);
        }
    }
}
