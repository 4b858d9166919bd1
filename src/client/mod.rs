//! A client of Tollgate's own HTTP API, for the commands that go through it (`bill`, `prove`, `import`, the demo).
//!
//! It refuses to hide an answer: anything but success is an [`ApiFailure`] that carries the status, the code and the server's
//! own words. What may be tried again is decided in one place, [`retry`].

pub mod billing;
pub mod retry;

use http_api::Secret;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use std::time::Duration;

/// Longest wait for one answer: above the server's own limit for a request, so that its answer is seen rather than a timeout.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(150);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Who asks.
#[derive(Clone, Debug)]
pub enum Credential {
    /// An organization's API key.
    Key(Secret),
    /// The admin secret, for itself or in the name of an organization.
    Admin {
        /// The secret.
        secret: Secret,
        /// In whose name.
        organization: Option<String>,
    },
}

/// Why a request brought no success.
#[derive(Debug, thiserror::Error)]
pub enum ApiFailure {
    /// No answer.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Base address.
        url: String,
        /// The innermost reason.
        reason: String,
    },
    /// An answer that is not a success.
    #[error("{method} {path} answered {status}: {detail}")]
    Refused {
        /// Of the request.
        method: Method,
        /// Of the request.
        path: String,
        /// Of the answer.
        status: StatusCode,
        /// The server's own words.
        detail: String,
        /// When to try again, if the server said so.
        retry_after: Option<Duration>,
    },
    /// A success whose body is not what was expected.
    #[error("{path} answered something unusable: {reason}")]
    Unusable {
        /// Of the request.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl ApiFailure {
    /// The answer's status, when there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } | Self::Unusable { .. } => None,
        }
    }
}

/// The API at one address, asked by one caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
    credential: Credential,
}

impl Api {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// When the TLS backend cannot start.
    pub fn new(base: &str, credential: Credential) -> Result<Self, ApiFailure> {
        let base = base.trim_end_matches('/').to_string();
        let builder = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).connect_timeout(CONNECT_TIMEOUT);
        // A proxy of the environment cannot know this machine's own loopback address.
        let builder = if is_loopback(&base) { builder.no_proxy() } else { builder };
        let http = builder
            .build()
            .map_err(|fault| ApiFailure::Unreachable { url: base.clone(), reason: innermost(&fault) })?;
        Ok(Self { http, base, credential })
    }

    /// The same server, asked by someone else.
    #[must_use]
    pub fn as_caller(&self, credential: Credential) -> Self {
        Self { credential, ..self.clone() }
    }

    /// Another server, asked by the same caller.
    ///
    /// # Errors
    /// As [`Api::new`].
    pub fn at(&self, base: &str) -> Result<Self, ApiFailure> {
        Self::new(base, self.credential.clone())
    }

    /// Who asks.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Base address without a final slash.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Asks for a JSON document.
    ///
    /// # Errors
    /// Anything but a success with a JSON body.
    pub async fn get(&self, path: &str) -> Result<Value, ApiFailure> {
        self.json(Method::GET, path, self.request(Method::GET, path)).await
    }

    /// Sends a JSON document and reads the answer's.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, ApiFailure> {
        self.json(Method::POST, path, self.request(Method::POST, path).json(body)).await
    }

    /// Sends events as lines of JSON.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post_lines(&self, path: &str, lines: String) -> Result<Value, ApiFailure> {
        let request =
            self.request(Method::POST, path).header(reqwest::header::CONTENT_TYPE, "application/x-ndjson").body(lines);
        self.json(Method::POST, path, request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.credential {
            Credential::Key(key) => request.bearer_auth(key.reveal()),
            Credential::Admin { secret, organization } => {
                let admin = request.header("X-Admin-Secret", secret.reveal());
                match organization {
                    Some(organization) => admin.header("X-Organization-Id", organization),
                    None => admin,
                }
            }
        }
    }

    async fn json(&self, method: Method, path: &str, request: RequestBuilder) -> Result<Value, ApiFailure> {
        let unreachable =
            |fault: reqwest::Error| ApiFailure::Unreachable { url: self.base.clone(), reason: innermost(&fault) };
        let answer = request.send().await.map_err(unreachable)?;
        let (status, retry_after) = (answer.status(), retry::retry_after(answer.headers()));
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            let detail = detail_of(&body);
            return Err(ApiFailure::Refused { method, path: path.to_string(), status, detail, retry_after });
        }
        serde_json::from_slice(&body)
            .map_err(|fault| ApiFailure::Unusable { path: path.to_string(), reason: fault.to_string() })
    }
}

/// The server's words: `detail` as a text, or the messages of a validation list with their places, or the start of the body.
fn detail_of(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    match parsed.as_ref().and_then(|answer| answer.get("detail")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(faults)) => faults.iter().take(5).map(fault_text).collect::<Vec<_>>().join("; "),
        _ => String::from_utf8_lossy(body).chars().take(200).collect(),
    }
}

fn fault_text(fault: &Value) -> String {
    let place: Vec<String> = fault["loc"].as_array().into_iter().flatten().map(plain).collect();
    format!("{} {}", place.join("."), plain(&fault["msg"]))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

/// The last cause of a chain: "connection refused" tells more than "error sending request".
fn innermost(fault: &dyn std::error::Error) -> String {
    let mut cause = fault;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

fn is_loopback(base: &str) -> bool {
    reqwest::Url::parse(base).is_ok_and(|url| match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    })
}

/// A field of an answer as text.
///
/// # Errors
/// When it is missing or no text.
pub fn text_field<'a>(answer: &'a Value, field: &str, path: &str) -> Result<&'a str, ApiFailure> {
    answer[field].as_str().ok_or_else(|| ApiFailure::Unusable {
        path: path.to_string(),
        reason: format!("'{field}' is missing or no text"),
    })
}

/// Reads `Retry-After` as seconds; the form with a date is not used by us and counts as absent.
fn seconds_header(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
