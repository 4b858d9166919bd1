//! A JSON request body, read strictly: media type, size, syntax, then types; each fault with the contract's status and place.

use crate::error::{ApiError, FieldError, Loc};
use crate::strict_json;
use crate::validation::field_error;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest JSON body of routes other than the event routes: a plan of a thousand charges with a dozen tiers each is 1 MiB.
pub const MAX_JSON_BODY: usize = 2 * 1024 * 1024;

/// A body that must be there.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

/// A body that may be left out.
#[derive(Debug, Clone)]
pub struct OptionalJsonBody<T>(pub Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_limited(&parts.headers, body, MAX_JSON_BODY).await?;
        if bytes.is_empty() {
            let fault = FieldError::in_body("missing", [], "Field required", &Value::Null);
            return Err(ApiError::validation(vec![fault]));
        }
        require_json(&parts.headers)?;
        typed(parse(&bytes)?).map(Self)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_limited(&parts.headers, body, MAX_JSON_BODY).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        require_json(&parts.headers)?;
        typed(parse(&bytes)?).map(|value| Self(Some(value)))
    }
}

/// Reads a body of at most `limit` bytes that carries no content encoding.
///
/// # Errors
/// 413 past the limit, 415 for an encoded body, 400 when the client breaks off.
pub async fn read_limited(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(ApiError::unsupported_media_type("this route takes no Content-Encoding"));
    }
    read_as_sent(headers, body, limit).await
}

/// Reads a body of at most `limit` bytes as it came, compressed or not.
///
/// # Errors
/// 413 past the limit, 400 when the client breaks off.
pub async fn read_as_sent(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // usize to u64 is lossless on every target.
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(ApiError::body_too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => Err(ApiError::body_too_large(limit)),
        Err(fault) => Err(ApiError::bad_request("body_unreadable", "the body broke off").with_cause(fault)),
    }
}

/// The media type must be `application/json` or end in `+json`.
///
/// # Errors
/// 415 otherwise, also when there is none.
pub fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(ApiError::unsupported_media_type("send the body as Content-Type: application/json"))
}

/// Parses a body strictly ([`strict_json`]).
///
/// # Errors
/// 422 of type `json_invalid` at `["body", position]`.
pub fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    strict_json::parse(bytes).map_err(|fault| {
        let msg = format!("JSON decode error: {}", fault.reason);
        let place = [Loc::from(fault.position)];
        let mut error = ApiError::validation(vec![FieldError::in_body("json_invalid", place, msg, &Value::Null)]);
        // Contract: pydantic echoes an empty object for a body it could not read.
        error = error.with_cause(fault);
        error
    })
}

/// Turns a parsed body into a type.
///
/// # Errors
/// 422 that names the first field that does not fit.
pub fn typed<T: DeserializeOwned>(body: Value) -> Result<T, ApiError> {
    if body.is_array() {
        // serde would fill a type's fields from a list by position; no route takes a list.
        let msg = "Input should be a valid dictionary or object to extract fields from";
        return Err(ApiError::validation(vec![FieldError::in_body("model_attributes_type", [], msg, &body)]));
    }
    if let Ok(value) = serde_path_to_error::deserialize::<_, T>(&body) {
        return Ok(value);
    }
    // Read again for the fault's path: only refused requests pay for it.
    serde_path_to_error::deserialize::<_, T>(body.clone())
        .map_err(|fault| ApiError::validation(vec![field_error(&body, fault.path(), &fault.inner().to_string())]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::StatusCode;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Named {
        name: String,
    }

    #[tokio::test]
    async fn a_list_does_not_fill_the_fields_of_an_object_by_position() {
        assert_eq!(read("application/json", r#"["x"]"#).await.unwrap_err().status(), StatusCode::UNPROCESSABLE_ENTITY);
    }

    async fn read(content_type: &str, body: impl Into<Body>) -> Result<Named, ApiError> {
        let request = Request::builder().header(CONTENT_TYPE, content_type).body(body.into()).unwrap();
        JsonBody::<Named>::from_request(request, &()).await.map(|body| body.0)
    }

    #[tokio::test]
    async fn a_json_body_is_read_whatever_its_charset_parameter() {
        for media_type in ["application/json", "application/json; charset=utf-8", "application/vnd.x+json"] {
            assert_eq!(read(media_type, r#"{"name":"n"}"#).await.unwrap(), Named { name: "n".into() });
        }
    }

    #[tokio::test]
    async fn each_bad_body_has_its_own_status() {
        let cases: [(&str, Body, StatusCode); 7] = [
            ("text/plain", r#"{"name":"n"}"#.into(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
            ("application/json", "".into(), StatusCode::UNPROCESSABLE_ENTITY),
            ("application/json", "{".into(), StatusCode::UNPROCESSABLE_ENTITY),
            ("application/json", r#"{"name":"a","name":"b"}"#.into(), StatusCode::UNPROCESSABLE_ENTITY),
            ("application/json", "[]".into(), StatusCode::UNPROCESSABLE_ENTITY),
            ("application/json", "null".into(), StatusCode::UNPROCESSABLE_ENTITY),
            ("application/json", vec![b' '; MAX_JSON_BODY + 1].into(), StatusCode::PAYLOAD_TOO_LARGE),
        ];
        for (media_type, body, status) in cases {
            assert_eq!(read(media_type, body).await.unwrap_err().status(), status);
        }
    }

    #[tokio::test]
    async fn a_malformed_body_is_told_by_its_position() {
        let error = read("application/json", r#"{"name": nope}"#).await.unwrap_err();
        assert_eq!(json!(error.faults()[0].loc), json!(["body", 10]));
    }

    #[tokio::test]
    async fn an_encoded_body_is_refused_rather_than_misread() {
        let request = Request::builder().header(CONTENT_ENCODING, "gzip").body(Body::from("x")).unwrap();
        let error = JsonBody::<Named>::from_request(request, &()).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
