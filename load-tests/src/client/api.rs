//! The JSON side of the API, for setup and audit: plain request and answer, retried while the system is overloaded.

use super::target::Target;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// How a caller proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// `Authorization: Bearer …`.
    ApiKey(String),
    /// `X-Admin-Secret`, acting for this organization where one is named.
    Admin {
        /// The secret.
        secret: String,
        /// `X-Organization-Id`.
        organization: Option<String>,
    },
}

/// A client of the JSON API.
#[derive(Clone, Debug)]
pub struct Api {
    target: Target,
    credential: Credential,
    http: reqwest::Client,
}

/// An answer with its status and body.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// JSON body; null when there is none or it is not JSON.
    pub body: Value,
    /// `X-Total-Count`.
    pub total: Option<u64>,
}

/// Why the API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error("{method} {path}: {source}")]
    Transport {
        /// Method.
        method: Method,
        /// Path.
        path: String,
        /// Cause.
        source: reqwest::Error,
    },
    /// An answer with a status that is not expected here.
    #[error("{method} {path} answered {status}: {body}")]
    Status {
        /// Method.
        method: Method,
        /// Path.
        path: String,
        /// Status code.
        status: u16,
        /// Body, shortened.
        body: String,
    },
    /// An answer that lacks something the contract promises.
    #[error("the answer of {path} lacks {what}")]
    Shape {
        /// Path.
        path: String,
        /// What is missing.
        what: String,
    },
}

/// Attempts per request while the answer is 429 or 503: with doubling pauses from 50 ms, about 6 s in all.
const ATTEMPTS: u32 = 8;

impl Api {
    /// A client with a limit per request.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(target: Target, credential: Credential, limit: Duration) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(limit).no_proxy().build()?;
        Ok(Self { target, credential, http })
    }

    /// The same client under another credential.
    #[must_use]
    pub fn with(&self, credential: Credential) -> Self {
        Self { credential, ..self.clone() }
    }

    /// The same client towards another address.
    #[must_use]
    pub fn at(&self, target: Target) -> Self {
        Self { target, ..self.clone() }
    }

    /// How this client proves who it is.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// `GET`; any status is an answer.
    ///
    /// # Errors
    /// [`ApiError::Transport`].
    pub async fn get(&self, path: &str) -> Result<Reply, ApiError> {
        self.call(Method::GET, path, None).await
    }

    /// `GET` that must answer 200.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn read(&self, path: &str) -> Result<Reply, ApiError> {
        let reply = self.get(path).await?;
        if reply.status == 200 { Ok(reply) } else { Err(unexpected(Method::GET, path, &reply)) }
    }

    /// `POST` that must answer one of `expected`.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn post(&self, path: &str, body: &Value, expected: &[u16]) -> Result<Reply, ApiError> {
        let reply = self.call(Method::POST, path, Some(body)).await?;
        if expected.contains(&reply.status) { Ok(reply) } else { Err(unexpected(Method::POST, path, &reply)) }
    }

    /// All rows of a list, page by page.
    ///
    /// # Errors
    /// Any [`ApiError`].
    pub async fn list(&self, path: &str) -> Result<Vec<Value>, ApiError> {
        const PAGE: usize = 1_000;
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut rows = Vec::new();
        loop {
            let page = self.read(&format!("{path}{separator}limit={PAGE}&skip={}", rows.len())).await?;
            let Value::Array(found) = page.body else {
                return Err(ApiError::Shape { path: path.to_owned(), what: "a JSON array".to_owned() });
            };
            let full = found.len() == PAGE;
            rows.extend(found);
            if !full {
                return Ok(rows);
            }
        }
    }

    /// The text of `/metrics`; `None` when there is none.
    pub async fn metrics(&self) -> Option<String> {
        let answer = self.http.get(self.target.url("/metrics")).send().await.ok()?;
        if answer.status() != StatusCode::OK {
            return None;
        }
        answer.text().await.ok()
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, ApiError> {
        let mut pause = Duration::from_millis(50);
        let mut attempts_left = ATTEMPTS;
        loop {
            let mut request = self.authorized(self.http.request(method.clone(), self.target.url(path)));
            if let Some(body) = body {
                request = request.json(body);
            }
            let reply = reply(request).await.map_err(|source| ApiError::Transport {
                method: method.clone(),
                path: path.to_owned(),
                source,
            })?;
            attempts_left -= 1;
            if !matches!(reply.status, 429 | 503) || attempts_left == 0 {
                return Ok(reply);
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.credential {
            Credential::ApiKey(key) => request.bearer_auth(key),
            Credential::Admin { secret, organization } => {
                let request = request.header("X-Admin-Secret", secret);
                match organization {
                    Some(id) => request.header("X-Organization-Id", id),
                    None => request,
                }
            }
        }
    }
}

impl Reply {
    /// A text field of the body.
    ///
    /// # Errors
    /// [`ApiError::Shape`] when it is missing or no text.
    pub fn text(&self, path: &str, field: &str) -> Result<String, ApiError> {
        let found = self.body.pointer(field).and_then(Value::as_str).map(str::to_owned);
        found.ok_or_else(|| ApiError::Shape { path: path.to_owned(), what: field.to_owned() })
    }
}

async fn reply(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let total = answer.headers().get("x-total-count").and_then(|value| value.to_str().ok()?.parse().ok());
    let bytes = answer.bytes().await?;
    Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), total })
}

fn unexpected(method: Method, path: &str, reply: &Reply) -> ApiError {
    let body = reply.body.to_string().chars().take(300).collect();
    ApiError::Status { method, path: path.to_owned(), status: reply.status, body }
}
