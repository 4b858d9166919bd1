//! `Idempotency-Key`: the same request sent twice has one effect and one answer.
//!
//! A key is scoped by organization, method and path (behaviour W3 replayed another route's answer). The same key with another
//! body is 422; while the first request runs, a second is 409; a success is stored for 24 hours and replayed with
//! `Idempotency-Replayed: true`; an error is not stored, so the client may correct the request and use its key again.
//!
//! Failure behaviour: once a key is claimed the request runs to its end even when the client hangs up, so that a claim is always
//! answered or given back. A process that dies in between leaves a claim that storage lets go after its lease; the effect
//! may then have happened without a stored answer, and the natural keys (external ids, transaction ids) catch the repeat.
//!
//! Requests without the header pay one header look-up. Storage is a trait: the gateway needs no catalog for it.

use crate::actor::carried;
use crate::auth::AuthState;
use crate::error::{ApiError, FieldError, Loc};
use crate::json_body::{MAX_JSON_BODY, read_as_sent};
use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// The request header.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The answer's header when it was given before.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key, in characters.
pub const MAX_KEY_CHARS: usize = 255;

/// A request under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Tenant.
    pub organization: OrganizationId,
    /// HTTP method.
    pub method: String,
    /// Path without a final slash and without the query.
    pub path: String,
    /// The client's key, 1–255 characters.
    pub key: String,
    /// SHA-256 of the body as sent.
    pub body_hash: [u8; 32],
}

/// An answer that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAnswer {
    /// HTTP status.
    pub status: u16,
    /// The JSON body, empty for none.
    pub body: String,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours now: run, then [`IdempotencyStore::keep`] or [`IdempotencyStore::release`].
    Fresh,
    /// It was answered.
    Answered(StoredAnswer),
    /// Its first request is still running.
    Running,
    /// It came with another body before.
    OtherBody,
}

/// Where keys and answers are kept.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims a key atomically: of two calls at once one gets [`Claim::Fresh`].
    ///
    /// # Errors
    /// When storage fails.
    async fn claim(&self, request: &IdempotentRequest, now: Timestamp) -> Result<Claim, ApiError>;

    /// Stores the answer of a claimed key.
    ///
    /// # Errors
    /// When storage fails.
    async fn keep(&self, request: &IdempotentRequest, answer: &StoredAnswer) -> Result<(), ApiError>;

    /// Gives a claimed key back unanswered.
    ///
    /// # Errors
    /// When storage fails.
    async fn release(&self, request: &IdempotentRequest) -> Result<(), ApiError>;
}

/// What the layer needs.
#[derive(Clone)]
pub struct IdempotencyState {
    /// Who is asking.
    pub auth: AuthState,
    /// Where keys are kept.
    pub store: Arc<dyn IdempotencyStore>,
}

/// The middleware: `post(handler).layer(from_fn_with_state(state, idempotent))`.
pub async fn idempotent(State(state): State<IdempotencyState>, request: Request, next: Next) -> Response {
    let Some(key) = request.headers().get(IDEMPOTENCY_KEY).cloned() else { return next.run(request).await };
    match claimed(&state, &key, request).await {
        Ok(Step::Answer(response)) => *response,
        Ok(Step::Run(scope, request)) => run_to_the_end(state.store, scope, *request, next).await,
        Err(error) => error.into_response(),
    }
}

enum Step {
    Answer(Box<Response>),
    Run(IdempotentRequest, Box<Request>),
}

async fn claimed(state: &IdempotencyState, key: &HeaderValue, request: Request) -> Result<Step, ApiError> {
    let key = checked_key(key)?;
    let caller = state.auth.authenticate(request.headers()).await?;
    let (parts, body) = request.into_parts();
    // As sent: whether the route takes a compressed body is for the route to say.
    let body = read_as_sent(&parts.headers, body, MAX_JSON_BODY).await?;
    let scope = IdempotentRequest {
        organization: caller.organization,
        method: parts.method.to_string(),
        path: parts.uri.path().trim_end_matches('/').to_string(),
        key,
        body_hash: Sha256::digest(&body).into(),
    };
    // The machine's clock, not a sandbox's: the 24 hours are about retries, not about billing.
    match state.store.claim(&scope, state.auth.clock.now()).await? {
        Claim::Fresh => Ok(Step::Run(scope, Box::new(Request::from_parts(parts, Body::from(body))))),
        Claim::Answered(answer) => Ok(Step::Answer(Box::new(replayed(answer)))),
        Claim::Running => Err(ApiError::conflict(
            "idempotency_key_in_use",
            "the first request under this Idempotency-Key is still running; try again in a moment",
        )
        .with_retry_after(Duration::from_secs(1))),
        Claim::OtherBody => Err(ApiError::unprocessable(
            "idempotency_key_reused",
            "this Idempotency-Key was used with another body; use a new key for a new request",
        )),
    }
}

fn checked_key(key: &HeaderValue) -> Result<String, ApiError> {
    let text = key.to_str().unwrap_or_default();
    if text.is_empty() || text.chars().count() > MAX_KEY_CHARS {
        let loc = [Loc::from("header"), Loc::from("Idempotency-Key")];
        let msg = format!("should have 1 to {MAX_KEY_CHARS} ASCII characters");
        return Err(ApiError::validation(vec![FieldError::new("value_error", loc, msg, &Value::from(text))]));
    }
    Ok(text.to_string())
}

fn replayed(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = (status, answer.body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}

async fn run_to_the_end(
    store: Arc<dyn IdempotencyStore>,
    scope: IdempotentRequest,
    request: Request,
    next: Next,
) -> Response {
    // A task of its own: a client that hangs up must not leave the claim open.
    let whole = tokio::spawn(carried(async move {
        // And one inside it: a handler that panics must not either.
        match tokio::spawn(carried(next.run(request))).await {
            Ok(response) if response.status().is_success() => kept(store.as_ref(), &scope, response).await,
            Ok(response) => {
                give_back(store.as_ref(), &scope).await;
                response
            }
            Err(panic) => {
                give_back(store.as_ref(), &scope).await;
                ApiError::internal(panic).into_response()
            }
        }
    }));
    whole.await.unwrap_or_else(|fault| ApiError::internal(fault).into_response())
}

async fn kept(store: &dyn IdempotencyStore, scope: &IdempotentRequest, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    // Our own handlers' bodies are in memory: reading one cannot fail but for a slip of ours.
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(fault) => {
            give_back(store, scope).await;
            return ApiError::internal(fault).into_response();
        }
    };
    let answer = StoredAnswer { status: parts.status.as_u16(), body: text_of(&bytes) };
    if let Err(fault) = store.keep(scope, &answer).await {
        // The effect has happened and the client learns of it; only a repeat would not be recognised.
        tracing::error!(%fault, "the answer of an Idempotency-Key could not be stored");
        metrics::counter!("tollgate_http_idempotency_failures_total").increment(1);
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn text_of(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn give_back(store: &dyn IdempotencyStore, scope: &IdempotentRequest) {
    if let Err(fault) = store.release(scope).await {
        // The lease ends the claim; until then repeats are answered 409.
        tracing::error!(%fault, "an Idempotency-Key could not be given back");
        metrics::counter!("tollgate_http_idempotency_failures_total").increment(1);
    }
}
