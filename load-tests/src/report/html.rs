//! The result of a run as one page: no script, no request, readable in light and dark and on paper.

use super::result::RunResult;
use super::svg::{Across, Chart, Line, Scale, escape};
use super::table;
use crate::measure::exposition;
use crate::measure::ratio::{millis, share};
use crate::measure::timeline::Second;
use std::collections::BTreeMap;

/// Colours of lines keep their distance also for people who see red and green alike.
pub(crate) const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#d9dee4;--good:#1a7f37;--bad:#c0392b;\
--c0:#0b6bcb;--c1:#d9730d;--c2:#7a3eb1;--c3:#0f8a7e;--c4:#b3265e;--c5:#6b7280}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ee;--paper:#14171b;--faint:#343b44;--good:#4cc26b;--bad:#ff7b6b;\
--c0:#5aa9ff;--c1:#ffa657;--c2:#c297ff;--c3:#45d0c1;--c4:#ff7aa8;--c5:#a6adb8}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}\
figure{margin:2rem 0}figcaption{font-weight:600}svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--ink);opacity:.75}\
.grid{stroke:var(--faint)}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}\
.l0{stroke:var(--c0)}.l1{stroke:var(--c1)}.l2{stroke:var(--c2)}.l3{stroke:var(--c3)}.l4{stroke:var(--c4)}.l5{stroke:var(--c5)}\
.legend span{margin-right:1rem}.legend span::before{content:'';display:inline-block;width:1em;height:.25em;margin-right:.4em;\
vertical-align:middle;background:currentColor}\
.k0{color:var(--c0)}.k1{color:var(--c1)}.k2{color:var(--c2)}.k3{color:var(--c3)}.k4{color:var(--c4)}.k5{color:var(--c5)}\
pre{overflow-x:auto;line-height:1.25;font-size:12.5px}.holds{color:var(--good)}.differs{color:var(--bad)}";

/// The page.
#[must_use]
pub fn render(result: &RunResult) -> String {
    let verdict = match &result.audit {
        None => "<p>No audit was asked for.</p>",
        Some(audit) if audit.holds() => {
            "<p class=\"holds\"><b>Acknowledged = stored = rated: everything is accounted for.</b></p>"
        }
        Some(_) => "<p class=\"differs\"><b>Not everything is accounted for: see the list at the end.</b></p>",
    };
    let charts: String = charts(result).iter().map(Chart::render).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Load test {at}</title><style>{STYLE}</style><h1>Load test</h1><p>{url}, {at}</p>{verdict}{charts}\
         <h2>Figures</h2><pre>{figures}</pre></html>\n",
        at = escape(&result.asked.at),
        url = escape(&result.asked.url),
        figures = escape(&table::render(result)),
    )
}

fn charts(result: &RunResult) -> Vec<Chart> {
    let is_events = |name: &str| name.contains("lag") && !exposition::is_time(name) && !name.contains("records");
    vec![
        rates(result),
        latencies(result),
        freshness(result),
        lag(result, "Consumers behind the log, as /metrics tells", "events", is_events),
        lag(result, "Age of what consumers have not stored, as /metrics tells", "seconds", exposition::is_time),
        lag(result, "Waiting in memory, as /metrics tells", "bytes", |name| name.contains("bytes")),
        cpu(result),
    ]
}

fn rates(result: &RunResult) -> Chart {
    let by_second = |name: &str, of: fn(&Second) -> u64| Line {
        name: name.into(),
        points: every_second(&result.measured.summary.seconds, of),
    };
    let mut lines = vec![by_second("acknowledged", |second| second.tally.acknowledged)];
    if !result.asked.closed {
        lines.push(Line { name: "offered".into(), points: offered(result) });
    }
    let failed = by_second("refused or unknown", |second| second.tally.refused + second.tally.unknown);
    if failed.points.iter().any(|(_, events)| *events > 0.0) {
        lines.push(failed);
    }
    Chart { title: "Events".into(), unit: "per second".into(), scale: Scale::Linear, across: Across::Seconds, lines }
}

/// One point a second; a second without an answer is a 0, not a gap.
fn every_second(known: &[Second], of: fn(&Second) -> u64) -> Vec<(f64, f64)> {
    let last = known.last().map_or(0, |second| second.at + 1);
    let events = |at: u64| known.binary_search_by_key(&at, |second| second.at).map_or(0, |index| of(&known[index]));
    (0..last).map(|at| (seconds(at), count(events(at)))).collect()
}

/// Two points a segment: a staircase.
fn offered(result: &RunResult) -> Vec<(f64, f64)> {
    let mut start = std::time::Duration::ZERO;
    let mut points = Vec::new();
    for (length, rate) in &result.asked.segments {
        let end = start + *length;
        // A point a second as well: a line is broken where points are far apart.
        let within = (start.as_secs()..end.as_secs()).skip(1).map(seconds);
        let instants = std::iter::once(start.as_secs_f64()).chain(within).chain([end.as_secs_f64()]);
        points.extend(instants.map(|instant| (instant, count(*rate))));
        start = end;
    }
    points
}

fn latencies(result: &RunResult) -> Chart {
    let line = |name: &str, of: fn(&Second) -> u64| {
        let answered = result.measured.summary.seconds.iter().filter(|second| second.latency.count > 0);
        Line { name: name.into(), points: answered.map(|second| (seconds(second.at), millis(of(second)))).collect() }
    };
    let lines = vec![
        line("p50", |second| second.latency.p50),
        line("p90", |second| second.latency.p90),
        line("p99", |second| second.latency.p99),
    ];
    let title = if result.asked.closed { "Latency, from sending" } else { "Latency, from when due" };
    Chart { title: title.into(), unit: "ms".into(), scale: Scale::Logarithmic, across: Across::Seconds, lines }
}

fn freshness(result: &RunResult) -> Chart {
    let over_time = result.measured.freshness.iter().flat_map(|freshness| &freshness.over_time);
    let points: Vec<(f64, f64)> = over_time.map(|(at, latency)| (at.as_secs_f64(), millis(micros(*latency)))).collect();
    let lines = vec![Line { name: "one event at a time".into(), points }];
    Chart {
        title: "Acknowledged to shown by current_usage".into(),
        unit: "ms".into(),
        scale: Scale::Logarithmic,
        across: Across::Seconds,
        lines,
    }
}

fn lag(result: &RunResult, title: &str, unit: &str, wanted: fn(&str) -> bool) -> Chart {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in &result.measured.samples {
        for (name, value) in sample.lag.iter().filter(|(name, _)| wanted(name)) {
            lines.entry(name).or_default().push((sample.at.as_secs_f64(), *value));
        }
    }
    // Six colours: the series that reach highest.
    let highest = |points: &[(f64, f64)]| points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut ranked: Vec<Line> =
        lines.into_iter().map(|(name, points)| Line { name: name.to_owned(), points }).collect();
    ranked.sort_by(|a, b| highest(&b.points).total_cmp(&highest(&a.points)));
    ranked.truncate(6);
    Chart { title: title.into(), unit: unit.into(), scale: Scale::Logarithmic, across: Across::Seconds, lines: ranked }
}

/// CPU seconds a second by process, from neighbouring samples.
fn cpu(result: &RunResult) -> Chart {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for pair in result.measured.samples.windows(2) {
        let between = pair[1].at.saturating_sub(pair[0].at).as_secs_f64();
        for (name, cpu) in &pair[1].cpu {
            let earlier = pair[0].cpu.get(name).copied().unwrap_or_default();
            let cores = share(cpu.saturating_sub(earlier).as_secs_f64(), between).unwrap_or(0.0);
            lines.entry(name).or_default().push((pair[1].at.as_secs_f64(), cores));
        }
    }
    let lines = lines.into_iter().map(|(name, points)| Line { name: name.to_owned(), points }).collect();
    Chart {
        title: "CPU of the system".into(),
        unit: "cores".into(),
        scale: Scale::Linear,
        across: Across::Seconds,
        lines,
    }
}

#[expect(clippy::cast_precision_loss, reason = "plotted: 53 bits are more than a screen shows")]
fn count(number: u64) -> f64 {
    number as f64
}

fn seconds(second: u64) -> f64 {
    count(second)
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
