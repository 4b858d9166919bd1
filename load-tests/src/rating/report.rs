//! All sizes, for people and programs.

use crate::measure::latency::Percentiles;
use crate::measure::ratio::{cpu_per_million, per_second, share};
use crate::report::table::table;
use crate::report::text::{figure, grouped, micros, span};
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// Everything measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) sizes: Vec<Size>,
}

/// One store.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    /// Sent, with repeats and losers.
    pub(super) events: u64,
    pub(super) written: Duration,
    /// Of the table of events, as it was inserted.
    pub(super) parts: u64,
    pub(super) fees: u64,
    pub(super) first: Duration,
    pub(super) best: Duration,
    pub(super) by_hand: Duration,
    /// Cores that all others kept busy meanwhile.
    pub(super) others_cores: f64,
    pub(super) what_if: Duration,
    pub(super) merged_parts: u64,
    pub(super) alone: Percentiles,
    pub(super) alone_by_hand: Percentiles,
    pub(super) problems: Vec<String>,
}

/// A line about what is not as expected.
pub(super) fn check<T: PartialEq + Display>(what: &str, wanted: &T, found: &T) -> Option<String> {
    (wanted != found).then(|| format!("{what}: {wanted} expected, {found} found"))
}

impl Report {
    /// Whether every event was rated once, in every store.
    pub(super) fn holds(&self) -> bool {
        self.sizes.iter().all(|size| size.problems.is_empty())
    }

    pub(super) fn table(&self) -> String {
        let header = [
            "events",
            "written",
            "parts",
            "fees",
            "first",
            "best of three",
            "µs an event",
            "by hand",
            "of by hand",
            "others' cores",
            "what-if, ten charges",
        ];
        let mut everything = table(&header);
        let mut alone = table(&["one among all", "parts", "p50", "p99", "by hand p50", "p99"]);
        for size in &self.sizes {
            // Seconds per million events are microseconds an event.
            let an_event = cpu_per_million(size.best, size.events).map_or_else(|| "–".to_owned(), figure);
            let ratio = share(size.best.as_secs_f64(), size.by_hand.as_secs_f64());
            everything.add_row([
                grouped(size.events),
                format!("{}/s", figure(per_second(size.events, size.written))),
                grouped(size.parts),
                grouped(size.fees),
                span(size.first),
                span(size.best),
                an_event,
                span(size.by_hand),
                ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{} ×", figure(ratio))),
                figure(size.others_cores),
                span(size.what_if),
            ]);
            let (ours, hand) = (&size.alone, &size.alone_by_hand);
            let row = [ours.p50, ours.p99, hand.p50, hand.p99].map(micros);
            alone.add_row([grouped(size.events), grouped(size.merged_parts)].into_iter().chain(row));
        }
        let problems: Vec<String> = self.sizes.iter().flat_map(|size| size.problems.clone()).collect();
        let verdict = if problems.is_empty() {
            "Every event that was sent is in a fee, once, to the last digit.".to_owned()
        } else {
            problems.join("\n")
        };
        format!("{everything}\n{alone}\n{verdict}")
    }
}
