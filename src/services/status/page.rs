//! The page's HTML: one document, style and pictures inside, readable also as plain text.

// Coordinates of a picture.
#![allow(clippy::float_arithmetic)]

use super::Runs;
use super::figures::Figures;
use super::stages::{Health, Stage};
use super::words::{count, escaped};
use crate::services::purpose::{Purpose, Service};
use invoicer::{RunRecord, RunStatus};
use std::fmt::Write;
use std::time::Duration;

const STYLE: &str = include_str!("style.css");

/// Why events were not billed as they were sent: title, metric, label.
const SET_ASIDE: [(&str, &str, &str); 3] = [
    ("Refused by the gateway", "tollgate_gateway_events_refused_total", "reason"),
    ("Repeats found by the store", "tollgate_store_repeats_total", "kind"),
    ("Dead letters", "tollgate_aggregator_dead_letters_total", "reason"),
];

/// Everything on the page.
pub(super) struct Page<'a> {
    pub(super) purpose: Purpose,
    pub(super) up_for: Duration,
    pub(super) now: String,
    pub(super) stages: &'a [Stage],
    pub(super) problems: &'a [(&'static str, String)],
    pub(super) figures: &'a Figures,
    pub(super) runs: &'a Runs,
}

impl Page<'_> {
    pub(super) fn drawn(&self) -> String {
        format!(
            "<!doctype html><html lang=en><head><meta charset=utf-8><meta http-equiv=refresh content=5>\
             <meta name=viewport content='width=device-width,initial-scale=1'><meta name=color-scheme content='light dark'>\
             <title>{word} · Tollgate</title><style>{STYLE}</style></head><body>{header}<main>{problems}\
             <section aria-label=Pipeline><ol class=pipeline>{stages}</ol></section>\
             <div class=columns>{aside}{runs}</div></main><footer>Rates are of the last 10 seconds, percentiles too where \
             something was measured in them, the curves of the last 5 minutes, other figures since this process started. <a href=/metrics>Metrics</a> · \
             <a href=/readyz>Readiness</a></footer></body></html>",
            word = self.word(),
            header = self.header(),
            problems = self.told_problems(),
            stages = self.stages.iter().map(stage).collect::<String>(),
            aside = self.set_aside(),
            runs = self.told_runs(),
        )
    }

    fn word(&self) -> &'static str {
        if self.problems.is_empty() { "Ready" } else { "Not ready" }
    }

    fn header(&self) -> String {
        let service = match self.purpose {
            Purpose::Everything | Purpose::Command => "all services",
            Purpose::One(Service::Gateway) => "gateway",
            Purpose::One(Service::Aggregator) => "aggregator",
            Purpose::One(Service::Rater) => "rater",
            Purpose::One(Service::Api) => "api",
        };
        let minutes = self.up_for.as_secs() / 60;
        let up_for = match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, hours, _) => format!("{days} d {hours} h"),
        };
        let class = if self.problems.is_empty() { "good" } else { "stands" };
        format!(
            "<header><h1>Tollgate</h1><span class='pill {class}'>{word}</span><p>{service} · version {version} · up {up_for} · \
             <time>{now}</time></p></header>",
            word = self.word(),
            version = env!("CARGO_PKG_VERSION"),
            now = escaped(&self.now),
        )
    }

    fn told_problems(&self) -> String {
        if self.problems.is_empty() {
            return String::new();
        }
        let told = |(part, problem): &(&str, String)| format!("<li><b>{}</b> {}</li>", escaped(part), escaped(problem));
        let items: String = self.problems.iter().map(told).collect();
        format!("<section class=problems><h2>No progress</h2><ul>{items}</ul></section>")
    }

    fn set_aside(&self) -> String {
        let mut rows = String::new();
        for (title, metric, label) in SET_ASIDE {
            let counted = self.figures.by(metric, label).into_iter().filter(|(_, number)| *number > 0.0);
            for (reason, number) in counted {
                // A String takes every write.
                let _ = write!(
                    rows,
                    "<tr><td>{title}</td><td><code>{}</code></td><td class=number>{}</td></tr>",
                    escaped(&reason),
                    count(number)
                );
            }
        }
        if rows.is_empty() {
            rows.push_str("<tr><td colspan=3 class=quiet>Nothing since this process started.</td></tr>");
        }
        format!(
            "<section><h2>Refused and set aside</h2><table><thead><tr><th>Where<th>Reason<th class=number>Events</tr></thead>\
             <tbody>{rows}</tbody></table></section>"
        )
    }

    fn told_runs(&self) -> String {
        let inside = match self.runs {
            Runs::None => return String::new(),
            Runs::Hidden => self.runs_without_credential(),
            Runs::Unknown => "<p class=quiet>The ledger does not answer; the log says why.</p>".to_string(),
            Runs::Listed(runs) if runs.is_empty() => "<p class=quiet>No billing run yet.</p>".to_string(),
            Runs::Listed(runs) => runs_table(runs),
        };
        format!("<section><h2>Billing runs</h2>{inside}</section>")
    }

    fn runs_without_credential(&self) -> String {
        let ended = self.figures.by("tollgate_billing_runs_total", "status");
        let mut told: String = ended
            .iter()
            .map(|(status, number)| {
                format!("<tr><td>{}</td><td class=number>{}</td></tr>", escaped(status), count(*number))
            })
            .collect();
        if told.is_empty() {
            told.push_str("<tr><td class=quiet colspan=2>None ended since this process started.</td></tr>");
        }
        format!(
            "<table><thead><tr><th>Ended as<th class=number>Runs</tr></thead><tbody>{told}</tbody></table>\
             <p class=quiet>Single runs are shown to a request with <code>X-Admin-Secret</code> or an API key.</p>"
        )
    }
}

fn stage(stage: &Stage) -> String {
    let (class, word) = match stage.health {
        Health::Good => ("good", "ok"),
        Health::Errors => ("errors", "errors"),
        Health::Stands => ("stands", "stands still"),
    };
    let facts: String =
        stage.facts.iter().map(|(name, value)| format!("<div><dt>{name}<dd>{}</div>", escaped(value))).collect();
    format!(
        "<li class='{class}'><h2>{name}<small>{word}</small></h2><p class=does>{does}</p>\
         <p class=rate><b>{rate}</b> {unit}</p>{curve}<dl>{facts}</dl></li>",
        name = stage.name,
        does = stage.does,
        rate = stage.rate,
        unit = stage.unit,
        curve = curve(&stage.curve),
    )
}

/// The last minutes as a line over its area, the newest at the right.
fn curve(rates: &[f64]) -> String {
    const WIDTH: f64 = 59.0;
    let top = rates.iter().copied().fold(0.0, f64::max);
    let first = WIDTH - rates.len().saturating_sub(1) as f64;
    let mut points = String::new();
    for (index, rate) in rates.iter().enumerate() {
        let height = if top > 0.0 { rate / top * 17.0 } else { 0.0 };
        // A String takes every write.
        let _ = write!(points, "{:.0},{:.1} ", first + index as f64, 19.0 - height);
    }
    let area = format!("{first:.0},20 {points}{WIDTH:.0},20");
    format!(
        "<svg viewBox='0 0 59 20' preserveAspectRatio=none aria-hidden=true><polygon points='{area}'/>\
         <polyline points='{points}'/></svg>"
    )
}

fn runs_table(runs: &[RunRecord]) -> String {
    let rows: String = runs.iter().map(run_row).collect();
    format!(
        "<table><thead><tr><th>As of<th>Status<th>Progress<th class=number>Invoices<th class=number>Total</tr></thead>\
         <tbody>{rows}</tbody></table>"
    )
}

fn run_row(run: &RunRecord) -> String {
    let (done, all) = (run.subscriptions_done, run.subscriptions_total);
    let class = match run.status {
        RunStatus::Failed => "stands",
        RunStatus::Completed => "good",
        RunStatus::WaitingForEvents | RunStatus::Rating | RunStatus::Invoicing => "going",
    };
    let dry = if run.scope.dry_run { " · dry" } else { "" };
    let totals: Vec<_> = run.totals.iter().map(|(currency, cents)| format!("{currency} {} cents", cents.0)).collect();
    let error = run.error.as_deref().map(|error| format!("<br><small>{}</small>", escaped(error))).unwrap_or_default();
    format!(
        "<tr><td>{as_of}</td><td><span class='pill {class}'>{status}</span>{dry}{error}</td>\
         <td><progress max={max} value={done}></progress> {done} of {all}</td>\
         <td class=number>{invoices}</td><td class=number>{totals}</td></tr>",
        as_of = escaped(&run.scope.as_of.to_string()),
        status = run.status.as_str().replace('_', " "),
        max = all.max(1),
        invoices = run.invoices_created,
        totals = escaped(&totals.join(", ")),
    )
}
