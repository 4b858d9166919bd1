//! The one error of all HTTP surfaces, and its two wire forms.
//!
//! - Where the contract fixes the body: `{"detail": "...", "code": "..."}`; for validation
//!   `{"detail": [{"type", "loc", "msg", "input"}], "code": "validation_error"}`.
//! - Elsewhere (no such route, not built yet, our own failures): RFC 9457 `application/problem+json`, which carries `detail` and
//!   `code` too, so that a client which knows only the contract's form can read it.
//!
//! What went wrong inside (`cause`) is never sent to the client: it travels in the response's extensions to the one place
//! that logs it, [`crate::request_context`].

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// One step of the way to a faulty field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Loc {
    /// Name of a member, parameter or header.
    Name(Cow<'static, str>),
    /// Place in a list, or byte position in a malformed body.
    Index(usize),
}

impl From<&'static str> for Loc {
    fn from(name: &'static str) -> Self {
        Self::Name(Cow::Borrowed(name))
    }
}

impl From<String> for Loc {
    fn from(name: String) -> Self {
        Self::Name(Cow::Owned(name))
    }
}

impl From<usize> for Loc {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// One fault of a request: which field, what is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Machine-readable kind, such as `missing`, `string_too_long`, `value_error`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// Where: starts with `body`, `query`, `path` or `header`.
    pub loc: Vec<Loc>,
    /// What is wrong, for a person.
    pub msg: String,
    /// What was sent there; cut when it is long.
    #[schema(value_type = Object)]
    pub input: Value,
}

/// Longest text of a client that is sent back in an error: enough to recognise it, too little to reflect a body of megabytes.
const MAX_ECHO_CHARS: usize = 200;

impl FieldError {
    /// A fault at `loc`.
    pub fn new(
        kind: impl Into<Cow<'static, str>>,
        loc: impl IntoIterator<Item = Loc>,
        msg: impl Into<String>,
        input: &Value,
    ) -> Self {
        Self { kind: kind.into(), loc: loc.into_iter().collect(), msg: msg.into(), input: shortened(input) }
    }

    /// A fault of the body's field at `path` (without the leading `body`).
    pub fn in_body(
        kind: impl Into<Cow<'static, str>>,
        path: impl IntoIterator<Item = Loc>,
        msg: impl Into<String>,
        input: &Value,
    ) -> Self {
        Self::new(kind, std::iter::once(Loc::from("body")).chain(path), msg, input)
    }
}

fn shortened(input: &Value) -> Value {
    match input {
        Value::String(text) if text.chars().count() > MAX_ECHO_CHARS => {
            Value::String(text.chars().take(MAX_ECHO_CHARS).chain(['…']).collect())
        }
        Value::Number(number) if number.as_str().len() > MAX_ECHO_CHARS => {
            Value::String(number.as_str().chars().take(MAX_ECHO_CHARS).chain(['…']).collect())
        }
        Value::Array(_) | Value::Object(_) if input.to_string().len() > MAX_ECHO_CHARS => Value::Null,
        _ => input.clone(),
    }
}

#[derive(Clone, Debug)]
enum Detail {
    Text(Cow<'static, str>),
    Fields(Vec<FieldError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Contract,
    Problem,
}

/// An answer that is not a success.
#[derive(Clone)]
pub struct ApiError {
    // Boxed: results travel through every handler, and most are Ok.
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Detail,
    form: Form,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

/// What the access log learns of an error answer; found in the response's extensions.
#[derive(Clone, Debug)]
pub struct ErrorReport {
    /// The machine code that was sent.
    pub code: Cow<'static, str>,
    /// What went wrong inside; never sent to the client.
    pub cause: Option<String>,
}

impl ApiError {
    /// Any error with a text; contract form below 500, problem form from 500.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        let form = if status.is_server_error() { Form::Problem } else { Form::Contract };
        let detail = Detail::Text(detail.into());
        Self { inner: Box::new(Inner { status, code: code.into(), detail, form, retry_after: None, cause: None }) }
    }

    /// 422 with a list of faults.
    #[must_use]
    pub fn validation(faults: Vec<FieldError>) -> Self {
        let mut error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", "");
        error.inner.detail = Detail::Fields(faults);
        error
    }

    /// 422 with one fault of the body's field `name`.
    #[must_use]
    pub fn invalid_field(name: &'static str, msg: impl Into<String>, input: &Value) -> Self {
        Self::validation(vec![FieldError::in_body("value_error", [Loc::from(name)], msg, input)])
    }

    /// 400.
    pub fn bad_request(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 401, with the `WWW-Authenticate` header that RFC 9110 demands.
    pub fn unauthorized(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// 403.
    pub fn forbidden(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 404 `{what} not found`.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("{what} not found"))
    }

    /// 409.
    pub fn conflict(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: the body is longer than `limit` bytes.
    #[must_use]
    pub fn body_too_large(limit: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", format!("the body is longer than {limit} bytes"))
    }

    /// 415.
    pub fn unsupported_media_type(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 422 with a plain text, for rules over several fields or over stored data.
    pub fn unprocessable(code: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
    }

    /// 429: this caller's limit.
    pub fn too_many_requests(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).with_retry_after(retry_after)
    }

    /// 503: our limit or a part of ours that is down.
    pub fn unavailable(
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_retry_after(retry_after)
    }

    /// 500. The cause is logged and not sent.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        let detail = "Something failed inside Tollgate; the log has it under this request id.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail).with_cause(cause)
    }

    /// 501: a route of the contract that is not built yet.
    #[must_use]
    pub fn not_built(method: &str, path: &str) -> Self {
        let detail = format!("{method} {path} is part of the API but not built yet");
        Self::new(StatusCode::NOT_IMPLEMENTED, "not_built", detail)
    }

    /// Adds `Retry-After`, rounded up to whole seconds, at least 1.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.inner.retry_after = Some(after);
        self
    }

    /// Adds what went wrong inside, for the log.
    #[must_use]
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.inner.cause = Some(cause.to_string());
        self
    }

    /// Answers as RFC 9457 also below 500.
    #[must_use]
    pub fn as_problem(mut self) -> Self {
        self.inner.form = Form::Problem;
        self
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// Its machine code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.inner.code
    }

    /// What is wrong, for a person, in one text.
    #[must_use]
    pub fn detail_text(&self) -> String {
        match &self.inner.detail {
            Detail::Text(text) => text.to_string(),
            Detail::Fields(faults) => faults.iter().map(|fault| fault.msg.as_str()).collect::<Vec<_>>().join("; "),
        }
    }

    /// The faults, when it is a validation error.
    #[must_use]
    pub fn faults(&self) -> &[FieldError] {
        match &self.inner.detail {
            Detail::Fields(faults) => faults,
            Detail::Text(_) => &[],
        }
    }

    /// What went wrong inside, if anything did.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.inner.cause.as_deref()
    }

    fn body(&self) -> Value {
        let inner = &self.inner;
        let detail = match &inner.detail {
            Detail::Text(text) => Value::from(text.as_ref()),
            Detail::Fields(faults) => json!(faults),
        };
        let mut body = Map::new();
        if inner.form == Form::Problem {
            body.insert("type".into(), "about:blank".into());
            body.insert("title".into(), inner.status.canonical_reason().unwrap_or("Error").into());
            body.insert("status".into(), inner.status.as_u16().into());
        }
        body.insert("detail".into(), detail);
        body.insert("code".into(), inner.code.as_ref().into());
        Value::Object(body)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.inner.status.as_u16(), self.inner.code)?;
        f.write_str(&self.detail_text())?;
        self.inner.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.inner.status, self.body().to_string()).into_response();
        let content_type = match self.inner.form {
            Form::Contract => "application/json",
            Form::Problem => "application/problem+json",
        };
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.inner.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tollgate\""));
        }
        if let Some(after) = self.inner.retry_after {
            // Rounded up: a client that waits as told must not come a moment too early.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            if let Ok(value) = HeaderValue::try_from(seconds.to_string()) {
                response.headers_mut().insert(RETRY_AFTER, value);
            }
        }
        let Inner { code, cause, .. } = *self.inner;
        response.extensions_mut().insert(ErrorReport { code, cause });
        response
    }
}

/// The contract's error body, for the OpenAPI document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ErrorBody {
    /// What is wrong, for a person; a list of faults for validation errors.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// What is wrong, for a program.
    #[schema(example = "not_found")]
    pub code: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validation_error_lists_each_fault_with_its_place() {
        let fault = FieldError::in_body("missing", ["charges".into(), 2.into()], "Field required", &Value::Null);
        let body = ApiError::validation(vec![fault]).body();
        assert_eq!(
            body,
            json!({"detail": [{"type": "missing", "loc": ["body", "charges", 2], "msg": "Field required", "input": null}],
                   "code": "validation_error"})
        );
    }

    #[test]
    fn the_cause_of_an_internal_error_is_reported_but_not_sent() {
        let response = ApiError::internal("the disk is on fire").into_response();
        assert_eq!(response.extensions().get::<ErrorReport>().unwrap().cause.as_deref(), Some("the disk is on fire"));
        assert!(!ApiError::internal("the disk is on fire").body().to_string().contains("fire"));
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        let response = ApiError::too_many_requests("slow down", Duration::from_millis(1001)).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn a_long_input_is_cut_in_the_answer() {
        let fault = FieldError::in_body("value_error", [], "too long", &Value::from("é".repeat(10_000)));
        assert_eq!(fault.input.as_str().unwrap().chars().count(), MAX_ECHO_CHARS + 1);
    }
}
