//! Ratios of measurements, the one place where this crate divides floats: times and rates only, never money or quantities.
#![expect(clippy::float_arithmetic, reason = "measured times and rates, rounded for people; no money, no quantities")]
#![expect(clippy::cast_precision_loss, reason = "a measurement has fewer than 53 significant bits")]

use std::time::Duration;

/// `count` per second over `time`; 0 for no time.
#[must_use]
pub fn per_second(count: u64, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// CPU seconds per million events; `None` for no events.
#[must_use]
pub fn cpu_per_million(cpu: Duration, events: u64) -> Option<f64> {
    (events > 0).then(|| cpu.as_secs_f64() * 1e6 / events as f64)
}

/// `part / whole`; `None` for a whole of 0.
#[must_use]
pub fn share(part: f64, whole: f64) -> Option<f64> {
    (whole != 0.0).then(|| part / whole)
}

/// The middle value, the mean of the two middle ones for an even number; `None` of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Distance from the least to the greatest value as a share of the median.
#[must_use]
pub fn spread(values: &[f64]) -> Option<f64> {
    let least = values.iter().copied().reduce(f64::min)?;
    let greatest = values.iter().copied().reduce(f64::max)?;
    share(greatest - least, median(values)?)
}

/// Microseconds as milliseconds.
#[must_use]
pub fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_relative_to_it() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[]), None);
        assert_eq!(spread(&[1.0, 2.0, 3.0]), Some(1.0));
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(per_second(5, Duration::ZERO), 0.0);
        assert_eq!(cpu_per_million(Duration::from_secs(1), 0), None);
        assert_eq!(share(1.0, 0.0), None);
    }
}
