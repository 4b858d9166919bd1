//! Numbers as people read them.
#![expect(clippy::float_arithmetic, reason = "scaling of measurements for display")]

use std::time::Duration;

/// `1234567` as `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured figure with three significant digits, thousands grouped.
#[must_use]
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let whole = format!("{:.0}", value.abs()).parse().map_or_else(|_| format!("{value:.0}"), grouped);
            if value < 0.0 { format!("-{whole}") } else { whole }
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.001 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Microseconds with the unit that fits.
#[must_use]
pub fn micros(micros: u64) -> String {
    let millis = crate::measure::ratio::millis(micros);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", figure(millis)),
        _ => format!("{} s", figure(millis / 1_000.0)),
    }
}

/// A time span with the unit that fits.
#[must_use]
pub fn span(time: Duration) -> String {
    micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

/// Bytes in binary units.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", bytes / 1_024),
        _ => format!("{} MiB", grouped(bytes / 1_048_576)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_shortened() {
        assert_eq!([0, 12, 999, 1_000, 1_234_567].map(grouped), ["0", "12", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.126, 12.34, 123.4, 254_321.7, -1_234.0].map(figure),
            ["0.00", "0.13", "12.3", "123", "254,322", "-1,234"]
        );
        assert_eq!([12, 1_234, 56_000, 1_500_000].map(micros), ["12 µs", "1.23 ms", "56.0 ms", "1.50 s"]);
        assert_eq!([12, 2_048, 5 << 30].map(bytes), ["12 B", "2 KiB", "5,120 MiB"]);
    }
}
