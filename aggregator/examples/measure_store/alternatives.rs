//! What else was tried for the question "a sum for every pair", as bare statements on the same tables.

use crate::report::{Report, Timer};
use crate::workload::Workload;

/// Times each statement runs; the best counts.
const TIMES: usize = 3;
const WINDOWS: &str = "measured_windows";

pub async fn run(report: &mut Report, client: &clickhouse::Client, workload: &Workload) {
    upload(client).await;
    let organization = format!("organization = toUUID('{}')", workload.organization.0);
    let month = "timestamp >= '2026-03-01' AND timestamp < '2026-04-01'";
    let exact = "count(), sum(toDecimal256(value, 18)), sum(toUInt128(id * (2 * toUInt128(witness) + 1)))";
    let grouped = |columns: &str, table: &str, tail: &str| {
        format!("SELECT {columns} FROM {table} WHERE {organization} AND {month} {tail}")
    };
    let by_hand = "customer, code, count(), sum(value)";
    let by_series = format!("series, {exact}");
    let joined = |kind: &str, settings: &str| {
        format!(
            "SELECT slot, {exact} FROM events AS e {kind} {WINDOWS} AS w ON e.series = w.series WHERE {organization} AND {month} \
             AND toUnixTimestamp64Micro(e.timestamp) >= w.from AND toUnixTimestamp64Micro(e.timestamp) < w.to \
             GROUP BY slot {settings}"
        )
    };
    let asof = joined("ASOF INNER JOIN", "")
        .replace("ON e.series = w.series", "ON e.series = w.series AND toUnixTimestamp64Micro(e.timestamp) >= w.from");
    let statements = [
        ("baseline: what one writes by hand (GROUP BY customer, code; no proof)", grouped(by_hand, "events", "GROUP BY customer, code")),
        ("no join: GROUP BY series", grouped(&by_series, "events", "GROUP BY series")),
        ("no join, in key order", grouped(&by_series, "events", "GROUP BY organization, code, series SETTINGS optimize_aggregation_in_order = 1")),
        ("no join, FINAL", grouped(&by_series, "events FINAL", "GROUP BY series SETTINGS do_not_merge_across_partitions_select_final = 1")),
        ("hash join", joined("INNER JOIN", "SETTINGS join_algorithm = 'hash'")),
        ("parallel hash join", joined("INNER JOIN", "SETTINGS join_algorithm = 'parallel_hash'")),
        ("full sorting merge join", joined("INNER JOIN", "SETTINGS join_algorithm = 'full_sorting_merge'")),
        ("ASOF join (several windows of a series)", asof),
        ("verification by GROUP BY id, not in key order", "SELECT organization, id FROM event_ids GROUP BY organization, id HAVING count() > 1".into()),
        ("verification by GROUP BY id in key order", "SELECT organization, id FROM event_ids GROUP BY organization, id HAVING count() > 1 SETTINGS optimize_aggregation_in_order = 1".into()),
        ("verification by neighbours in key order", "SELECT organization, id FROM (SELECT organization, id, lagInFrame(id) OVER (ORDER BY organization, id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS before FROM event_ids) WHERE id = before".into()),
    ];
    for (name, statement) in statements {
        report.line(&format!("tried: {name}"), &timed(client, &statement).await);
    }
}

async fn timed(client: &clickhouse::Client, statement: &str) -> String {
    let mut best = f64::MAX;
    for _ in 0..TIMES {
        let timer = Timer::start();
        let discarded = format!("{statement} FORMAT Null");
        if let Err(error) = client.query_raw(&discarded).execute().await {
            return format!("failed: {}", error.to_string().chars().take(120).collect::<String>());
        }
        best = best.min(timer.seconds());
    }
    format!("{best:.2} s")
}

async fn upload(client: &clickhouse::Client) {
    let create = format!(
        "CREATE OR REPLACE TABLE {WINDOWS} (series UInt128, from Int64, to Int64, slot UInt32) ENGINE = MergeTree ORDER BY series"
    );
    client.query(&create).execute().await.unwrap();
    let fill = format!(
        "INSERT INTO {WINDOWS} SELECT series, 1772323200000000, 1775001600000000, rowNumberInAllBlocks() FROM (SELECT DISTINCT series FROM events)"
    );
    client.query(&fill).execute().await.unwrap();
}
