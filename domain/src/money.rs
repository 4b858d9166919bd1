//! Money: integers of a currency's minor unit (I5), and the one place where an exact amount becomes such an integer.
//!
//! It refuses currencies outside ISO 4217: an unknown exponent would make every amount wrong by a power of ten.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, RoundingMode};
use num_traits::ToPrimitive;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A currency of ISO 4217, upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// Currencies without minor unit.
const NO_MINOR_UNIT: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Currencies whose unit has a thousand minor units.
const THOUSANDTHS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
/// Currencies whose unit has ten thousand minor units.
const TEN_THOUSANDTHS: &[&str] = &["CLF", "UYW"];
/// Currencies whose unit has a hundred minor units.
const HUNDREDTHS: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "ANG", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND",
    "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP", "COU",
    "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL", "GHS",
    "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES", "KGS", "KHR",
    "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU",
    "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PGK",
    "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS",
    "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD",
    "USN", "UYU", "UZS", "VED", "VES", "WST", "XCD", "XCG", "YER", "ZAR", "ZMW", "ZWG",
];

impl Currency {
    /// US dollar, the contract's default.
    pub const USD: Currency = Currency(*b"USD");

    /// The three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        // Only ASCII letters from the lists above get in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Decimal digits between the unit and its minor unit: JPY 0, USD 2, KWD 3.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        let code = self.code();
        if NO_MINOR_UNIT.contains(&code) {
            0
        } else if THOUSANDTHS.contains(&code) {
            3
        } else if TEN_THOUSANDTHS.contains(&code) {
            4
        } else {
            2
        }
    }

    /// An exact amount in currency units as minor units, rounded once, half away from zero (I5).
    ///
    /// # Errors
    /// When the amount passes 9.2 × 10¹⁸ minor units.
    pub fn to_minor_units(&self, amount: &BigDecimal) -> Result<MinorUnits, MoneyError> {
        let shifted = amount * BigDecimal::from(10_i64.pow(self.exponent()));
        let rounded = shifted.with_scale_round(0, RoundingMode::HalfUp);
        let (integer, _) = rounded.into_bigint_and_exponent();
        integer.to_i64().map(MinorUnits).ok_or(MoneyError::TooLarge)
    }

    /// How many minor units make one unit: 100 for USD, 1 for JPY, 1000 for KWD.
    #[must_use]
    pub fn minor_units_in_one(&self) -> u64 {
        10_u64.pow(self.exponent())
    }

    /// Minor units as an exact amount in currency units.
    #[must_use]
    pub fn to_units(&self, minor: MinorUnits) -> BigDecimal {
        BigDecimal::new(BigInt::from(minor.0), i64::from(self.exponent()))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let known = [NO_MINOR_UNIT, THOUSANDTHS, TEN_THOUSANDTHS, HUNDREDTHS].iter().any(|list| list.contains(&text));
        match text.as_bytes().try_into() {
            Ok(letters) if known => Ok(Self(letters)),
            _ => Err(MoneyError::UnknownCurrency(text.chars().take(8).collect())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A count of a currency's minor unit ("cents").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MinorUnits(pub i64);

impl MinorUnits {
    /// Nothing.
    pub const ZERO: MinorUnits = MinorUnits(0);

    /// Sum, or an error instead of a wrapped amount.
    ///
    /// # Errors
    /// On overflow of 64 bits.
    pub fn plus(self, other: MinorUnits) -> Result<MinorUnits, MoneyError> {
        self.0.checked_add(other.0).map(MinorUnits).ok_or(MoneyError::TooLarge)
    }
}

impl fmt::Display for MinorUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an amount or a currency is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone)]
pub enum MoneyError {
    /// Not a code of ISO 4217.
    #[error("'{0}' is not a currency of ISO 4217, such as 'USD' or 'EUR' (upper case)")]
    UnknownCurrency(String),
    /// Past 64 bits of minor units.
    #[error("the amount passes 9,223,372,036,854,775,807 minor units")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(currency: &str, amount: &str) -> i64 {
        let currency: Currency = currency.parse().unwrap();
        currency.to_minor_units(&amount.parse().unwrap()).unwrap().0
    }

    #[test]
    fn half_a_cent_is_rounded_away_from_zero_on_both_sides() {
        assert_eq!(cents("USD", "0.005"), 1);
        assert_eq!(cents("USD", "-0.005"), -1);
        assert_eq!(cents("USD", "0.00499999999999999999999999999999999"), 0);
    }

    #[test]
    fn each_currency_has_its_own_minor_unit() {
        assert_eq!(cents("JPY", "12.5"), 13);
        assert_eq!(cents("KWD", "1.2345"), 1235);
        assert_eq!(cents("CLF", "1"), 10_000);
    }

    #[test]
    fn an_unknown_or_lower_case_currency_is_refused() {
        assert!("usd".parse::<Currency>().is_err());
        assert!("XXZ".parse::<Currency>().is_err());
    }

    #[test]
    fn an_amount_beyond_64_bits_is_an_error_not_a_wrap() {
        let huge: BigDecimal = "92233720368547758.08".parse().unwrap();
        assert_eq!(Currency::USD.to_minor_units(&huge), Err(MoneyError::TooLarge));
    }
}
