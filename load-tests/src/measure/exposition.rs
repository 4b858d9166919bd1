//! Reads the text a `/metrics` page answers, as far as a load test wants it.

use std::collections::BTreeMap;

/// Series by name with labels, as the page spells them, e.g. `tollgate_lag_events{partition="0"}`.
pub type Series = BTreeMap<String, f64>;

/// Parts of names that tell how far the system is behind its input.
const TELLING: [&str; 5] = ["lag", "unacknowledged", "behind", "queue", "backlog"];
/// Ends of names of histograms' parts: sums over all time, which tell nothing of now.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// All series of a page; lines that are no sample are skipped.
#[must_use]
pub fn parse(page: &str) -> Series {
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// `name{label="a b"} value [timestamp]`: labels may hold blanks, so the name ends after the closing brace.
fn sample(line: &str) -> Option<(String, f64)> {
    let end = line.rfind('}').map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    let (name, rest) = line.split_at(end);
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some((name.trim().to_owned(), value))
}

/// The series of several processes as one: what is counted adds up, of times the longest stands.
#[must_use]
#[expect(clippy::float_arithmetic, reason = "a sum of readings")]
pub fn combined(pages: impl IntoIterator<Item = Series>) -> Series {
    let mut all = Series::new();
    for (name, value) in pages.into_iter().flatten() {
        let is_time = is_time(&name);
        all.entry(name)
            .and_modify(|seen| *seen = if is_time { seen.max(value) } else { *seen + value })
            .or_insert(value);
    }
    all
}

/// The series that show lag, without labels: what is counted adds up over them, of times the longest stands.
#[must_use]
pub fn telling(series: &Series) -> Series {
    let base = |name: &str| name.split('{').next().unwrap_or_default().to_owned();
    let named = series.iter().map(|(name, value)| (base(name), *value));
    let tells =
        |name: &str| TELLING.iter().any(|part| name.contains(part)) && !PARTS.iter().any(|end| name.ends_with(end));
    combined(named.filter(|(name, _)| tells(name)).map(|one| Series::from([one])))
}

/// Whether a series, named with its unit as all of ours are, is of seconds that pass, not of seconds added up.
#[must_use]
pub fn is_time(name: &str) -> bool {
    name.split('{').next().is_some_and(|base| base.ends_with("_seconds"))
}

/// CPU seconds of the process that serves the page, where it says so.
#[must_use]
pub fn cpu_seconds(series: &Series) -> Option<f64> {
    let name = |name: &&String| name.split('{').next() == Some("process_cpu_seconds_total");
    series.iter().find(|(key, _)| name(key)).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP tollgate_lag_events Behind.\n# TYPE tollgate_lag_events gauge\n\
        tollgate_lag_events{topic=\"a b\",partition=\"0\"} 12\n\
        process_cpu_seconds_total 3.25 1700000000\n\
        tollgate_freshness_seconds_bucket{le=\"1\"} 4\n\nnonsense\n";

    #[test]
    fn samples_are_read_with_labels_that_hold_blanks() {
        let series = parse(PAGE);
        assert_eq!(series.get("tollgate_lag_events{topic=\"a b\",partition=\"0\"}"), Some(&12.0));
        assert_eq!(cpu_seconds(&series), Some(3.25));
        assert_eq!(series.len(), 3);
    }

    #[test]
    fn only_series_that_tell_of_lag_are_plotted() {
        let telling = telling(&parse(PAGE));
        assert_eq!(telling, Series::from([("tollgate_lag_events".to_owned(), 12.0)]));
    }

    #[test]
    fn of_several_processes_events_add_up_and_the_longest_time_stands() {
        let page = |events: f64, seconds: f64| {
            Series::from([("lag_events{p=\"0\"}".to_owned(), events), ("lag_seconds".to_owned(), seconds)])
        };
        let both = telling(&combined([page(3.0, 0.5), page(4.0, 0.25)]));
        assert_eq!(both, Series::from([("lag_events".to_owned(), 7.0), ("lag_seconds".to_owned(), 0.5)]));
    }
}
