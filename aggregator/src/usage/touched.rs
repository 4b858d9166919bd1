//! Which series cannot be summed as they lie: those with voided events, and those with an id that has several rows.
//!
//! Both sets are small: voids are asked for one by one, and an id has several rows only after a writer died in between or
//! somebody changed the store. Everything else takes the fast path.

use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use crate::usage::UsageQuery;
use std::collections::HashSet;

/// Series that need more than the fast path.
#[derive(Default)]
pub(super) struct Touched {
    /// Hold an event voided inside the cut: the engine leaves those ids out.
    pub(super) voided: HashSet<u128>,
    /// Hold an id with several rows: rated row by row, the first row of each id counts.
    pub(super) doubtful: HashSet<u128>,
}

impl Touched {
    /// As of the query's cut.
    pub(super) async fn find(connection: &Connection, query: &UsageQuery) -> Result<Self, StoreError> {
        let voided =
            format!("SELECT DISTINCT series FROM event_ids WHERE (organization, id) IN ({})", voided_ids(query));
        let voided: Vec<u128> = connection.fetch_all(&voided).await?;
        let doubtful: Vec<u128> = connection.fetch_all("SELECT DISTINCT series FROM doubtful_ids").await?;
        Ok(Self { voided: voided.into_iter().collect(), doubtful: doubtful.into_iter().collect() })
    }
}

/// `(organization, id)` of everything voided inside the query's cut.
pub(super) fn voided_ids(query: &UsageQuery) -> String {
    format!("SELECT organization, id FROM voids WHERE {}", sql::in_cut(&query.cut, ""))
}
