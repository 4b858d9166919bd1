//! The set-based answer: one statement aggregates every window of every scope.
//!
//! Rows whose stored value or dimensions were extracted for another rule than the one asked for, or whose value is out of
//! scale, cannot be used by the engine. It counts them per slot; such slots are done again from raw properties
//! ([`super::fold`]): slower, never wrong.

use super::source::Source;
use super::touched::voided_ids;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::ValueState;
use crate::usage::{Measure, UsageQuery, UsageRow, UsageWindow};
use bigdecimal::BigDecimal;
use clickhouse::Row;
use serde::Deserialize;
use std::collections::HashSet;

/// One aggregated row as the engine sends it.
#[derive(Row, Deserialize)]
struct Aggregated {
    slot: u32,
    dims: String,
    events_count: u64,
    fingerprint: u128,
    quantity: String,
    invalid_count: u64,
    valued_count: u64,
    unready_count: u64,
}

/// Aggregates `windows`; returns the slots that must be done again from raw properties. Rows of those slots are not handed out.
pub(super) async fn aggregate(
    connection: &Connection,
    query: &UsageQuery,
    windows: &[UsageWindow],
    without_voided: bool,
    on_row: &mut (impl FnMut(UsageRow) + Send),
) -> Result<HashSet<u32>, StoreError> {
    if windows.is_empty() {
        return Ok(HashSet::new());
    }
    let source = Source::prepare(connection, query, windows).await?;
    let statement = statement(query, &source, without_voided);
    let answered = collect(connection, &statement, query.by_dimensions, on_row).await;
    source.discard(connection).await?;
    answered
}

async fn collect(
    connection: &Connection,
    statement: &str,
    several_rows_per_slot: bool,
    on_row: &mut (impl FnMut(UsageRow) + Send),
) -> Result<HashSet<u32>, StoreError> {
    let mut unready = HashSet::new();
    let mut held = Vec::new();
    let mut cursor = connection.fetch::<Aggregated>(statement)?;
    while let Some(row) = cursor.next().await? {
        if row.unready_count > 0 {
            unready.insert(row.slot);
        } else if several_rows_per_slot {
            // A later row may tell that the slot must be done again.
            held.push(usage_row(row)?);
        } else {
            on_row(usage_row(row)?);
        }
    }
    for row in held.into_iter().filter(|row| !unready.contains(&row.slot)) {
        on_row(row);
    }
    Ok(unready)
}

fn usage_row(row: Aggregated) -> Result<UsageRow, StoreError> {
    let quantity: BigDecimal = row
        .quantity
        .parse()
        .map_err(|_| StoreError::Corrupt(format!("the quantity '{}' of a usage query", row.quantity)))?;
    Ok(UsageRow {
        slot: row.slot,
        dimensions: row.dims,
        events_count: row.events_count,
        fingerprint: row.fingerprint,
        quantity: quantity.normalized(),
        invalid_count: row.invalid_count,
        valued_count: row.valued_count,
    })
}

fn statement(query: &UsageQuery, source: &Source, without_voided: bool) -> String {
    let (ready, usable) = (ready(query), format!("e.value_state = {}", ValueState::Usable as u8));
    let quantity = match query.measure {
        Measure::Count => "toString(count())".to_owned(),
        // Values are 0 where the state is not usable; 38 digits summed a billion times stay within Decimal256's 76.
        Measure::Sum => "toString(sum(toDecimal256(e.value, 18)))".to_owned(),
        Measure::Max => format!("toString(if(countIf({usable}) = 0, toDecimal128(0, 18), maxIf(e.value, {usable})))"),
        Measure::UniqueCount => format!("toString(uniqExactIf(e.text, {usable}))"),
    };
    let (invalid, valued) = match query.measure {
        Measure::Count => ("toUInt64(0)".to_owned(), "count()".to_owned()),
        _ => (format!("countIf(e.value_state = {})", ValueState::Unusable as u8), format!("countIf({usable})")),
    };
    let (dimensions, group) =
        if query.by_dimensions { ("e.dimensions AS dims", "slot, dims") } else { ("'' AS dims", "slot") };
    let excluded = if without_voided {
        format!(" AND (e.organization, e.id) NOT IN ({})", voided_ids(query))
    } else {
        String::new()
    };
    format!(
        "SELECT w.slot AS slot, {dimensions}, count() AS events_count, \
         sumWithOverflow(e.id * (2 * toUInt128(e.witness) + 1)) AS fingerprint, {quantity} AS quantity, \
         {invalid} AS invalid_count, {valued} AS valued_count, countIf(NOT ({ready})) AS unready_count \
         FROM {}{excluded} GROUP BY {group}",
        source.joined(query)
    )
}

/// The condition under which the engine can use what was extracted when the event was written.
fn ready(query: &UsageQuery) -> String {
    let mut parts = vec!["1".to_owned()];
    if query.measure != Measure::Count {
        parts.push(format!("e.value_of = w.value_of AND e.value_state != {}", ValueState::OutOfScale as u8));
    }
    if query.by_dimensions {
        parts.push("e.dimensions_of = w.dimensions_of".to_owned());
    }
    parts.join(" AND ")
}
