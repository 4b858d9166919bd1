//! All rounds and pages, for people and programs.

use super::follow::Followed;
use super::oracle::Expected;
use super::pages::Page;
use crate::measure::ratio::{per_second, share};
use crate::report::table::table;
use crate::report::text::{bytes, figure, grouped, micros, span};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    database: &'static str,
    pub(super) rounds: Vec<Round>,
    pub(super) pages: Vec<Page>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    subscriptions: u32,
    periods: u32,
    dry_run: bool,
    with_credits: bool,
    events: u64,
    invoices: u64,
    took: Duration,
    per_second: f64,
    by_status: BTreeMap<String, Duration>,
    peak_resident_bytes: BTreeMap<String, u64>,
    cpu: BTreeMap<String, Duration>,
    others_cores: f64,
    problems: Vec<String>,
}

impl Round {
    pub(super) fn of(
        (subscriptions, periods): (u32, u32),
        with_credits: bool,
        expected: &Expected,
        followed: &Followed,
    ) -> Self {
        let run = &followed.run;
        let mut problems = Vec::new();
        let mut compare = |what: &str, wanted: String, found: String| {
            if wanted != found {
                problems.push(format!("{what}: {wanted} expected, {found} found"));
            }
        };
        let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        compare("status", "completed".into(), plain(&run["status"]));
        compare("invoices", expected.invoices.to_string(), plain(&run["invoices_created"]));
        compare("cents", expected.total_cents.to_string(), plain(&run["total_cents"]["USD"]));
        let invoices = run["invoices_created"].as_u64().unwrap_or_default();
        Self {
            subscriptions,
            periods,
            dry_run: run["dry_run"] == true,
            with_credits,
            events: expected.events,
            invoices,
            took: followed.took,
            per_second: per_second(invoices, followed.took),
            by_status: followed.by_status.clone(),
            peak_resident_bytes: followed.peaks.clone(),
            cpu: followed.cpu.clone(),
            others_cores: followed.others,
            problems,
        }
    }
}

impl Round {
    fn kind(&self) -> &'static str {
        match (self.dry_run, self.with_credits) {
            (true, _) => " (dry run)",
            (_, true) => " (credits)",
            _ => "",
        }
    }
}

impl Report {
    pub(super) fn new(database: &'static str) -> Self {
        Self { database, rounds: Vec::new(), pages: Vec::new() }
    }

    /// Whether everything was billed, to the cent.
    pub(super) fn holds(&self) -> bool {
        self.rounds.iter().all(|round| round.problems.is_empty())
    }

    pub(super) fn table(&self) -> String {
        let header = [
            "subscriptions",
            "months",
            "events",
            "invoices",
            "took",
            "invoices/s",
            "rating",
            "writing",
            "peak memory",
            "CPU",
            "others' cores",
        ];
        let mut rounds = table(&header);
        for round in &self.rounds {
            let status = |name: &str| round.by_status.get(name).map_or_else(|| "–".to_owned(), |time| span(*time));
            let by_process = |lines: Vec<String>| lines.join("\n");
            rounds.add_row([
                grouped(round.subscriptions.into()),
                format!("{}{}", grouped(round.periods.into()), round.kind()),
                grouped(round.events),
                grouped(round.invoices),
                span(round.took),
                figure(round.per_second),
                status("rating"),
                status("invoicing"),
                by_process(
                    round.peak_resident_bytes.iter().map(|(name, size)| format!("{name} {}", bytes(*size))).collect(),
                ),
                by_process(round.cpu.iter().map(|(name, time)| format!("{name} {}", span(*time))).collect()),
                figure(round.others_cores),
            ]);
        }
        let mut pages = table(&["page of the list", "matching", "p50", "p99"]);
        for page in &self.pages {
            let latency = &page.latency;
            pages.add_row([page.what.to_owned(), grouped(page.among), micros(latency.p50), micros(latency.p99)]);
        }
        let credits: String = self.cost_of_credits().into_iter().map(|line| format!("{line}\n")).collect();
        let verdict: Vec<String> = self.rounds.iter().flat_map(|round| round.problems.clone()).collect();
        let verdict =
            if verdict.is_empty() { "Every invoice is there, to the cent.".to_owned() } else { verdict.join("\n") };
        format!("Ledger on {}\n{rounds}\n{pages}\n{credits}{verdict}", self.database)
    }

    /// An invoice's share of a run with credits, against that of the run before it.
    fn cost_of_credits(&self) -> Vec<String> {
        let runs = self.rounds.iter().filter(|round| !round.dry_run).collect::<Vec<_>>();
        let told = runs.windows(2).filter(|pair| pair[1].with_credits).filter_map(|pair| {
            // As much slower as it is more expensive.
            let ratio = share(pair[0].per_second, pair[1].per_second)?;
            let subscriptions = grouped(pair[1].subscriptions.into());
            Some(format!("{subscriptions} subscriptions: credits of each tenth cost {ratio:.2} times as much"))
        });
        told.collect()
    }
}
