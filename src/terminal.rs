//! Progress bars and tables: one look for all commands. Bars go to standard error and hide themselves when it is no terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

fn styled(bar: ProgressBar, template: &str, name: &str) -> ProgressBar {
    // The templates are constants below; one that does not parse leaves the library's own look.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style).with_prefix(name.to_string())
}

/// A bar over the bytes of a file.
#[must_use]
pub fn byte_bar(name: &str, size: u64) -> ProgressBar {
    styled(ProgressBar::new(size), "{prefix} {wide_bar} {bytes}/{total_bytes} {msg} {eta}", name)
}

/// A counter of bytes whose end is not known.
#[must_use]
pub fn byte_counter(name: &str) -> ProgressBar {
    styled(ProgressBar::no_length(), "{prefix} {spinner} {bytes} {msg} {elapsed}", name)
}

/// A bar over counted things.
#[must_use]
pub fn count_bar(name: &str, count: u64) -> ProgressBar {
    styled(ProgressBar::new(count), "{prefix} {wide_bar} {human_pos}/{human_len} {msg} {eta}", name)
}

/// A table with these headings; columns listed in `numbers` are aligned to the right.
#[must_use]
pub fn table(headings: &[&str], numbers: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(headings.iter().copied());
    for column in numbers {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Cents as an amount with its currency, for people: `"123456"` in USD is `1,234.56 USD`. A text that is no decimal is shown as
/// it is.
#[must_use]
pub fn money(cents: &str, currency: &str) -> String {
    let exponent = currency.parse::<domain::money::Currency>().map_or(2, |known| known.exponent() as usize);
    let (sign, digits) = cents.strip_prefix('-').map_or(("", cents), |rest| ("-", rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return format!("{cents} cents {currency}");
    }
    let padded = format!("{whole:0>width$}", width = exponent + 1);
    let (units, minor) = padded.split_at(padded.len() - exponent);
    let point = if exponent + fraction.len() > 0 { "." } else { "" };
    format!("{sign}{}{point}{minor}{fraction} {currency}", grouped(units))
}

/// A decimal text with its whole part in groups of three digits.
#[must_use]
pub fn grouped(number: &str) -> String {
    let (whole, fraction) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut text = String::new();
    for (at, digit) in whole.chars().enumerate() {
        let left = whole.len() - at;
        if at > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cents_are_shown_in_their_currencys_own_decimals() {
        assert_eq!(money("123456789", "USD"), "1,234,567.89 USD");
        assert_eq!(money("5", "USD"), "0.05 USD");
        assert_eq!(money("-5", "USD"), "-0.05 USD");
        assert_eq!(money("1234", "JPY"), "1,234 JPY");
        assert_eq!(money("1234", "KWD"), "1.234 KWD");
        assert_eq!(money("12.5", "USD"), "0.125 USD");
        assert_eq!(money("?", "USD"), "? cents USD");
    }

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(grouped("22361870"), "22,361,870");
        assert_eq!(grouped("-999"), "-999");
        assert_eq!(grouped("-1000.5"), "-1,000.5");
    }
}
