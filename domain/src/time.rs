//! Instants: microseconds since 1970 in UTC, the only representation of time between crates.
//!
//! It refuses timestamps without a zone: a naive time is a different instant on every machine that reads it, hence a
//! different bill (behaviour W39). Digits finer than a microsecond are cut off, never rounded up: rounding up could
//! carry an event over a period's end.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// An instant in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The earliest instant an event may carry: 1970-01-01. Before it lies a client's uninitialised clock.
    pub const EARLIEST: Timestamp = Timestamp(0);
    /// The instant before which an event must lie: 2200-01-01 (230 years after 1970 with 56 leap days, in seconds).
    pub const LATEST: Timestamp = Timestamp(7_258_118_400 * MICROS_PER_SECOND);

    /// The machine's clock. Only the edge (HTTP, schedulers) may call it; everything inside takes `now` as an argument.
    #[must_use]
    pub fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 with a zone; digits beyond microseconds are cut off.
    ///
    /// # Errors
    /// When the text is not RFC 3339 or has no zone.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        match DateTime::parse_from_rfc3339(text) {
            Ok(instant) => Ok(Self(instant.timestamp_micros())),
            Err(_) if has_no_zone(text) => Err(TimestampError::NoZone),
            Err(_) => Err(TimestampError::NotRfc3339),
        }
    }

    /// The chrono form, for calendar arithmetic.
    #[must_use]
    pub fn to_chrono(self) -> DateTime<Utc> {
        // An i64 of microseconds spans ±292,000 years, chrono ±262,000: events are bounded far inside by LATEST.
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

fn has_no_zone(text: &str) -> bool {
    chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").is_ok()
        || chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").is_ok()
        || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_micros())
    }
}

/// Why a text is not an instant.
#[derive(Debug, thiserror::Error, PartialEq, Eq, Clone, Copy)]
pub enum TimestampError {
    /// A date or time without a zone.
    #[error("has no time zone: add 'Z' or an offset such as '+02:00'")]
    NoZone,
    /// Anything else.
    #[error("is not an RFC 3339 time such as '2026-03-01T12:00:00Z'")]
    NotRfc3339,
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_chrono().to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Timestamp::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_beyond_microseconds_are_cut_off_not_rounded() {
        let parsed = Timestamp::parse("2023-11-16T18:15:46.6805909Z").unwrap();
        assert_eq!(parsed.to_string(), "2023-11-16T18:15:46.680590Z");
    }

    #[test]
    fn a_time_without_a_zone_is_refused_by_name() {
        assert_eq!(Timestamp::parse("2026-03-01T00:00:00"), Err(TimestampError::NoZone));
        assert_eq!(Timestamp::parse("2026-03-01"), Err(TimestampError::NoZone));
        assert_eq!(Timestamp::parse("yesterday"), Err(TimestampError::NotRfc3339));
    }

    #[test]
    fn the_latest_instant_is_the_start_of_2200() {
        assert_eq!(Timestamp::LATEST.to_string(), "2200-01-01T00:00:00Z");
    }
}
