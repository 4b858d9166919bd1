//! Reads the text a `/metrics` page answers, as far as a load test wants it.

use std::collections::BTreeMap;

/// Series by name with labels, as the page spells them, e.g. `tollgate_lag_events{partition="0"}`.
pub type Series = BTreeMap<String, f64>;

/// Parts of names that tell how far the system is behind its input.
const TELLING: [&str; 5] = ["lag", "freshness", "behind", "queue", "backlog"];

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

/// The series that show lag or freshness, histograms' buckets left out.
#[must_use]
pub fn telling(series: &Series) -> Series {
    let telling = |name: &str| TELLING.iter().any(|part| name.contains(part)) && !name.contains("_bucket");
    series.iter().filter(|(name, _)| telling(name)).map(|(name, value)| (name.clone(), *value)).collect()
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
        assert_eq!(telling.len(), 1);
    }
}
