//! The pipeline's stages as this process sees them: how fast, how far behind, how fresh, what went wrong.

use super::figures::Figures;
use super::words::{at_most, count, rate, seconds};
use crate::services::purpose::{Purpose, Service};

/// How a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// Moves, or has nothing to do.
    Good,
    /// Something went wrong in the last seconds.
    Errors,
    /// Makes no progress.
    Stands,
}

/// One stage, ready to be drawn.
pub(super) struct Stage {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    pub(super) health: Health,
    pub(super) rate: String,
    pub(super) unit: &'static str,
    /// Names and values.
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) curve: Vec<f64>,
}

/// What is constant of a stage.
struct Kind {
    name: &'static str,
    does: &'static str,
    moves: &'static str,
    unit: &'static str,
    /// Counters of which none should grow.
    errors: &'static [&'static str],
    /// Parts of readiness that belong to it.
    parts: &'static [&'static str],
}

const GATEWAY: Kind = Kind {
    name: "Gateway",
    does: "takes events over HTTP",
    moves: "tollgate_gateway_events_accepted_total",
    unit: "events/s",
    errors: &["tollgate_gateway_events_refused_total"],
    parts: &["process"],
};
const LOG: Kind = Kind {
    name: "Log",
    does: "keeps them in Kafka",
    moves: "tollgate_log_events_acknowledged_total",
    unit: "events/s",
    errors: &["tollgate_log_records_failed_total"],
    parts: &["log"],
};
const JOURNAL: Kind = Kind {
    name: "Log",
    does: "direct mode: a journal on this disk",
    moves: "tollgate_journal_append_seconds_count",
    unit: "writes/s",
    errors: &["tollgate_store_overloaded_total"],
    parts: &[],
};
const AGGREGATOR: Kind = Kind {
    name: "Aggregator",
    does: "brings the log into the store",
    moves: "tollgate_aggregator_consumed_total",
    unit: "lines/s",
    errors: &["tollgate_aggregator_dead_letters_total", "tollgate_aggregator_commit_failures_total"],
    parts: &["aggregator"],
};
const WRITER: Kind = Kind {
    name: "Aggregator",
    does: "direct mode: the gateway's writer",
    moves: "tollgate_store_commit_seconds_count",
    unit: "commits/s",
    errors: &[],
    parts: &["writer"],
};
const STORE: Kind = Kind {
    name: "Store",
    does: "every event, once, in ClickHouse",
    moves: "tollgate_store_events_total",
    unit: "events/s",
    errors: &["tollgate_store_failures_total"],
    parts: &["engine", "event_store"],
};
const RATER: Kind = Kind {
    name: "Rater",
    does: "usage to fees",
    moves: "tollgate_rated_stretches_total",
    unit: "periods/s",
    errors: &[],
    parts: &[],
};
const INVOICER: Kind = Kind {
    name: "Invoicer",
    does: "fees to invoices",
    moves: "tollgate_billing_run_invoices_total",
    unit: "invoices/s",
    errors: &[],
    parts: &["ledger", "scheduler"],
};

/// The stages of a process, in the order of one event.
pub(super) fn of(
    purpose: Purpose,
    streaming: bool,
    figures: &Figures,
    problems: &[(&'static str, String)],
) -> Vec<Stage> {
    let (log, aggregator) = if streaming { (LOG, AGGREGATOR) } else { (JOURNAL, WRITER) };
    let kinds = match purpose {
        Purpose::Everything | Purpose::Command => vec![GATEWAY, log, aggregator, STORE, RATER, INVOICER],
        Purpose::One(Service::Gateway) => vec![GATEWAY, log],
        Purpose::One(Service::Aggregator) => vec![aggregator, STORE],
        Purpose::One(Service::Rater | Service::Api) => vec![RATER, INVOICER],
    };
    kinds.iter().map(|kind| drawn(kind, figures, problems)).collect()
}

fn drawn(kind: &Kind, figures: &Figures, problems: &[(&'static str, String)]) -> Stage {
    let stands = problems.iter().any(|(part, _)| kind.parts.contains(part));
    let failed_lately = kind.errors.iter().any(|name| figures.lately(name) > 0.0);
    let health = match (stands, failed_lately) {
        (true, _) => Health::Stands,
        (false, true) => Health::Errors,
        (false, false) => Health::Good,
    };
    let mut facts = facts_of(kind.moves, figures);
    if !kind.errors.is_empty() {
        let errors = kind.errors.iter().map(|name| figures.total(name)).sum();
        facts.push(("errors", count(errors)));
    }
    let curve = figures.rates(kind.moves);
    Stage {
        name: kind.name,
        does: kind.does,
        health,
        rate: rate(figures.rate(kind.moves)),
        unit: kind.unit,
        facts,
        curve,
    }
}

fn facts_of(moves: &str, figures: &Figures) -> Vec<(&'static str, String)> {
    let p99 = |name: &str| at_most(figures.p99_seconds(name));
    let total = |name: &str| count(figures.total(name));
    let gauge = |name: &str| figures.gauge(name).map_or_else(|| "–".to_string(), count);
    match moves {
        name if name == GATEWAY.moves => vec![
            ("accepted", total(name)),
            ("duplicates", total("tollgate_gateway_events_duplicates_total")),
            ("answer p99", p99("tollgate_gateway_request_seconds")),
        ],
        name if name == LOG.moves => vec![
            ("ack p99", p99("tollgate_log_ack_seconds")),
            ("unacknowledged", gauge("tollgate_log_unacknowledged_records")),
        ],
        name if name == JOURNAL.moves => vec![("write p99", p99("tollgate_journal_append_seconds"))],
        name if name == AGGREGATOR.moves => vec![
            ("lag", seconds(figures.gauge("tollgate_aggregator_consumer_lag_seconds"))),
            ("events behind", gauge("tollgate_aggregator_consumer_lag_events")),
            ("freshness p99", p99("tollgate_aggregator_freshness_seconds")),
        ],
        name if name == WRITER.moves => vec![("commit p99", p99("tollgate_store_commit_seconds"))],
        name if name == STORE.moves => vec![
            ("stored", total(name)),
            ("repeats", total("tollgate_store_repeats_total")),
            ("parts", gauge("tollgate_store_parts")),
        ],
        name if name == RATER.moves => vec![("rated", total(name)), ("query p99", p99("tollgate_rating_seconds"))],
        _ => vec![
            ("invoices", total("tollgate_billing_run_invoices_total")),
            ("fees in advance", total("tollgate_advance_fees_total")),
            ("run p99", p99("tollgate_billing_run_seconds")),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::status::figures::Look;
    use std::sync::Arc;

    #[test]
    fn a_part_that_makes_no_progress_marks_its_stage_and_no_other() {
        let figures = Figures { looks: vec![Arc::new(Look::read("tollgate_store_failures_total 3"))] };
        let stages = of(Purpose::Everything, true, &figures, &[("log", "no broker answers".to_string())]);
        let marked: Vec<_> =
            stages.iter().filter(|stage| stage.health != Health::Good).map(|stage| stage.name).collect();
        assert_eq!(marked, ["Log"], "failures of long ago are counted, and do not mark the store");
        assert!(stages[3].facts.contains(&("errors", "3".to_string())));
    }

    #[test]
    fn a_service_by_itself_shows_its_own_stages() {
        let of_service = |service| {
            let stages = of(Purpose::One(service), true, &Figures::default(), &[]);
            stages.iter().map(|stage| stage.name).collect::<Vec<_>>()
        };
        assert_eq!(of_service(Service::Gateway), ["Gateway", "Log"]);
        assert_eq!(of_service(Service::Aggregator), ["Aggregator", "Store"]);
        assert_eq!(of_service(Service::Rater), ["Rater", "Invoicer"]);
    }
}
