//! The result of a run on the terminal.

use super::result::RunResult;
use super::text::{bytes, figure, grouped, micros, span};
use crate::audit::report::AuditReport;
use crate::measure::latency::Percentiles;
use comfy_table::{Cell, CellAlignment, Table, presets};

/// All tables of a run, ready to print.
#[must_use]
pub fn render(result: &RunResult) -> String {
    let mut parts = vec![headline(result), phases(result).to_string(), costs(result).to_string()];
    if let Some(freshness) = &result.measured.freshness {
        parts.push(format!("Acknowledged to shown by current_usage: {}", percentiles(&freshness.latency)));
        parts.push(format!("current_usage answered in: {}", percentiles(&freshness.answers)));
        parts.extend(freshness.error.as_ref().map(|error| format!("The freshness probe ended early: {error}")));
    }
    parts.extend(reasons(result));
    parts.extend(result.audit.as_ref().map(audit));
    parts.join("\n\n")
}

/// A table with a header and figures to the right of its first column.
#[must_use]
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn headline(result: &RunResult) -> String {
    let (asked, total) = (&result.asked, &result.measured.summary.total);
    let loop_ = if asked.closed { "closed loop".to_owned() } else { format!("{} events/s", grouped(asked.rate)) };
    let mut text = format!(
        "{:?} · {loop_} · {} · batches of {} · {} connections · {}\n{} events acknowledged ({} new, {} known), {} refused, \
         {} unknown; {} events/s; {} sent, {} retries",
        asked.profile,
        span(asked.duration),
        grouped(asked.batch),
        asked.senders,
        if asked.echo { "events echoed" } else { "return=minimal" },
        grouped(total.acknowledged),
        grouped(total.ingested),
        grouped(total.duplicates),
        grouped(total.refused),
        grouped(total.unknown),
        figure(result.measured.acknowledged_per_second()),
        bytes(total.bytes),
        grouped(total.retries),
    );
    if let Some(held) = result.held() {
        let p99 = micros(held.latency.p99);
        text.push_str(&format!(
            "\nHeld: {} events/s, p99 {p99} (98 % of the offered, p99 up to 1 s)",
            grouped(held.offered)
        ));
    }
    if result.measured.saturated {
        text.push_str("\nSaturated: requests went out more than 2 s after they were due; the run ended there.");
    }
    text
}

fn phases(result: &RunResult) -> Table {
    let mut phases = table(&["phase", "offered/s", "acknowledged/s", "p50", "p90", "p99", "p99.9", "max"]);
    for phase in result.phases() {
        let offered = if result.asked.closed { "–".to_owned() } else { grouped(phase.offered) };
        let latency = &phase.latency;
        let mut row = vec![span(phase.start), offered, figure(phase.acknowledged)];
        row.extend([latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(micros));
        phases.add_row(row);
    }
    let late = &result.measured.summary.lateness;
    phases.add_row(vec![
        Cell::new("sent late by"),
        Cell::new(""),
        Cell::new(""),
        Cell::new(micros(late.p50)),
        Cell::new(micros(late.p90)),
        Cell::new(micros(late.p99)),
        Cell::new(micros(late.p999)),
        Cell::new(micros(late.max)),
    ]);
    phases
}

fn costs(result: &RunResult) -> Table {
    let mut costs = table(&["process", "CPU", "CPU s per million events", "peak memory"]);
    for (name, (cpu, per_million)) in result.measured.cpu_per_million() {
        let peak = result.measured.spent.peak_resident_bytes.get(&name).copied();
        costs.add_row([
            name,
            span(cpu),
            per_million.map_or_else(|| "–".into(), figure),
            peak.map_or_else(|| "–".into(), bytes),
        ]);
    }
    costs
}

fn reasons(result: &RunResult) -> Option<String> {
    let reasons = &result.measured.summary.reasons;
    let lines: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{:>9} × {reason}", grouped(*count))).collect();
    (!lines.is_empty()).then(|| format!("Attempts that failed:\n{}", lines.join("\n")))
}

fn percentiles(latency: &Percentiles) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, max {} ({} probes)",
        micros(latency.p50),
        micros(latency.p90),
        micros(latency.p99),
        micros(latency.max),
        latency.count
    )
}

/// The tables of an audit, ready to print.
#[must_use]
pub fn audit(report: &AuditReport) -> String {
    let mut checks = table(&["audit", "expected", "found", ""]);
    for check in &report.checks {
        let verdict = if check.holds { "✓" } else { "✗ DIFFERS" };
        checks.add_row([check.what.as_str(), &check.expected, &check.found, verdict]);
    }
    let mut parts = vec![checks.to_string()];
    parts.push(format!(
        "{} customers and {} single events compared; of events with unknown outcome {} are stored, {} are not; {}",
        grouped(report.customers),
        grouped(report.samples),
        grouped(report.unknown_stored),
        grouped(report.unknown_absent),
        report
            .settled_after
            .map_or("the store never caught up".to_owned(), |time| format!("caught up after {}", span(time))),
    ));
    if !report.discrepancies.is_empty() {
        let mut rows = table(&["not accounted for", "customer", "event", "what is known"]);
        for one in &report.discrepancies {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            rows.add_row([
                format!("{:?}", one.fault),
                text(&one.customer),
                text(&one.transaction_id),
                one.detail.clone(),
            ]);
        }
        for column in rows.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Left);
        }
        parts.push(rows.to_string());
    }
    parts.push(match (report.holds(), report.discrepancies_total) {
        (true, _) => "Acknowledged = stored = rated: everything is accounted for.".to_owned(),
        (false, count) => format!("NOT everything is accounted for: {} discrepancies.", grouped(count)),
    });
    parts.join("\n")
}
