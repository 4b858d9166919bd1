//! One partition of one table: what is in it up to a cut, as statements and as a digest.

use super::tables::Table;
use crate::connection::Connection;
use crate::error::StoreError;
use crate::sql;
use clickhouse::Row;
use domain::position::Cut;
use serde::{Deserialize, Serialize};

/// What two stores must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// Σ cityHash64 of all columns, modulo 2⁶⁴: in any order.
    pub sum: u64,
}

/// A partition of a store.
pub(super) struct Partition<'a> {
    pub(super) table: Table,
    /// ClickHouse's partition id.
    pub(super) id: &'a str,
    pub(super) cut: &'a Cut,
    pub(super) columns: &'a [String],
}

impl Partition<'_> {
    /// `FROM … WHERE …`: its rows.
    fn source(&self) -> String {
        let merged = if self.table.replaces { " FINAL" } else { "" };
        let inside = if self.table.positions { format!(" AND {}", sql::in_cut(self.cut, "")) } else { String::new() };
        format!(
            "FROM {}{merged} WHERE _partition_id = {}{inside}",
            sql::identifier(self.table.name),
            sql::text(self.id)
        )
    }

    fn listed(&self) -> String {
        self.columns.iter().map(|column| sql::identifier(column)).collect::<Vec<_>>().join(", ")
    }

    /// Its rows, of all columns.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} {}", self.listed(), self.source())
    }

    /// What takes these rows.
    pub(super) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}) FORMAT Native", sql::identifier(self.table.name), self.listed())
    }

    /// What the engine finds in it.
    pub(super) async fn digest(&self, connection: &Connection) -> Result<Digest, StoreError> {
        let statement = format!("SELECT count() AS rows, sum(cityHash64({})) AS sum {}", self.listed(), self.source());
        connection.fetch_one(&statement).await
    }

    /// Rows in it, also beyond the cut.
    pub(super) async fn rows(&self, connection: &Connection) -> Result<u64, StoreError> {
        let (table, id) = (sql::identifier(self.table.name), sql::text(self.id));
        connection.fetch_one(&format!("SELECT count() FROM {table} WHERE _partition_id = {id}")).await
    }

    /// Empties it.
    pub(super) async fn drop(&self, connection: &Connection) -> Result<(), StoreError> {
        let (table, id) = (sql::identifier(self.table.name), sql::text(self.id));
        connection.execute(&format!("ALTER TABLE {table} DROP PARTITION ID {id}")).await
    }
}

/// Names of a table's columns, in their order.
pub(super) async fn columns(connection: &Connection, table: Table) -> Result<Vec<String>, StoreError> {
    let statement = format!(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {} ORDER BY position",
        sql::text(table.name)
    );
    connection.fetch_all(&statement).await
}

/// Ids of a table's partitions.
pub(super) async fn partitions(connection: &Connection, table: Table) -> Result<Vec<String>, StoreError> {
    let statement = format!(
        "SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = currentDatabase() AND table = {} ORDER BY partition_id",
        sql::text(table.name)
    );
    connection.fetch_all(&statement).await
}
