//! The result on the terminal.
#![expect(clippy::float_arithmetic, reason = "shares as per cents, for people")]

use super::Capacity;
use super::sizing::{Range, Sizing};
use crate::report::table::table;
use crate::report::text::{figure, grouped};
use rust_decimal::Decimal;

/// All of it, ready to print.
pub(super) fn render(capacity: &Capacity) -> String {
    let mut parts = vec![
        "Measured".to_owned(),
        points(capacity),
        "Fitted: cores = idle + cost × rate".to_owned(),
        stages(capacity),
        knee(capacity),
        format!("Needed, by {} (from least to most; – where a stage or a disk was not watched)", "the prices file"),
        sizings(capacity),
        "It assumes:".to_owned(),
    ];
    parts.extend(capacity.assumptions.iter().map(|text| format!("- {text}")));
    parts.join("\n")
}

fn points(capacity: &Capacity) -> String {
    let mut table = table(&[
        "offered/s",
        "acknowledged/s",
        "held",
        "p50",
        "p99",
        "shown p99",
        "in flight",
        "cores, all stages",
        "generator",
    ]);
    for point in &capacity.points {
        table.add_row(vec![
            grouped(point.offered_per_second),
            figure(point.acknowledged_per_second),
            if point.held { "yes".into() } else { "no".into() },
            format!("{} ms", figure(point.p50_millis)),
            format!("{} ms", figure(point.p99_millis)),
            point.shown_p99_millis.map_or_else(|| "–".into(), |millis| format!("{} ms", figure(millis))),
            figure(point.in_flight),
            figure(point.cores.values().sum()),
            figure(point.generator_cores),
        ]);
    }
    table.to_string()
}

fn stages(capacity: &Capacity) -> String {
    let mut table = table(&["stage", "idle, cores", "µs an event", "from", "to", "worst error", "peak memory, MiB"]);
    for (name, line) in &capacity.stages {
        let peak = capacity.points.iter().filter_map(|point| point.peak_resident_bytes.get(name)).max();
        table.add_row(vec![
            name.clone(),
            figure(line.idle_cores),
            figure(line.micros()),
            figure(line.per_event_low * 1e6),
            figure(line.per_event_high * 1e6),
            format!("{} %", figure(line.worst_error * 100.0)),
            peak.map_or_else(|| "–".into(), |bytes| grouped(bytes >> 20)),
        ]);
    }
    let mut lines =
        vec![table.to_string(), format!("Network, bodies: {} bytes an event", figure(capacity.network_bytes))];
    lines.extend(
        capacity.disk_bytes.iter().map(|(label, bytes)| format!("Disk, {label}: {} bytes an event", figure(*bytes))),
    );
    lines.join("\n")
}

fn knee(capacity: &Capacity) -> String {
    let share = capacity.prices.headroom() * 100.0;
    let used = match capacity.knee_events_per_second {
        Some(rate) => {
            format!("{share:.0} % of {} cores are in use at {} events/s", capacity.machine_cores, figure(rate))
        }
        None => "no stage costs anything: nothing is said about utilization".into(),
    };
    let Some(law) = &capacity.scalability else {
        return format!("Knee: {used}. Too few points for the universal scalability law.");
    };
    let most = match (law.most_per_second, law.best_in_flight) {
        (Some(most), Some(best)) => format!(
            "greatest at {} requests at a time: {} requests/s of {} events",
            figure(best),
            figure(most),
            grouped(capacity.batch)
        ),
        (Some(most), None) => {
            format!("rising towards {} requests/s of {} events", figure(most), grouped(capacity.batch))
        }
        (None, _) => "no limit shows in these points".into(),
    };
    format!(
        "Knee: {used}. Universal scalability law: σ {:.4}, κ {:.6}, worst error {} %; {most}.",
        law.sigma,
        law.kappa,
        figure(law.worst_error * 100.0)
    )
}

fn sizings(capacity: &Capacity) -> String {
    let money = format!("{} a month", capacity.prices.currency);
    let mut table = table(&[
        "events/s at peak",
        "partitions",
        "gateways",
        "brokers",
        "aggregators",
        "shards",
        "disk, GB",
        money.as_str(),
    ]);
    for sizing in &capacity.sizings {
        table.add_row(vec![
            grouped(sizing.events_per_second),
            grouped(sizing.partitions),
            range(sizing.gateways),
            range(sizing.brokers),
            range(sizing.aggregators),
            range(sizing.shards),
            sizing.disk_gigabytes.map_or_else(|| "–".into(), grouped),
            monthly(sizing),
        ]);
    }
    table.to_string()
}

fn range(range: Option<Range>) -> String {
    match range {
        None => "–".into(),
        Some(Range { low, high }) if low == high => grouped(low),
        Some(Range { low, high }) => format!("{}–{}", grouped(low), grouped(high)),
    }
}

fn monthly(sizing: &Sizing) -> String {
    let whole = |amount: Decimal| amount.round().to_string();
    match (sizing.monthly_low, sizing.monthly_high) {
        (Some(low), Some(high)) if low == high => whole(low),
        (Some(low), Some(high)) => format!("{}–{}", whole(low), whole(high)),
        _ => "–".into(),
    }
}
