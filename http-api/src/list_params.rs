//! Paging and order of lists: `skip`, `limit`, `order_by=field:direction`, and the `X-Total-Count` header.
//!
//! Orders are total: storage breaks ties by id, so that pages neither repeat nor lose a row.

use crate::arguments::QueryArguments;
use crate::error::{ApiError, FieldError, Loc};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use serde_json::Value;

/// Rows when `limit` is not sent.
pub const DEFAULT_LIMIT: i64 = 100;
/// Most rows a page may have.
pub const MAX_LIMIT: i64 = 1000;
/// The header that tells how many rows the filters leave.
pub const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// Which page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListParams {
    /// Rows to leave out, ≥ 0.
    pub skip: i64,
    /// Rows at most, 1–1000.
    pub limit: i64,
    order_by: Option<String>,
}

/// In which order: a column of the route's own list, so it may stand in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Column, one of those the route allows.
    pub column: &'static str,
    /// Greatest first.
    pub descending: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for ListParams {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Self::read(&QueryArguments::from_request_parts(parts, state).await?)
    }
}

impl ListParams {
    /// Reads the three arguments.
    ///
    /// # Errors
    /// 422 when one is out of range.
    pub fn read(query: &QueryArguments) -> Result<Self, ApiError> {
        Ok(Self {
            skip: query.integer("skip", 0, i64::MAX)?.unwrap_or(0),
            limit: query.integer("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT),
            order_by: query.text("order_by")?.map(str::to_string),
        })
    }

    /// The order, checked against the route's columns; newest first (`created_at` descending) when none was sent.
    ///
    /// # Errors
    /// 422 for an unknown field or direction.
    pub fn order(&self, columns: &[&'static str]) -> Result<Order, ApiError> {
        let Some(sent) = &self.order_by else { return Ok(Order { column: "created_at", descending: true }) };
        let (field, direction) = sent.split_once(':').unwrap_or((sent, "asc"));
        let column = columns.iter().copied().find(|column| *column == field);
        let descending = match direction {
            "asc" => Some(false),
            "desc" => Some(true),
            _ => None,
        };
        match (column, descending) {
            (Some(column), Some(descending)) => Ok(Order { column, descending }),
            _ => {
                let msg =
                    format!("Input should be a field of {}, then optionally ':asc' or ':desc'", columns.join(", "));
                let loc = [Loc::from("query"), Loc::from("order_by")];
                Err(ApiError::validation(vec![FieldError::new("enum", loc, msg, &Value::from(sent.as_str()))]))
            }
        }
    }
}

impl Order {
    /// `column ASC, id ASC`: total, ties broken by id.
    #[must_use]
    pub fn sql(&self) -> String {
        // Null is the least on SQLite and the greatest on PostgreSQL, unless it is said. An index of PostgreSQL serves the order only
        // while it is not said: left out for the default order, whose column is never null.
        let (direction, nulls) = match (self.descending, self.column) {
            (true, "created_at") => ("DESC", ""),
            (false, "created_at") => ("ASC", ""),
            (true, _) => ("DESC", " NULLS LAST"),
            (false, _) => ("ASC", " NULLS FIRST"),
        };
        format!("{} {direction}{nulls}, id {direction}", self.column)
    }
}

/// The header for `total` rows.
#[must_use]
pub fn total_count(total: i64) -> [(HeaderName, HeaderValue); 1] {
    [(TOTAL_COUNT, HeaderValue::from(total))]
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[&str] = &["created_at", "name"];

    fn order(sent: &str) -> Result<Order, ApiError> {
        ListParams::read(&QueryArguments::of(&[("order_by", sent)])).unwrap().order(COLUMNS)
    }

    #[test]
    fn the_order_is_one_of_the_routes_own_and_total() {
        assert_eq!(order("").unwrap().sql(), "created_at DESC, id DESC");
        assert_eq!(order("name").unwrap().sql(), "name ASC NULLS FIRST, id ASC");
        assert_eq!(order("name:desc").unwrap().sql(), "name DESC NULLS LAST, id DESC");
    }

    #[test]
    fn an_unknown_field_or_direction_is_refused() {
        for sent in ["metadata", "name:sideways", "name;DROP TABLE", ":", "created_at:DESC"] {
            assert_eq!(order(sent).unwrap_err().status().as_u16(), 422, "{sent}");
        }
    }

    #[test]
    fn pages_outside_the_limits_are_refused() {
        for pair in
            [("skip", "-1"), ("limit", "0"), ("limit", "1001"), ("limit", "ten"), ("skip", "99999999999999999999")]
        {
            assert!(ListParams::read(&QueryArguments::of(&[pair])).is_err(), "{pair:?}");
        }
    }
}
