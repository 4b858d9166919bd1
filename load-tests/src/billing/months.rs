//! Whole calendar months that have ended, in UTC.

use domain::time::{MICROS_PER_SECOND, Timestamp};

const DAY_MICROS: i64 = 86_400 * MICROS_PER_SECOND;

/// The boundaries of the last `count` whole months: `count + 1` instants, the last of them the beginning of the current month.
pub(super) fn whole_months_before(now: Timestamp, count: u32) -> Vec<Timestamp> {
    let mut boundaries = vec![beginning_of_month(now)];
    for _ in 0..count {
        // A day before a month's first lies in the month before.
        let day_before = boundaries.last().map_or(now, |first| Timestamp(first.0 - DAY_MICROS));
        boundaries.push(beginning_of_month(day_before));
    }
    boundaries.reverse();
    boundaries
}

fn beginning_of_month(at: Timestamp) -> Timestamp {
    let text = at.to_string();
    // Made of a year and month that were printed.
    Timestamp::parse(&format!("{}-01T00:00:00Z", &text[..7])).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_end_where_the_next_begins_also_at_the_turn_of_the_year() {
        let found = whole_months_before(Timestamp::parse("2026-02-23T06:00:00Z").unwrap(), 3);
        let found: Vec<String> = found.iter().map(|at| at.to_string()[..10].to_owned()).collect();
        assert_eq!(found, ["2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"]);
    }
}
