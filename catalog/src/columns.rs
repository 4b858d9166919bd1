//! Reading columns of a row by name, each with an error that names the column.

use crate::database::DatabaseError;
use domain::time::Timestamp;
use http_api::ApiError;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;
use std::str::FromStr;

/// Typed reads of a row.
pub(crate) trait Columns {
    fn text(&self, column: &'static str) -> Result<String, DatabaseError>;
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, DatabaseError>;
    fn integer(&self, column: &'static str) -> Result<i64, DatabaseError>;
    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, DatabaseError>;

    fn flag(&self, column: &'static str) -> Result<bool, DatabaseError> {
        self.integer(column).map(|value| value != 0)
    }
    fn instant(&self, column: &'static str) -> Result<Timestamp, DatabaseError> {
        self.integer(column).map(Timestamp)
    }
    fn optional_instant(&self, column: &'static str) -> Result<Option<Timestamp>, DatabaseError> {
        self.optional_integer(column).map(|value| value.map(Timestamp))
    }
    fn small(&self, column: &'static str) -> Result<u32, DatabaseError> {
        u32::try_from(self.integer(column)?).map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    fn optional_small(&self, column: &'static str) -> Result<Option<u32>, DatabaseError> {
        let value = self.optional_integer(column)?;
        value.map(u32::try_from).transpose().map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    /// A value with a text form: ids, currencies.
    fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: &'static str) -> Result<T, DatabaseError> {
        self.text(column)?.parse().map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    fn optional_parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, DatabaseError> {
        let value = self.optional_text(column)?;
        value.map(|text| text.parse()).transpose().map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    /// A JSON document.
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, DatabaseError> {
        serde_json::from_str(&self.text(column)?).map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    /// An enum kept under its wire name.
    fn named<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, DatabaseError> {
        from_name(&self.text(column)?).map_err(|fault| DatabaseError::unreadable(column, fault))
    }
    fn optional_named<T: DeserializeOwned>(&self, column: &'static str) -> Result<Option<T>, DatabaseError> {
        let value = self.optional_text(column)?;
        value.map(|name| from_name(&name)).transpose().map_err(|fault| DatabaseError::unreadable(column, fault))
    }
}

impl Columns for AnyRow {
    fn text(&self, column: &'static str) -> Result<String, DatabaseError> {
        Ok(self.try_get(column)?)
    }
    fn optional_text(&self, column: &'static str) -> Result<Option<String>, DatabaseError> {
        Ok(self.try_get(column)?)
    }
    fn integer(&self, column: &'static str) -> Result<i64, DatabaseError> {
        Ok(self.try_get(column)?)
    }
    fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, DatabaseError> {
        Ok(self.try_get(column)?)
    }
}

/// An enum's value of its wire name.
pub(crate) fn from_name<T: DeserializeOwned>(name: &str) -> Result<T, serde_json::Error> {
    serde_json::from_value(serde_json::Value::from(name))
}

/// The wire name of an enum's value.
///
/// # Errors
/// When the type is not an enum without fields: a slip of ours.
pub(crate) fn name_of<T: serde::Serialize>(value: T) -> Result<String, ApiError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        Ok(other) => Err(ApiError::internal(format!("{other} has no wire name"))),
        Err(fault) => Err(ApiError::internal(fault)),
    }
}

/// A document as it is stored.
///
/// # Errors
/// When it has no JSON form: a slip of ours.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, ApiError> {
    serde_json::to_string(value).map_err(ApiError::internal)
}
