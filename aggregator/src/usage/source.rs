//! The windows of a query as a table the engine can join: written into the statement when they are few, uploaded when many.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::{ExtractionPlan, Form};
use crate::native::{WindowRow, window_block};
use crate::sql;
use crate::usage::{Measure, MetricScope, UsageQuery, UsageWindow};
use domain::time::Timestamp;
use std::collections::HashSet;
use uuid::Uuid;

/// Up to so many windows stand in the statement: 150 bytes each, far below the engine's 256 KiB for a query.
const INLINE_WINDOWS: usize = 1_000;
/// Up to so many organizations or codes are named to the primary key; with more, nearly every granule matches anyway.
const NAMED_VALUES: usize = 500;
/// Windows per uploaded block: 53 bytes each, 10 MiB.
const UPLOADED_BLOCK: usize = 200_000;

/// The form of the value that `measure` aggregates.
pub(super) fn form_of(measure: Measure) -> Form {
    match measure {
        Measure::Count => Form::None,
        Measure::Sum | Measure::Max => Form::Number,
        Measure::UniqueCount => Form::Text,
    }
}

/// What a scope needs taken out of each event.
pub(super) fn plan_of(measure: Measure, scope: &MetricScope, by_dimensions: bool) -> ExtractionPlan {
    let dimensions = if by_dimensions { scope.dimensions.as_slice() } else { &[] };
    ExtractionPlan::new(form_of(measure), scope.field_name.as_deref(), dimensions)
}

/// Windows ready to be joined.
pub(super) struct Source {
    /// `SELECT series, from, to, slot, value_of, dimensions_of` as a subquery.
    pub(super) table: String,
    /// Conditions on `events` that let the primary key and the partitions leave out what no window touches.
    pub(super) pruning: String,
    /// Whether a series stands in more than one window, so that the nearest window before an event must be found.
    pub(super) several_per_series: bool,
    uploaded: Option<Uuid>,
}

impl Source {
    /// Prepares `windows`, which belong to the scopes of `query`; uploads them when they are many.
    pub(super) async fn prepare(
        connection: &Connection,
        query: &UsageQuery,
        windows: &[UsageWindow],
    ) -> Result<Self, StoreError> {
        let series: HashSet<u128> = windows.iter().map(|window| window.series.0).collect();
        let several_per_series = series.len() < windows.len();
        let pruning = pruning(query, windows, &series);
        let rules = Rules::of(query);
        if windows.len() <= INLINE_WINDOWS {
            let rows = windows.iter().map(|window| rules.row(window)).collect::<Result<Vec<_>, _>>()?;
            return Ok(Self { table: inline(&rows), pruning, several_per_series, uploaded: None });
        }
        let run = Uuid::new_v4();
        for block in windows.chunks(UPLOADED_BLOCK) {
            let rows = block.iter().map(|window| rules.row(window)).collect::<Result<Vec<_>, _>>()?;
            connection.insert_block("rating_windows", &Uuid::new_v4().to_string(), window_block(run, &rows)).await?;
        }
        let table = format!(
            "SELECT series, from, to, slot, value_of, dimensions_of FROM rating_windows WHERE run = toUUID('{run}')"
        );
        Ok(Self { table, pruning, several_per_series, uploaded: Some(run) })
    }

    /// Removes what was uploaded. A process that dies before leaves windows that no later query reads.
    pub(super) async fn discard(self, connection: &Connection) -> Result<(), StoreError> {
        match self.uploaded {
            Some(run) => connection.execute(&format!("ALTER TABLE rating_windows DROP PARTITION '{run}'")).await,
            None => Ok(()),
        }
    }

    /// `events AS e` joined with the windows as `w`: one row per event that falls into a window.
    pub(super) fn joined(&self, query: &UsageQuery) -> String {
        let at = "toUnixTimestamp64Micro(e.timestamp)";
        let (join, nearest) = if self.several_per_series {
            ("ASOF INNER JOIN", format!(" AND {at} >= w.from"))
        } else {
            ("INNER JOIN", String::new())
        };
        format!(
            "events AS e {join} ({}) AS w ON e.series = w.series{nearest} \
             WHERE {} AND {at} >= w.from AND {at} < w.to AND {}",
            self.table,
            self.pruning,
            sql::in_cut(&query.cut, "e.")
        )
    }
}

/// Under which name each scope's values and dimensions were extracted, if they were extracted as asked for now.
struct Rules(Vec<(u64, u64)>);

impl Rules {
    fn of(query: &UsageQuery) -> Self {
        let rule = |scope| {
            let plan = plan_of(query.measure, scope, query.by_dimensions);
            (plan.value_of(), plan.dimensions_of())
        };
        Self(query.scopes.iter().map(rule).collect())
    }

    fn row(&self, window: &UsageWindow) -> Result<WindowRow, StoreError> {
        let rule = self.0.get(window.scope as usize).copied();
        let (value_of, dimensions_of) = rule.ok_or_else(|| {
            StoreError::BadQuery(format!(
                "window of slot {} names scope {} of {}",
                window.slot,
                window.scope,
                self.0.len()
            ))
        })?;
        Ok(WindowRow { window: *window, value_of, dimensions_of })
    }
}

fn inline(rows: &[WindowRow]) -> String {
    let literals = rows.iter().map(|row| {
        format!(
            "({}, toInt64({}), toInt64({}), toUInt32({}), toUInt64({}), toUInt64({}))",
            sql::u128(row.window.series.0),
            row.window.from.0,
            row.window.to.0,
            row.window.slot,
            row.value_of,
            row.dimensions_of
        )
    });
    format!(
        "SELECT x.1 AS series, x.2 AS from, x.3 AS to, x.4 AS slot, x.5 AS value_of, x.6 AS dimensions_of \
         FROM (SELECT arrayJoin([{}]) AS x)",
        literals.collect::<Vec<_>>().join(", ")
    )
}

fn pruning(query: &UsageQuery, windows: &[UsageWindow], series: &HashSet<u128>) -> String {
    let mut conditions = Vec::new();
    let organizations: HashSet<_> = query.scopes.iter().map(|scope| scope.organization).collect();
    if organizations.len() <= NAMED_VALUES {
        let named = sql::list(organizations.iter().map(|organization| sql::organization(*organization)));
        conditions.push(format!("e.organization IN {named}"));
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
