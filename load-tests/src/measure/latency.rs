//! Latencies in microseconds, from 1 µs to an hour, with three significant digits.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An hour: longer than any request limit.
const LONGEST_MICROS: u64 = 3_600 * 1_000_000;
/// Significant digits: an error below 0.1 %.
const DIGITS: u8 = 3;

/// A distribution of latencies.
#[derive(Clone, Debug)]
pub struct Latencies(Option<Histogram<u64>>);

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Number of measurements.
    pub count: u64,
    /// Half are faster.
    pub p50: u64,
    /// Nine of ten are faster.
    pub p90: u64,
    /// All but one in a hundred are faster.
    pub p99: u64,
    /// All but one in a thousand are faster.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// No measurement yet.
    #[must_use]
    pub fn new() -> Self {
        // Fails only for bounds that do not hold; ours are constants that do.
        Self(Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS).ok())
    }

    /// Adds one; longer than an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST_MICROS);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record(micros.max(1));
        }
    }

    /// Adds those of another.
    pub fn append(&mut self, other: &Latencies) {
        if let (Some(histogram), Some(more)) = (&mut self.0, &other.0) {
            // Both have the same bounds, so nothing is refused.
            let _ = histogram.add(more);
        }
    }

    /// Forgets all.
    pub fn reset(&mut self) {
        if let Some(histogram) = &mut self.0 {
            histogram.reset();
        }
    }

    /// The percentiles so far; zeros when nothing was recorded.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let Some(histogram) = &self.0 else { return Percentiles::default() };
        Percentiles {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p90: histogram.value_at_quantile(0.9),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_thousandth() {
        let mut latencies = Latencies::new();
        for millis in 1..=1_000 {
            latencies.record(Duration::from_millis(millis));
        }
        latencies.record(Duration::from_secs(100_000));
        let seen = latencies.percentiles();
        assert_eq!(seen.count, 1_001);
        assert!((500_000..502_000).contains(&seen.p50), "{seen:?}");
        assert!((990_000..992_500).contains(&seen.p99), "{seen:?}");
        assert!(seen.max >= LONGEST_MICROS, "{seen:?}");
        latencies.reset();
        assert_eq!(latencies.percentiles(), Percentiles::default());
    }
}
