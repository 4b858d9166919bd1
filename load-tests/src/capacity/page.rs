//! The result as one page: the measured points, the fitted lines beside them, the tables. No script, no request.

use super::Capacity;
use super::tables;
use crate::report::html::STYLE;
use crate::report::svg::{Across, Chart, Line, Scale, escape};

/// The page.
pub(super) fn render(capacity: &Capacity) -> String {
    let charts: String = charts(capacity).iter().map(Chart::render).collect();
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>Capacity</title><style>{STYLE}</style><h1>Capacity</h1>{charts}<h2>Figures</h2><pre>{figures}</pre></html>\n",
        figures = escape(&tables::render(capacity)),
    )
}

fn charts(capacity: &Capacity) -> Vec<Chart> {
    let rate = |point: &super::point::Point| point.acknowledged_per_second;
    let line = |name: &str, of: &dyn Fn(&super::point::Point) -> Option<f64>| Line {
        name: name.to_owned(),
        points: capacity.points.iter().filter_map(|point| Some((rate(point), of(point)?))).collect(),
    };
    let mut cores = Vec::new();
    for (name, fitted) in capacity.stages.iter().take(MOST_STAGES) {
        cores.push(line(name, &|point| point.cores.get(name).copied()));
        cores.push(line(&format!("{name}, fitted"), &|point| Some(fitted.cores_at(rate(point)))));
    }
    let latencies = vec![
        line("p50", &|point| Some(point.p50_millis)),
        line("p99", &|point| Some(point.p99_millis)),
        line("shown by a usage query, p99", &|point| point.shown_p99_millis),
    ];
    let chart = |title: &str, unit: &str, scale, lines| Chart {
        title: title.into(),
        unit: unit.into(),
        scale,
        across: Across::EventsPerSecond,
        lines,
    };
    let pairs =
        cores.chunks(2).map(|pair| chart(&format!("Cores of {}", pair[0].name), "cores", Scale::Linear, pair.to_vec()));
    let mut charts: Vec<Chart> = pairs.collect();
    charts.push(chart("Latency", "ms", Scale::Logarithmic, latencies));
    charts
}

/// One chart each: more than these are not stages.
const MOST_STAGES: usize = 8;
