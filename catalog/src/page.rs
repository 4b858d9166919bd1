//! One page of a list, with the number of rows that the filters leave.

use crate::database::DatabaseError;
use http_api::{ApiError, ListParams};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};

/// Which rows of which table. All parts are our own texts; what a client sent is bound.
pub(crate) struct Listing<'a> {
    /// Table.
    pub(crate) table: &'static str,
    /// Conditions on `$1`, `$2`, …
    pub(crate) condition: &'static str,
    /// What is bound to them.
    pub(crate) bound: &'a [String],
    /// Columns that a client may order by.
    pub(crate) orders: &'static [&'static str],
}

impl Listing<'_> {
    /// The rows of one page and the number of rows in all.
    pub(crate) async fn page(&self, pool: &AnyPool, params: &ListParams) -> Result<(Vec<AnyRow>, i64), ApiError> {
        let order = params.order(self.orders)?;
        let (limit, offset) = (self.bound.len() + 1, self.bound.len() + 2);
        let select = format!(
            "SELECT * FROM {} WHERE {} ORDER BY {} LIMIT ${limit} OFFSET ${offset}",
            self.table,
            self.condition,
            order.sql()
        );
        let mut query = sqlx::query(AssertSqlSafe(select));
        for value in self.bound {
            query = query.bind(value.clone());
        }
        let rows = query.bind(params.limit).bind(params.skip).fetch_all(pool).await.map_err(DatabaseError::from)?;
        Ok((rows, self.count(pool).await?))
    }

    async fn count(&self, pool: &AnyPool) -> Result<i64, ApiError> {
        let mut query =
            sqlx::query(AssertSqlSafe(format!("SELECT COUNT(*) FROM {} WHERE {}", self.table, self.condition)));
        for value in self.bound {
            query = query.bind(value.clone());
        }
        let row = query.fetch_one(pool).await.map_err(DatabaseError::from)?;
        Ok(row.try_get(0).map_err(DatabaseError::from)?)
    }
}
