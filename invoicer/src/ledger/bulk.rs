//! Many rows in few statements: `INSERT … VALUES (…), (…), …`, the one form of bulk insert both databases share.
//!
//! A statement of one row costs a round trip to the database's thread (SQLite) or server (PostgreSQL), about 30 µs; a fee must
//! cost less than 10. It refuses to commit or to retry: both are the caller's.

use super::LedgerError;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe};
use std::fmt::Write;

/// One value of a row.
#[derive(Clone, Debug)]
pub enum Cell {
    /// BIGINT.
    Int(i64),
    /// BIGINT or null.
    MaybeInt(Option<i64>),
    /// TEXT.
    Text(String),
    /// TEXT or null.
    MaybeText(Option<String>),
}

/// Most parameters of one statement that both databases take: SQLite 32,766, PostgreSQL 65,535.
const MAX_PARAMETERS: usize = 32_766;
/// More rows in a statement save nothing measurable and make it slower to parse.
const MAX_ROWS: usize = 200;
/// The driver asks SQLite for the name of each parameter before it binds it, and SQLite looks through the names of all others for it:
/// of the 6,600 parameters of 200 fees that took nine tenths of writing them. So there they have none, only their order.
const NAMELESS_IN: &str = "SQLite";

/// Values of one list (`IN ($1,$2,…)`): these are looked up by name, each among all before it, and more save nothing measurable.
pub const LISTED_AT_ONCE: usize = 500;

/// `INSERT INTO table (columns) VALUES … tail`.
#[derive(Clone, Copy, Debug)]
pub struct BulkInsert {
    /// Table.
    pub table: &'static str,
    /// Columns, separated by commas.
    pub columns: &'static str,
    /// What follows the values: an `ON CONFLICT` clause, or nothing.
    pub tail: &'static str,
}

impl BulkInsert {
    /// Inserts all rows and answers how many the database says it wrote.
    ///
    /// # Errors
    /// As the database; rows before the fault are written unless the caller rolls back.
    pub async fn run(&self, connection: &mut AnyConnection, rows: Vec<Vec<Cell>>) -> Result<u64, LedgerError> {
        let width = self.columns.split(',').count();
        let batch = (MAX_PARAMETERS / width).min(MAX_ROWS);
        let numbered = connection.backend_name() != NAMELESS_IN;
        let mut written = 0;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let cells: Vec<Vec<Cell>> = rows.by_ref().take(batch).collect();
            let mut query = sqlx::query(AssertSqlSafe(self.sql(width, cells.len(), numbered)));
            for cell in cells.into_iter().flatten() {
                query = match cell {
                    Cell::Int(value) => query.bind(value),
                    Cell::MaybeInt(value) => query.bind(value),
                    Cell::Text(value) => query.bind(value),
                    Cell::MaybeText(value) => query.bind(value),
                };
            }
            written += query.execute(&mut *connection).await?.rows_affected();
        }
        Ok(written)
    }

    fn sql(&self, width: usize, rows: usize, numbered: bool) -> String {
        // "$12345," is seven characters.
        let mut sql = String::with_capacity(self.columns.len() + self.tail.len() + 64 + rows * width * 7);
        let _ = write!(sql, "INSERT INTO {} ({}) VALUES ", self.table, self.columns);
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..width {
                sql.push_str(if column == 0 { "" } else { "," });
                if numbered {
                    // Writing to a String cannot fail.
                    let _ = write!(sql, "${}", row * width + column + 1);
                } else {
                    sql.push('?');
                }
            }
            sql.push(')');
        }
        sql.push(' ');
        sql.push_str(self.tail);
        sql
    }
}

/// All rows of a statement about a list of any length, asked for in pieces. `sql` is given the piece's list (`$1,$2,…`) for its `IN (…)`;
/// rows come in the order of the statement within a piece, and piece by piece.
///
/// # Errors
/// As the database.
pub async fn rows_in<Id: ToString>(
    connection: &mut AnyConnection,
    ids: &[Id],
    sql: impl Fn(&str) -> String,
) -> Result<Vec<AnyRow>, LedgerError> {
    let mut rows = Vec::new();
    for some in ids.chunks(LISTED_AT_ONCE) {
        let values: Vec<String> = some.iter().map(ToString::to_string).collect();
        let statement = sql(&placeholders(0, values.len()));
        rows.extend(query_with(statement, &values).fetch_all(&mut *connection).await?);
    }
    Ok(rows)
}

/// A query with these texts as its first parameters.
pub fn query_with(sql: String, values: &[String]) -> Query<'_, Any, AnyArguments> {
    values.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, value| query.bind(value.clone()))
}

/// `$1,$2,…` for a list of `count` values, beginning after `before` others.
#[must_use]
pub fn placeholders(before: usize, count: usize) -> String {
    (1..=count).map(|index| format!("${}", before + index)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_through_all_rows_or_known_by_their_order() {
        let insert = BulkInsert { table: "t", columns: "a, b", tail: "ON CONFLICT DO NOTHING" };
        assert_eq!(insert.sql(2, 2, true), "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING");
        assert_eq!(insert.sql(2, 2, false), "INSERT INTO t (a, b) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING");
        assert_eq!(placeholders(2, 3), "$3,$4,$5");
    }
}
