//! A calendar month of UTC.

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `2026-01`: by its first day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month(NaiveDate);

/// A text that is no month.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no month: write it as 2026-01")]
pub struct NoMonth(String);

impl Month {
    /// The month of an instant.
    #[must_use]
    pub fn of(instant: Timestamp) -> Self {
        let day = instant.to_chrono().date_naive();
        Self(day.with_day(1).unwrap_or(day))
    }

    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        // Dates reach 262,000 years: beyond every event.
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> Timestamp {
        let midnight: DateTime<Utc> = self.0.and_time(chrono::NaiveTime::MIN).and_utc();
        Timestamp(midnight.timestamp_micros())
    }

    /// As the event store names it: `202601`.
    #[must_use]
    pub fn partition(self) -> String {
        self.0.format("%Y%m").to_string()
    }

    /// From the event store's name for it; `None` for a name of another form.
    #[must_use]
    pub fn of_partition(name: &str) -> Option<Self> {
        NaiveDate::parse_from_str(&format!("{name}01"), "%Y%m%d").ok().map(Self)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

impl FromStr for Month {
    type Err = NoMonth;
    fn from_str(text: &str) -> Result<Self, NoMonth> {
        let unpadded = text.len() != "2026-01".len();
        let day = NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok().filter(|_| !unpadded);
        day.map(Self).ok_or_else(|| NoMonth(text.to_string()))
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = NoMonth;
    fn try_from(text: String) -> Result<Self, NoMonth> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_half_open_in_utc_and_has_two_names() {
        let december: Month = "2026-12".parse().unwrap();
        assert_eq!((december.to_string(), december.partition()), ("2026-12".to_string(), "202612".to_string()));
        assert_eq!(Month::of_partition("202612"), Some(december));
        let last = Timestamp(december.next().start().0 - 1);
        assert_eq!((Month::of(december.start()), Month::of(last)), (december, december));
        assert_eq!(december.next().to_string(), "2027-01");
    }

    #[test]
    fn other_texts_are_no_months() {
        for text in ["2026", "2026-13", "2026-1", "26-01", "2026-01-01", ""] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
        assert_eq!(Month::of_partition("all"), None);
    }
}
