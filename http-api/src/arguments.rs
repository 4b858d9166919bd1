//! Path and query arguments, each refused with the contract's 422 and its place.

use crate::error::{ApiError, FieldError, Loc};
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use domain::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::str::FromStr;

/// The parameters of the route's path, decoded.
#[derive(Debug, Clone)]
pub struct PathArguments(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathArguments {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::bad_request("invalid_path", "the path is not UTF-8 once decoded"))?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()))
    }
}

impl PathArguments {
    /// The text of parameter `name`.
    ///
    /// # Errors
    /// 422 when it holds a NUL character; 500 when the route has no such parameter, a slip of ours.
    pub fn text(&self, name: &'static str) -> Result<&str, ApiError> {
        let found = self.0.iter().find(|(candidate, _)| candidate == name);
        let (_, value) = found.ok_or_else(|| ApiError::internal(format!("the route has no parameter {name}")))?;
        if value.contains('\0') {
            return Err(fault("path", name, "value_error", "contains a NUL character", value));
        }
        Ok(value)
    }

    /// Parameter `name` as an id.
    ///
    /// # Errors
    /// 422 when it is not a UUID.
    pub fn id<T: FromStr>(&self, name: &'static str) -> Result<T, ApiError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| fault("path", name, "uuid_parsing", "Input should be a valid UUID", text))
    }
}

/// The query string, decoded; names that a route does not read are ignored, as in the contract.
#[derive(Debug, Clone, Default)]
pub struct QueryArguments(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryArguments {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let unreadable = |_: QueryRejection| ApiError::bad_request("invalid_query", "the query string is malformed");
        let Query(pairs) =
            Query::<Vec<(String, String)>>::from_request_parts(parts, state).await.map_err(unreadable)?;
        Ok(Self(pairs))
    }
}

impl QueryArguments {
    /// The query string `text`, for tests and for callers without a request.
    #[must_use]
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())).collect())
    }

    /// Argument `name`, the last one when it stands several times; absent when empty.
    ///
    /// # Errors
    /// 422 when it holds a NUL character.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, ApiError> {
        let found = self.0.iter().rev().find(|(candidate, _)| candidate == name);
        match found {
            Some((_, value)) if value.contains('\0') => {
                Err(fault("query", name, "value_error", "contains a NUL character", value))
            }
            Some((_, value)) if !value.is_empty() => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// Argument `name`, which must be there.
    ///
    /// # Errors
    /// 422 when it is missing or empty.
    pub fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| {
            let loc = [Loc::from("query"), Loc::from(name)];
            ApiError::validation(vec![FieldError::new("missing", loc, "Field required", &Value::Null)])
        })
    }

    /// Argument `name` as an id.
    ///
    /// # Errors
    /// 422 when it is not a UUID.
    pub fn id<T: FromStr>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| fault("query", name, "uuid_parsing", "Input should be a valid UUID", text))
    }

    /// Argument `name` as an instant.
    ///
    /// # Errors
    /// 422 when it is not RFC 3339 with a zone.
    pub fn instant(&self, name: &'static str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // A '+' of an offset that was not escaped arrives as a space.
        let parsed = Timestamp::parse(text).or_else(|_| Timestamp::parse(&text.replace(' ', "+")));
        parsed.map(Some).map_err(|reason| fault("query", name, "datetime_parsing", &format!("Input {reason}"), text))
    }

    /// Argument `name` as one of an enum's names.
    ///
    /// # Errors
    /// 422 when it is none of them.
    pub fn choice<T: DeserializeOwned>(&self, name: &'static str) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        serde_json::from_value(Value::from(text)).map(Some).map_err(|reason| {
            let expected = reason.to_string();
            let expected = expected.split_once("expected ").map_or("", |(_, names)| names).replace('`', "'");
            fault("query", name, "enum", &format!("Input should be {expected}"), text)
        })
    }

    /// Argument `name` as an integer of `least..=most`.
    ///
    /// # Errors
    /// 422 when it is not an integer or outside.
    pub fn integer(&self, name: &'static str, least: i64, most: i64) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let Ok(value) = text.parse::<i64>() else {
            return Err(fault("query", name, "int_parsing", "Input should be a valid integer", text));
        };
        if value < least {
            let msg = format!("Input should be greater than or equal to {least}");
            return Err(fault("query", name, "greater_than_equal", &msg, text));
        }
        if value > most {
            let msg = format!("Input should be less than or equal to {most}");
            return Err(fault("query", name, "less_than_equal", &msg, text));
        }
        Ok(Some(value))
    }
}

fn fault(place: &'static str, name: &'static str, kind: &'static str, msg: &str, input: &str) -> ApiError {
    let loc = [Loc::from(place), Loc::from(name)];
    ApiError::validation(vec![FieldError::new(kind, loc, msg, &Value::from(input))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalog::SubscriptionStatus;
    use domain::ids::CustomerId;

    #[test]
    fn bad_arguments_are_refused_by_name() {
        let query =
            QueryArguments::of(&[("customer_id", "x"), ("limit", "0"), ("from", "2026-01-01"), ("status", "odd")]);
        let places = [
            query.id::<CustomerId>("customer_id").unwrap_err(),
            query.integer("limit", 1, 1000).unwrap_err(),
            query.instant("from").unwrap_err(),
            query.choice::<SubscriptionStatus>("status").unwrap_err(),
            query.required("code").unwrap_err(),
        ]
        .map(|error| serde_json::to_string(&error.faults()[0].loc).unwrap());
        assert_eq!(
            places,
            [
                r#"["query","customer_id"]"#,
                r#"["query","limit"]"#,
                r#"["query","from"]"#,
                r#"["query","status"]"#,
                r#"["query","code"]"#
            ]
        );
    }

    #[test]
    fn an_unescaped_plus_of_an_offset_is_understood() {
        let query = QueryArguments::of(&[("from", "2026-01-01T02:00:00 02:00")]);
        assert_eq!(query.instant("from").unwrap(), Some(Timestamp::parse("2026-01-01T00:00:00Z").unwrap()));
    }

    #[test]
    fn an_empty_argument_counts_as_absent() {
        assert_eq!(QueryArguments::of(&[("code", "")]).text("code").unwrap(), None);
    }
}
