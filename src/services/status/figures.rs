//! What the process's own metrics say, now and over the last minutes: sums, rates, quantiles.
//!
//! It reads the text that `/metrics` serves, so the page and the dashboards cannot disagree. A series that was never touched is absent:
//! a counter is 0 then, a gauge unknown.

// Rates and durations for a picture; nothing is billed by them.
#![allow(clippy::float_arithmetic)]

use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Five minutes of them.
const LOOKS_KEPT: usize = 60;
/// A rate is over the last three looks: one alone jumps with each commit.
const LOOKS_IN_A_RATE: usize = 3;

/// All series at one instant.
pub(super) struct Look {
    at: Instant,
    series: BTreeMap<String, f64>,
}

impl Look {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with("tollgate_") && !line.starts_with("tollgate_http_"));
        let series = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_string(), value.parse().ok()?))
        });
        Self { at: Instant::now(), series: series.collect() }
    }

    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        let same = move |(series, _): &(&'a String, &'a f64)| {
            series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'))
        };
        self.series
            .range(name.to_string()..)
            .take_while(move |(series, _)| series.starts_with(name))
            .filter(same)
            .map(|(series, value)| (series.as_str(), *value))
    }

    fn sum(&self, name: &str) -> f64 {
        self.of(name).map(|(_, value)| value).sum()
    }
}

fn label<'a>(series: &'a str, label: &str) -> Option<&'a str> {
    let (_, rest) = series.split_once(&format!("{label}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// The looks of the last minutes.
pub(super) struct History {
    handle: Option<PrometheusHandle>,
    looks: Mutex<VecDeque<Arc<Look>>>,
}

impl History {
    /// Looks every few seconds, for as long as somebody holds it.
    pub(super) fn start(handle: Option<PrometheusHandle>) -> Arc<Self> {
        let history = Arc::new(Self { handle, looks: Mutex::default() });
        tokio::spawn(keep_looking(Arc::downgrade(&history)));
        history
    }

    fn look(&self) {
        let Some(handle) = &self.handle else { return };
        let look = Arc::new(Look::read(&handle.render()));
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(look);
        if looks.len() > LOOKS_KEPT {
            looks.pop_front();
        }
    }

    /// Everything known now.
    pub(super) fn figures(&self) -> Figures {
        let looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        Figures { looks: looks.iter().cloned().collect() }
    }
}

async fn keep_looking(history: Weak<History>) {
    while let Some(history) = history.upgrade() {
        history.look();
        drop(history);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The looks, oldest first.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) looks: Vec<Arc<Look>>,
}

impl Figures {
    /// Since the process started.
    pub(super) fn total(&self, name: &str) -> f64 {
        self.looks.last().map_or(0.0, |look| look.sum(name))
    }

    /// Unknown until it was set once.
    pub(super) fn gauge(&self, name: &str) -> Option<f64> {
        self.looks.last()?.of(name).next().map(|(_, value)| value)
    }

    /// Totals by a label, largest first.
    pub(super) fn by(&self, name: &str, by: &str) -> Vec<(String, f64)> {
        let Some(look) = self.looks.last() else { return Vec::new() };
        let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
        for (series, value) in look.of(name) {
            *totals.entry(label(series, by).unwrap_or("–")).or_default() += value;
        }
        let mut totals: Vec<_> = totals.into_iter().map(|(reason, value)| (reason.to_string(), value)).collect();
        totals.sort_by(|one, other| other.1.total_cmp(&one.1));
        totals
    }

    fn window(&self) -> Option<(&Look, &Look)> {
        let last = self.looks.last()?;
        let first = self.looks.get(self.looks.len().saturating_sub(LOOKS_IN_A_RATE))?;
        (last.at > first.at).then_some((first.as_ref(), last.as_ref()))
    }

    /// A second, over the last looks; unknown before the second look.
    pub(super) fn rate(&self, name: &str) -> Option<f64> {
        self.window().map(|(first, last)| rate_between(first, last, name))
    }

    /// What was added over the last looks.
    pub(super) fn lately(&self, name: &str) -> f64 {
        self.window().map_or(0.0, |(first, last)| (last.sum(name) - first.sum(name)).max(0.0))
    }

    /// The rate between each two looks, oldest first.
    pub(super) fn rates(&self, name: &str) -> Vec<f64> {
        self.looks.windows(2).map(|pair| rate_between(&pair[0], &pair[1], name)).collect()
    }

    /// The bucket that holds the 99th percentile of the last looks; of all, when nothing was measured lately.
    pub(super) fn p99_seconds(&self, name: &str) -> Option<f64> {
        let last = self.looks.last()?;
        let buckets = format!("{name}_bucket");
        let upper = |series: &str| match label(series, "le") {
            Some("+Inf") => Some(f64::INFINITY),
            Some(bound) => bound.parse::<f64>().ok(),
            None => None,
        };
        let before = self.window().map(|(first, _)| first).filter(|_| self.lately(&format!("{name}_count")) > 0.0);
        let mut counts: Vec<(f64, f64)> = Vec::new();
        for (series, value) in last.of(&buckets) {
            let earlier = before.and_then(|look| look.series.get(series)).copied().unwrap_or_default();
            let Some(bound) = upper(series) else { continue };
            match counts.iter_mut().find(|(known, _)| known.total_cmp(&bound).is_eq()) {
                Some((_, count)) => *count += value - earlier,
                None => counts.push((bound, value - earlier)),
            }
        }
        counts.sort_by(|one, other| one.0.total_cmp(&other.0));
        let all = counts.last()?.1;
        counts.iter().find(|(_, count)| all > 0.0 && *count >= all * 0.99).map(|(bound, _)| *bound)
    }
}

fn rate_between(first: &Look, last: &Look, name: &str) -> f64 {
    let seconds = last.at.duration_since(first.at).as_secs_f64();
    if seconds > 0.0 { (last.sum(name) - first.sum(name)).max(0.0) / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(texts: &[&str]) -> Figures {
        let start = Instant::now();
        let look = |(second, text): (u64, &&str)| {
            Arc::new(Look { at: start + Duration::from_secs(second * 10), ..Look::read(text) })
        };
        Figures { looks: (0..).zip(texts).map(look).collect() }
    }

    #[test]
    fn a_rate_is_what_was_added_by_the_seconds_between() {
        let figures = figures(&["tollgate_x_total 5", "tollgate_x_total 25", "tollgate_x_total 105"]);
        assert_eq!(figures.rate("tollgate_x_total"), Some(5.0));
        assert_eq!(figures.rates("tollgate_x_total"), [2.0, 8.0]);
        assert_eq!(figures.rate("tollgate_never_touched_total"), Some(0.0));
    }

    #[test]
    fn a_name_that_another_begins_with_is_not_counted_with_it() {
        let figures =
            figures(&["tollgate_x_total{reason=\"a\"} 2\ntollgate_x_total{reason=\"b\"} 3\ntollgate_x_total_of 7"]);
        assert_eq!(figures.total("tollgate_x_total"), 5.0);
        assert_eq!(figures.by("tollgate_x_total", "reason"), [("b".to_string(), 3.0), ("a".to_string(), 2.0)]);
        assert_eq!(figures.gauge("tollgate_x"), None);
    }

    #[test]
    fn the_percentile_is_of_the_last_looks_only() {
        let text = |fast: u32, slow: u32| {
            format!(
                "tollgate_t_seconds_bucket{{le=\"0.1\"}} {fast}\ntollgate_t_seconds_bucket{{le=\"1\"}} {all}\n\
                 tollgate_t_seconds_bucket{{le=\"+Inf\"}} {all}\ntollgate_t_seconds_count {all}",
                all = fast + slow
            )
        };
        let figures = figures(&[&text(0, 100), &text(100, 100)]);
        assert_eq!(figures.p99_seconds("tollgate_t_seconds"), Some(0.1));
        let before = Figures { looks: figures.looks[..1].to_vec() };
        assert_eq!(before.p99_seconds("tollgate_t_seconds"), Some(1.0));
    }
}
