//! Figures and texts as people read them, safe inside HTML.

// For a picture; nothing is billed by it.
#![allow(clippy::float_arithmetic)]

/// `1,234,567`; from ten millions on `12.3 M`.
pub(super) fn count(value: f64) -> String {
    if value >= 1e7 {
        return format!("{:.1} M", value / 1e6);
    }
    // The sum of nothing is -0.
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: one decimal below ten; unknown is a dash.
pub(super) fn rate(value: Option<f64>) -> String {
    match value {
        None => "–".to_string(),
        Some(value) if value > 0.0 && value < 9.95 => format!("{value:.1}"),
        Some(value) => count(value),
    }
}

/// `25 ms`, `1.5 s`; unknown is a dash.
pub(super) fn seconds(value: Option<f64>) -> String {
    match value {
        None => "–".to_string(),
        Some(value) if value.is_infinite() => "> 60 s".to_string(),
        Some(value) if value <= 0.0 => "0 s".to_string(),
        Some(value) if value < 0.001 => "< 1 ms".to_string(),
        Some(value) if value < 1.0 => format!("{:.0} ms", value * 1e3),
        Some(value) if value < 120.0 => format!("{value:.1} s"),
        Some(value) => format!("{:.0} min", value / 60.0),
    }
}

/// `≤ 25 ms`: a percentile is known as the bucket that it lies in.
pub(super) fn at_most(bound: Option<f64>) -> String {
    match bound {
        Some(bound) if bound.is_finite() => format!("≤ {}", seconds(Some(bound))),
        unknown_or_beyond => seconds(unknown_or_beyond),
    }
}

/// A text between tags or in a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(
            [count(0.0), count(999.0), count(1_234_567.0), count(12_345_678.0)],
            ["0", "999", "1,234,567", "12.3 M"]
        );
        assert_eq!(count([0.0_f64; 0].iter().sum()), "0");
        assert_eq!([rate(None), rate(Some(0.0)), rate(Some(2.54)), rate(Some(1500.2))], ["–", "0", "2.5", "1,500"]);
        assert_eq!([seconds(Some(0.0005)), seconds(Some(0.025)), seconds(Some(600.0))], ["< 1 ms", "25 ms", "10 min"]);
    }

    #[test]
    fn a_percentile_is_told_as_a_bound() {
        assert_eq!([at_most(Some(0.025)), at_most(Some(f64::INFINITY)), at_most(None)], ["≤ 25 ms", "> 60 s", "–"]);
    }

    #[test]
    fn a_text_cannot_leave_its_place_in_the_page() {
        assert_eq!(escaped("<a href='x'>\"&"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;");
    }
}
