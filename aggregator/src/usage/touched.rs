//! Which series cannot be summed as they lie: those with voided events, and those with an id that has several rows.
//!
//! Both sets are small: voids are asked for one by one, and an id has several rows only when two writers ran at once or
//! somebody changed the store. Everything else takes the fast path. What counts is decided at the cut (I3): a void beyond it
//! is not heeded, and of an id's rows the first one inside it wins.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use crate::usage::{MetricScope, UsageQuery};
use clickhouse::Row;
use domain::position::{Cut, Position};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap, HashSet};

/// What needs more than the fast path.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// Series that hold an event voided inside the cut.
    pub(super) voided: HashSet<u128>,
    /// Ids with several rows.
    pub(super) doubtful: Doubtful,
}

/// Ids with several rows, and which of them counts.
#[derive(Debug, Default)]
pub(super) struct Doubtful {
    /// Series that hold a row of such an id.
    pub(super) series: HashSet<u128>,
    /// The row that counts, by id; an id is absent when none lies inside the cut.
    pub(super) first: HashMap<u128, Position>,
}

#[derive(Row, Deserialize)]
struct DoubtfulRow {
    id: u128,
    series: u128,
    epoch: u16,
    partition: u16,
    offset: u64,
    line: u32,
}

impl Touched {
    /// As of `cut`, in the organizations that the queries name.
    pub(super) async fn find(connection: &Connection, queries: &[&UsageQuery], cut: &Cut) -> Result<Self, StoreError> {
        let organizations = named(queries.iter().flat_map(|query| &query.scopes));
        let doubtful =
            format!("SELECT id, series, epoch, partition, offset, line FROM doubtful_ids WHERE {organizations}");
        let (voided, doubtful) = futures::try_join!(
            voided_series(connection, &organizations, cut),
            connection.fetch_all::<DoubtfulRow>(&doubtful)
        )?;
        Ok(Self { voided: voided.into_iter().collect(), doubtful: Doubtful::of(cut, &doubtful) })
    }
}

/// Series that hold an event voided inside `cut`.
async fn voided_series(connection: &Connection, organizations: &str, cut: &Cut) -> Result<Vec<u128>, StoreError> {
    // Most installations void nothing: the number of rows is metadata, the question itself costs the engine three times as much.
    let voids: u64 = connection.fetch_one("SELECT count() FROM voids").await?;
    if voids == 0 {
        return Ok(Vec::new());
    }
    let statement = format!(
        "SELECT series FROM voids WHERE {organizations} AND series != 0 AND {in_cut} \
         UNION DISTINCT SELECT series FROM event_ids WHERE {organizations} AND id IN \
         (SELECT id FROM voids WHERE {organizations} AND series = 0 AND {in_cut})",
        in_cut = sql::in_cut(cut, "")
    );
    connection.fetch_all(&statement).await
}

impl Doubtful {
    fn of(cut: &Cut, rows: &[DoubtfulRow]) -> Self {
        let mut found = Self::default();
        for row in rows {
            found.series.insert(row.series);
            let position = Position { epoch: row.epoch, partition: row.partition, offset: row.offset, index: row.line };
            if cut.contains(position) {
                let first = found.first.entry(row.id).or_insert(position);
                *first = position.min(*first);
            }
        }
        found
    }
}

/// The condition that names the query's organizations, for the small tables (I8).
pub(super) fn organizations(query: &UsageQuery) -> String {
    named(&query.scopes)
}

fn named<'a>(scopes: impl IntoIterator<Item = &'a MetricScope>) -> String {
    let organizations: BTreeSet<_> = scopes.into_iter().map(|scope| scope.organization).collect();
    format!("organization IN {}", sql::list(organizations.into_iter().map(sql::organization)))
}

/// The ids voided inside the query's cut, as a subquery. An id is derived from its organization: two never share one.
pub(super) fn voided_ids(query: &UsageQuery) -> String {
    format!("SELECT id FROM voids WHERE {} AND {}", organizations(query), sql::in_cut(&query.cut, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_id_with_several_rows_the_first_inside_the_cut_counts() {
        let row = |id, offset| DoubtfulRow { id, series: 9, epoch: 0, partition: 0, offset, line: 0 };
        let found = Doubtful::of(&Cut::direct(5), &[row(1, 7), row(1, 4), row(1, 3), row(2, 6), row(2, 9)]);
        assert_eq!(found.first.get(&1).map(|position| position.offset), Some(3));
        assert_eq!(found.first.get(&2), None);
        assert_eq!(found.series, HashSet::from([9]));
    }
}
