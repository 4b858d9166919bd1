//! The windows of a query as a table the engine can join: written into the statement when they are few, uploaded when many.

use super::touched::organizations;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::{ExtractionPlan, Form};
use crate::native::{WindowRow, window_block};
use crate::sql;
use crate::usage::{Measure, MetricScope, UsageQuery, UsageWindow};
use domain::time::Timestamp;
use std::collections::HashSet;
use uuid::Uuid;

/// Up to so many windows stand in the statement: 150 bytes each, below the engine's 256 KiB for a query. An upload costs
/// about 10 ms, which one customer's usage should not wait for.
const INLINE_WINDOWS: usize = 1_000;
/// Whether the windows fit into a statement.
pub(super) fn is_small(windows: &[UsageWindow]) -> bool {
    windows.len() <= INLINE_WINDOWS
}

/// Up to so many organizations or codes are named to the primary key; with more, nearly every granule matches anyway.
const NAMED_VALUES: usize = 500;
/// Windows per uploaded block: 60 bytes each, 12 MB.
const UPLOADED_BLOCK: usize = 200_000;

/// What a scope needs taken out of each event to be measured; dimensions aside.
pub(super) fn value_of(measure: Measure, scope: &MetricScope) -> u64 {
    let form = match measure {
        Measure::Count => Form::None,
        Measure::Sum | Measure::Max | Measure::Min | Measure::Latest | Measure::WeightedSum => Form::Number,
        Measure::UniqueCount => Form::Text,
    };
    ExtractionPlan::new(form, scope.field_name.as_deref(), &[]).value_of()
}

/// Windows ready to be asked about.
pub(super) struct Source {
    /// Of the window an event falls into, as SQL: its slot.
    pub(super) slot: String,
    /// Of the window an event falls into, as SQL: what a stored value must have been taken out by.
    pub(super) value_of: String,
    /// `SELECT series, from, to, slot, value_of` as a subquery; `None` when [`Source::pruning`] says all that the windows say.
    table: Option<String>,
    /// Conditions on `events` that let the primary key and the partitions leave out what no window touches.
    pruning: String,
    windows_of_series: WindowsOfSeries,
    uploaded: Option<Uuid>,
}

/// How often one series stands among the windows, which decides how it is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WindowsOfSeries {
    /// Once.
    One,
    /// More than once, one after the other: the nearest that begins before an event is the only one that may hold it.
    Disjoint,
    /// More than once at the same time, for different slots: an event may be in several.
    Overlapping,
}

impl WindowsOfSeries {
    fn of(windows: &[UsageWindow], series: &HashSet<u128>) -> Self {
        if series.len() == windows.len() {
            return Self::One;
        }
        let mut sorted: Vec<_> = windows.iter().map(|window| (window.series.0, window.from, window.to)).collect();
        sorted.sort_unstable();
        // Sorted by their start, windows overlap somewhere exactly when two neighbours do.
        let overlaps = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2);
        if overlaps { Self::Overlapping } else { Self::Disjoint }
    }
}

impl Source {
    /// Prepares `windows`, which belong to the scopes of `query`; uploads them when they are many.
    pub(super) async fn prepare(
        connection: &Connection,
        query: &UsageQuery,
        windows: &[UsageWindow],
    ) -> Result<Self, StoreError> {
        let rows = with_rules(query, windows)?;
        let series: HashSet<u128> = windows.iter().map(|window| window.series.0).collect();
        let windows_of_series = WindowsOfSeries::of(windows, &series);
        let pruning = pruning(query, windows, &series);
        if let Some(WindowRow { window, value_of }) = only_one_apart_from_series(&rows, windows_of_series) {
            let (slot, value_of) = (format!("toUInt32({})", window.slot), format!("toUInt64({value_of})"));
            return Ok(Self { slot, value_of, table: None, pruning, windows_of_series, uploaded: None });
        }
        let (slot, value_of) = ("w.slot".to_owned(), "w.value_of".to_owned());
        if is_small(windows) {
            return Ok(Self { slot, value_of, table: Some(inline(&rows)), pruning, windows_of_series, uploaded: None });
        }
        // Version 7: its time tells a left-over of a dead process from a query under way.
        let run = Uuid::now_v7();
        let table = format!("SELECT series, from, to, slot, value_of FROM rating_windows WHERE run = toUUID('{run}')");
        let source = Self { slot, value_of, table: Some(table), pruning, windows_of_series, uploaded: Some(run) };
        for block in rows.chunks(UPLOADED_BLOCK) {
            let query_id = Uuid::new_v4().to_string();
            if let Err(error) = connection.insert_block("rating_windows", &query_id, window_block(run, block)).await {
                source.discard(connection).await;
                return Err(error);
            }
        }
        Ok(source)
    }

    /// Removes what was uploaded. What cannot be removed now (or was left by a process that died) costs space, not
    /// exactness, and is removed by [`remove_leftovers`].
    pub(super) async fn discard(self, connection: &Connection) {
        let Some(run) = self.uploaded else { return };
        let dropped = connection.execute(&format!("ALTER TABLE rating_windows DROP PARTITION '{run}'")).await;
        if let Err(error) = dropped {
            tracing::warn!(%error, %run, "windows of a usage query were not removed");
        }
    }

    /// `events AS e`, joined with the windows as `w` where there are several: one row per event that falls into a window.
    pub(super) fn joined(&self, query: &UsageQuery) -> String {
        let in_cut = sql::in_cut(&query.cut, "e.");
        let Some(table) = &self.table else { return format!("events AS e WHERE {} AND {in_cut}", self.pruning) };
        let at = "toUnixTimestamp64Micro(e.timestamp)";
        let (join, nearest) = match self.windows_of_series {
            WindowsOfSeries::One | WindowsOfSeries::Overlapping => ("ALL INNER JOIN", String::new()),
            WindowsOfSeries::Disjoint => ("ASOF INNER JOIN", format!(" AND {at} >= w.from")),
        };
        format!(
            "events AS e {join} ({table}) AS w ON e.series = w.series{nearest} \
             WHERE {} AND {at} >= w.from AND {at} < w.to AND {in_cut}",
            self.pruning,
        )
    }
}

/// Adds to each window what its scope expects of stored values.
fn with_rules(query: &UsageQuery, windows: &[UsageWindow]) -> Result<Vec<WindowRow>, StoreError> {
    let rules: Vec<u64> = query.scopes.iter().map(|scope| value_of(query.measure, scope)).collect();
    let row = |window: &UsageWindow| match rules.get(window.scope as usize) {
        Some(value_of) => Ok(WindowRow { window: *window, value_of: *value_of }),
        None => Err(StoreError::BadQuery(format!(
            "the window of slot {} names scope {} of {}",
            window.slot,
            window.scope,
            rules.len()
        ))),
    };
    windows.iter().map(row).collect()
}

/// The window that all are but for their series: one metric of one subscription, whose events may come under three names. Joining
/// costs such a question a quarter of its time (7 of 30 ms), and as the primary key knows the series, it says nothing new.
fn only_one_apart_from_series(rows: &[WindowRow], windows_of_series: WindowsOfSeries) -> Option<&WindowRow> {
    let told = |row: &WindowRow| (row.window.from, row.window.to, row.window.slot, row.value_of);
    let (first, others) = rows.split_first()?;
    let named_to_the_key = windows_of_series == WindowsOfSeries::One && rows.len() <= INLINE_WINDOWS;
    (named_to_the_key && others.iter().all(|row| told(row) == told(first))).then_some(first)
}

fn inline(rows: &[WindowRow]) -> String {
    let literals = rows.iter().map(|WindowRow { window, value_of }| {
        let (series, from, to) = (sql::u128(window.series.0), window.from.0, window.to.0);
        format!("({series}, toInt64({from}), toInt64({to}), toUInt32({}), toUInt64({value_of}))", window.slot)
    });
    format!(
        "SELECT x.1 AS series, x.2 AS from, x.3 AS to, x.4 AS slot, x.5 AS value_of FROM (SELECT arrayJoin([{}]) AS x)",
        literals.collect::<Vec<_>>().join(", ")
    )
}

fn pruning(query: &UsageQuery, windows: &[UsageWindow], series: &HashSet<u128>) -> String {
    let mut conditions = Vec::new();
    let named: HashSet<_> = query.scopes.iter().map(|scope| scope.organization).collect();
    if named.len() <= NAMED_VALUES {
        conditions.push(format!("e.{}", organizations(query)));
    }
    let codes: HashSet<_> = query.scopes.iter().map(|scope| scope.code.as_str()).collect();
    if codes.len() <= NAMED_VALUES {
        conditions.push(format!("e.code IN {}", sql::list(codes.iter().map(|code| sql::text(code)))));
    }
    if series.len() <= INLINE_WINDOWS {
        conditions.push(format!("e.series IN {}", sql::list(series.iter().map(|series| sql::u128(*series)))));
    }
    let from = windows.iter().map(|window| window.from).min().unwrap_or(Timestamp::EARLIEST);
    let to = windows.iter().map(|window| window.to).max().unwrap_or(Timestamp::EARLIEST);
    conditions.push(format!("e.timestamp >= {} AND e.timestamp < {}", sql::time(from), sql::time(to)));
    conditions.join(" AND ")
}

/// Uploads older than this belong to no query: none runs so long.
const LEFTOVER_SECONDS: u64 = 24 * 3_600;

/// Removes uploads of processes that died.
pub(super) async fn remove_leftovers(connection: &Connection) -> Result<(), StoreError> {
    let statement = "SELECT DISTINCT toString(run) FROM rating_windows";
    let runs: Vec<String> = connection.fetch_all(statement).await?;
    let seconds = |run: Uuid| run.get_timestamp().map_or(0, |time| time.to_unix().0);
    let oldest_kept = seconds(Uuid::now_v7()).saturating_sub(LEFTOVER_SECONDS);
    let is_leftover = |run: &&String| Uuid::parse_str(run).is_ok_and(|uuid| seconds(uuid) < oldest_kept);
    for run in runs.iter().filter(is_leftover) {
        connection.execute(&format!("ALTER TABLE rating_windows DROP PARTITION {}", sql::text(run))).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::identity::SeriesId;

    #[test]
    fn windows_are_one_where_only_their_series_differ() {
        let row = |series: u128, to: i64, slot: u32| WindowRow {
            window: UsageWindow { series: SeriesId(series), from: Timestamp(0), to: Timestamp(to), slot, scope: 0 },
            value_of: 7,
        };
        let is_one = |rows: &[WindowRow], how| only_one_apart_from_series(rows, how).is_some();
        assert!(is_one(&[row(1, 10, 4), row(2, 10, 4), row(3, 10, 4)], WindowsOfSeries::One));
        assert!(!is_one(&[row(1, 10, 4), row(2, 11, 4)], WindowsOfSeries::One));
        assert!(!is_one(&[row(1, 10, 4), row(2, 10, 5)], WindowsOfSeries::One));
        // Twice the same: each event counts in both.
        assert!(!is_one(&[row(1, 10, 4), row(1, 10, 4)], WindowsOfSeries::Overlapping));
        let mut other_rule = row(2, 10, 4);
        other_rule.value_of = 8;
        assert!(!is_one(&[row(1, 10, 4), other_rule], WindowsOfSeries::One));
        assert!(!is_one(&[], WindowsOfSeries::One));
    }

    #[test]
    fn windows_that_meet_are_disjoint_and_windows_that_share_an_instant_overlap() {
        let of = |windows: &[(u128, i64, i64)]| {
            let window = |(slot, (series, from, to)): (u32, &(u128, i64, i64))| UsageWindow {
                series: SeriesId(*series),
                from: Timestamp(*from),
                to: Timestamp(*to),
                slot,
                scope: 0,
            };
            let windows: Vec<UsageWindow> = (0..).zip(windows).map(window).collect();
            let series = windows.iter().map(|window| window.series.0).collect();
            WindowsOfSeries::of(&windows, &series)
        };
        assert_eq!(of(&[(1, 0, 10), (2, 0, 10)]), WindowsOfSeries::One);
        assert_eq!(of(&[(1, 10, 20), (1, 0, 10), (2, 5, 15)]), WindowsOfSeries::Disjoint);
        assert_eq!(of(&[(1, 9, 20), (1, 0, 10)]), WindowsOfSeries::Overlapping);
        assert_eq!(of(&[(1, 0, 30), (1, 0, 10), (1, 10, 20)]), WindowsOfSeries::Overlapping);
    }
}
