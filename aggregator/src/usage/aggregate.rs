//! The set-based answer: one statement aggregates every window of every scope.
//!
//! Rows whose stored value was extracted for another rule than the one asked for, or is out of scale, cannot be used by the
//! engine. It counts them per slot; such slots are done again from raw properties ([`super::fold`]): slower, never wrong.
//! The same goes for slots with rows whose stored dimensions lack a key that is asked for ([`super::projection`]).

use super::projection::Projections;
use super::source::Source;
use super::touched::voided_ids;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::extract::ValueState;
use crate::usage::{Measure, UsageQuery, UsageRow, UsageWindow};
use bigdecimal::BigDecimal;
use clickhouse::Row;
use domain::identity::EventId;
use domain::time::Timestamp;
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// One aggregated row as the engine sends it.
#[derive(Row, Deserialize)]
struct Aggregated {
    slot: u32,
    keys: u64,
    dims: String,
    events_count: u64,
    fingerprint: u128,
    quantity: String,
    moment: String,
    newest_at: i64,
    newest_id: u128,
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
    let projections = Projections::load(connection, query).await?;
    let source = Source::prepare(connection, query, windows).await?;
    let statement = statement(query, &source, without_voided);
    let scopes = if query.by_dimensions { scope_of_slot(windows) } else { HashMap::new() };
    let mut collector = Collector { measure: query.measure, projections, scopes, open: None, unready: HashSet::new() };
    let outcome = collector.collect(connection, &statement, on_row).await;
    source.discard(connection).await;
    outcome.map(|()| collector.unready)
}

pub(super) fn scope_of_slot(windows: &[UsageWindow]) -> HashMap<u32, u32> {
    windows.iter().map(|window| (window.slot, window.scope)).collect()
}

/// Rows of one slot, which follow one another in the answer.
struct OpenSlot {
    slot: u32,
    ready: bool,
    rows: HashMap<String, UsageRow>,
}

/// Puts the answer together, slot by slot: memory holds one slot's groups, however many slots there are.
struct Collector {
    measure: Measure,
    projections: Projections,
    scopes: HashMap<u32, u32>,
    open: Option<OpenSlot>,
    unready: HashSet<u32>,
}

impl Collector {
    async fn collect(
        &mut self,
        connection: &Connection,
        statement: &str,
        on_row: &mut (impl FnMut(UsageRow) + Send),
    ) -> Result<(), StoreError> {
        let mut cursor = connection.fetch::<Aggregated>(statement)?;
        while let Some(row) = cursor.next().await? {
            if self.open.as_ref().is_some_and(|open| open.slot != row.slot) {
                self.close(on_row);
            }
            self.add(row)?;
        }
        self.close(on_row);
        Ok(())
    }

    fn add(&mut self, row: Aggregated) -> Result<(), StoreError> {
        let open = self.open.get_or_insert_with(|| OpenSlot { slot: row.slot, ready: true, rows: HashMap::new() });
        let scope = self.scopes.get(&row.slot).copied().unwrap_or_default();
        let dimensions = self.projections.project(scope, row.keys, &row.dims);
        let (Some(dimensions), 0) = (dimensions, row.unready_count) else {
            open.ready = false;
            return Ok(());
        };
        let own = usage_row(self.measure, &row, dimensions)?;
        match open.rows.get_mut(&own.dimensions) {
            Some(merged) => merge(self.measure, merged, &own),
            None => drop(open.rows.insert(own.dimensions.clone(), own)),
        }
        Ok(())
    }

    fn close(&mut self, on_row: &mut (impl FnMut(UsageRow) + Send)) {
        match self.open.take() {
            Some(open) if open.ready => open.rows.into_values().for_each(on_row),
            Some(open) => drop(self.unready.insert(open.slot)),
            None => {}
        }
    }
}

fn usage_row(measure: Measure, row: &Aggregated, dimensions: String) -> Result<UsageRow, StoreError> {
    let number = |text: &str| -> Result<BigDecimal, StoreError> {
        let read: BigDecimal =
            text.parse().map_err(|_| StoreError::Corrupt(format!("the number '{text}' of a usage query")))?;
        Ok(read.normalized())
    };
    let has_newest = measure == Measure::Latest && row.valued_count > 0;
    Ok(UsageRow {
        slot: row.slot,
        dimensions,
        events_count: row.events_count,
        fingerprint: row.fingerprint,
        quantity: number(&row.quantity)?,
        moment: number(&row.moment)?,
        newest: has_newest.then_some((Timestamp(row.newest_at), EventId(row.newest_id))),
        invalid_count: row.invalid_count,
        valued_count: row.valued_count,
    })
}

/// Two stored combinations that are one for the asker. Never called for a distinct count: those are not projected.
fn merge(measure: Measure, merged: &mut UsageRow, other: &UsageRow) {
    let takes_other = match measure {
        Measure::Count | Measure::Sum | Measure::WeightedSum | Measure::UniqueCount => false,
        // A combination without a value says nothing about the extreme.
        _ if other.valued_count == 0 => false,
        _ if merged.valued_count == 0 => true,
        Measure::Max => other.quantity > merged.quantity,
        Measure::Min => other.quantity < merged.quantity,
        Measure::Latest => other.newest > merged.newest,
    };
    if takes_other {
        merged.quantity.clone_from(&other.quantity);
        merged.newest = other.newest;
    } else if matches!(measure, Measure::Count | Measure::Sum | Measure::WeightedSum | Measure::UniqueCount) {
        merged.quantity = (&merged.quantity + &other.quantity).normalized();
        merged.moment = (&merged.moment + &other.moment).normalized();
    }
    merged.events_count += other.events_count;
    merged.fingerprint = merged.fingerprint.wrapping_add(other.fingerprint);
    merged.invalid_count += other.invalid_count;
    merged.valued_count += other.valued_count;
}

fn statement(query: &UsageQuery, source: &Source, without_voided: bool) -> String {
    let usable = format!("e.value_state = {}", ValueState::Usable as u8);
    // Values are 0 where the state is not usable; 38 digits summed 10¹⁸ times stay within Decimal256's 76.
    let sum = "toString(sum(toDecimal256(e.value, 18)))";
    let extreme = |function: &str| {
        format!("toString(if(countIf({usable}) = 0, toDecimal128(0, 18), {function}If(e.value, {usable})))")
    };
    let quantity = match query.measure {
        Measure::Count => "toString(count())".to_owned(),
        Measure::Sum | Measure::WeightedSum => sum.to_owned(),
        Measure::Max => extreme("max"),
        Measure::Min => extreme("min"),
        Measure::Latest => newest("e.value", "toString", &usable),
        Measure::UniqueCount => format!("toString(uniqExactIf(e.text, {usable}))"),
    };
    let moment = match query.measure {
        // 38 digits times the 16 of an instant, summed 10¹⁸ times: 72 of 76.
        Measure::WeightedSum => "toString(sum(toDecimal256(e.value, 18) * toUnixTimestamp64Micro(e.timestamp)))",
        _ => "'0'",
    };
    let (newest_at, newest_id) = match query.measure {
        Measure::Latest => {
            (newest("toUnixTimestamp64Micro(e.timestamp)", "toInt64", &usable), newest("e.id", "toUInt128", &usable))
        }
        _ => ("toInt64(0)".to_owned(), "toUInt128(0)".to_owned()),
    };
    let (invalid, valued, unready) = match query.measure {
        Measure::Count => ("toUInt64(0)".to_owned(), "count()".to_owned(), "toUInt64(0)".to_owned()),
        _ => (
            format!("countIf(e.value_state = {})", ValueState::Unusable as u8),
            format!("countIf({usable})"),
            format!("countIf(e.value_of != {} OR e.value_state = {})", source.value_of, ValueState::OutOfScale as u8),
        ),
    };
    let (dimensions, group) = if query.by_dimensions {
        ("e.dimensions_of AS keys, e.dimensions AS dims", "slot, keys, dims ORDER BY slot")
    } else {
        ("toUInt64(0) AS keys, '' AS dims", "slot")
    };
    let excluded = if without_voided { format!(" AND e.id NOT IN ({})", voided_ids(query)) } else { String::new() };
    format!(
        "SELECT {} AS slot, {dimensions}, count() AS events_count, {FINGERPRINT} AS fingerprint, \
         {quantity} AS quantity, {moment} AS moment, {newest_at} AS newest_at, {newest_id} AS newest_id, {invalid} AS invalid_count, {valued} AS valued_count, {unready} AS unready_count \
         FROM {}{excluded} GROUP BY {group}",
        source.slot,
        source.joined(query)
    )
}

/// `what` of the newest event with a value; of one instant, the one with the greatest id.
fn newest(what: &str, form: &str, usable: &str) -> String {
    format!("{form}(argMaxIf({what}, (e.timestamp, e.id), {usable}))")
}

/// The sum of `domain::identity::fingerprint_term` modulo 2¹²⁸. The engine multiplies in 256 bits; cut to 128 they wrap as the
/// domain's do.
const FINGERPRINT: &str = "sum(toUInt128(e.id * (2 * toUInt128(e.witness) + 1)))";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(quantity: &str, valued_count: u64) -> UsageRow {
        UsageRow {
            slot: 1,
            dimensions: String::new(),
            events_count: 2,
            fingerprint: u128::MAX,
            quantity: quantity.parse().unwrap(),
            moment: quantity.parse().unwrap(),
            newest: (valued_count > 0).then(|| (Timestamp(7), EventId(quantity.parse().unwrap_or(0)))),
            invalid_count: 1,
            valued_count,
        }
    }

    #[test]
    fn combinations_are_merged_as_their_measure_says() {
        for (measure, one, other, wanted) in [
            (Measure::Min, ("3", 1), ("0", 0), "3"),
            (Measure::Min, ("3", 1), ("2", 1), "2"),
            (Measure::Latest, ("3", 1), ("5", 1), "5"),
            (Measure::Latest, ("5", 1), ("3", 1), "5"),
            (Measure::Latest, ("0", 0), ("3", 1), "3"),
            (Measure::Sum, ("3", 1), ("2", 1), "5"),
        ] {
            let mut merged = row(one.0, one.1);
            merge(measure, &mut merged, &row(other.0, other.1));
            assert_eq!(merged.quantity, wanted.parse::<BigDecimal>().unwrap(), "{measure:?}");
        }
        let mut merged = row("3", 1);
        merge(Measure::WeightedSum, &mut merged, &row("2", 1));
        assert_eq!(merged.moment, BigDecimal::from(5));
    }

    #[test]
    fn a_maximum_leaves_out_combinations_without_a_value() {
        for (one, other, wanted) in
            [(("0", 0), ("-5", 1), "-5"), (("-5", 1), ("0", 0), "-5"), (("-5", 1), ("-2", 1), "-2")]
        {
            let mut merged = row(one.0, one.1);
            merge(Measure::Max, &mut merged, &row(other.0, other.1));
            assert_eq!(merged.quantity, wanted.parse::<BigDecimal>().unwrap());
            assert_eq!((merged.events_count, merged.fingerprint, merged.invalid_count), (4, u128::MAX - 1, 2));
        }
    }
}
