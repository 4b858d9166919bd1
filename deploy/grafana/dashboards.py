#!/usr/bin/env python3
"""Writes the dashboards: deploy/grafana/dashboards/*.json, from the table below. Run it after a change; a test compares.

A panel is (title, unit, {legend: query}). `$service` is the dashboard's choice of services. Rates are `or vector(0)` where a
counter is not there before its first increase: a panel without anything to show shows 0, not an error.
"""
import json
import pathlib
import sys

S = 'service=~"$service"'


def rate(metric, more="", by=""):
    labels = ", ".join(part for part in (S, more) if part)
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{{{labels}}}[$__rate_interval])) or vector(0)"


def quantile(q, metric, by=""):
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({grouped}) (rate({metric}_bucket{{{S}}}[$__rate_interval])))"


def times(metric):
    return {"p50": quantile(0.5, metric), "p99": quantile(0.99, metric)}


def times_since_start(metric):
    """Of what happens rarely: a rate would see nothing between two scrapes."""
    return {f"p{q}": f"histogram_quantile(0.{q}, sum by (le) ({metric}_bucket{{{S}}}))" for q in (50, 99)}


DASHBOARDS = {
    "ingest": ("Ingest", [
        ("Events accepted", "cps", {"accepted": rate("tollgate_gateway_events_accepted_total")}),
        ("Events refused, by reason", "cps", {"{{reason}}": rate("tollgate_gateway_events_refused_total", by="reason")}),
        ("Requests, by status", "reqps", {"{{status}}": rate("tollgate_http_requests_total", 'method="POST"', by="status")}),
        ("Answered in", "s", times("tollgate_gateway_request_seconds")),
        ("Acknowledged by the brokers in", "s", times("tollgate_log_ack_seconds")),
        ("Memory of events that are not acknowledged", "bytes", {"{{instance}}": f"tollgate_log_queue_bytes{{{S}}}"}),
        ("Records the brokers refused", "cps", {"refused": rate("tollgate_log_records_failed_total")}),
        ("Bodies", "Bps", {"unpacked": rate("tollgate_gateway_body_bytes_total")}),
    ]),
    "aggregator": ("Aggregator", [
        ("Lag of the oldest event", "s", {"{{instance}}": f"tollgate_aggregator_consumer_lag_seconds{{{S}}}"}),
        ("Lag in events", "short", {"{{instance}}": f"tollgate_aggregator_consumer_lag_events{{{S}}}"}),
        ("From the gateway to the store", "s", times("tollgate_aggregator_freshness_seconds")),
        ("Events read and stored", "cps", {"read": rate("tollgate_aggregator_consumed_total"), "stored": rate("tollgate_store_events_total")}),
        ("Inserted in", "s", times("tollgate_store_commit_seconds")),
        ("Partitions", "short", {"{{instance}}": f"tollgate_aggregator_partitions{{{S}}}"}),
        ("Copies, by kind", "cps", {"{{kind}}": rate("tollgate_store_repeats_total", by="kind")}),
        ("Dead letters, failed inserts", "cps", {"dead letters": rate("tollgate_aggregator_dead_letters_total"), "failed inserts": rate("tollgate_store_failures_total")}),
        ("Parts of the event store", "short", {"parts": f"max(tollgate_store_parts{{{S}}})"}),
    ]),
    "rating": ("Rating", [
        ("Stretches rated", "cps", {"rated": rate("tollgate_rated_stretches_total")}),
        ("A set rated in, since the start", "s", times_since_start("tollgate_rating_seconds")),
        ("Fees in advance", "cps", {"fees": rate("tollgate_advance_fees_total")}),
        ("Reading requests answered in (p99), by route", "s", {"{{route}}": f"histogram_quantile(0.99, sum by (le, route) (rate(tollgate_http_request_seconds_bucket{{{S}, method=\"GET\"}}[$__rate_interval])))"}),
    ]),
    "billing-run": ("Billing runs", [
        ("Runs ended, by outcome", "short", {"{{status}}": f"sum by (status) (tollgate_billing_runs_total{{{S}}}) or vector(0)"}),
        ("The oldest run that goes on", "s", {"age": f"max(tollgate_billing_run_unfinished_seconds{{{S}}})"}),
        ("Invoices made", "cps", {"invoices": rate("tollgate_billing_run_invoices_total"), "drafts issued": rate("tollgate_billing_run_drafts_finalized_total")}),
        ("A run took, since the start", "s", times_since_start("tollgate_billing_run_seconds")),
        ("Left out", "short", {"left out": f"sum(tollgate_billing_run_left_out_total{{{S}}}) or vector(0)"}),
        ("Problems of the ledger when it was checked last", "short", {"problems": "max(tollgate_ledger_problems) or vector(0)"}),
    ]),
    "slo": ("Objectives", [
        (f"{title}: share that misses it", "percentunit", {window: f"tollgate:slo_{name}:errors{window}" for window in ("5m", "1h", "6h")})
        for name, title in (("ingest_availability", "Availability of ingestion (99.95 %)"), ("ingest_latency", "Answered within 0.5 s (99 %)"), ("freshness", "Stored within 1 s (99 %)"))
    ]),
}

SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 12, 8


def panel(place, title, unit, queries):
    targets = [
        {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for number, (legend, query) in enumerate(queries.items())
    ]
    return {
        "id": place + 1, "type": "timeseries", "title": title, "datasource": SOURCE, "targets": targets,
        "gridPos": {"x": place % 2 * WIDTH, "y": place // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    }


def dashboard(uid, title, panels):
    service = {
        "name": "service", "label": "Service", "type": "query", "datasource": SOURCE, "refresh": 2, "includeAll": True, "multi": True,
        "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "query": 'label_values(up{job="tollgate"}, service)',
    }
    return {
        "uid": f"tollgate-{uid}", "title": f"Tollgate: {title}", "tags": ["tollgate"], "schemaVersion": 39, "version": 1, "editable": False,
        "time": {"from": "now-1h", "to": "now"}, "refresh": "10s", "timezone": "utc", "templating": {"list": [service]},
        "panels": [panel(place, *one) for place, one in enumerate(panels)],
    }


folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dashboards")
folder.mkdir(exist_ok=True)
for uid, (title, panels) in DASHBOARDS.items():
    (folder / f"{uid}.json").write_text(json.dumps(dashboard(uid, title, panels), indent=1) + "\n")
