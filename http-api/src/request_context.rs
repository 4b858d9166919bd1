//! Around every request: its id, one access-log line, metrics, a body for a panic, and bodies for routes that do not exist.
//!
//! The only place that logs errors of requests: level `error` from 500, `info` from 400, `debug` below (at tens of thousands
//! of events a second a line each would cost more than the events).

use crate::error::{ApiError, ErrorReport};
use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use domain::ids::OrganizationId;
use std::any::Any;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;

/// The header with the request's id, in requests (taken over when it is sane) and on every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken over from a client.
const MAX_REQUEST_ID: usize = 128;

/// The id of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(REQUEST_ID).filter(|id| {
            let bytes = id.as_bytes();
            // Visible ASCII only: the id goes into logs, where a line break would forge a line.
            !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID && bytes.iter().all(u8::is_ascii_graphic)
        });
        sent.cloned().map_or_else(Self::fresh, Self)
    }

    /// A new id: random per process, counted within it; a random number each would cost a system call per request.
    fn fresh() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let process = PROCESS.get_or_init(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let id = format!("{process:016x}-{:08x}", NEXT.fetch_add(1, Ordering::Relaxed));
        // Hexadecimal digits and a dash are always a valid header value.
        Self(HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("unknown")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// What is known of the request at hand; in its extensions, and an extractor.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// Its id.
    pub request_id: RequestId,
    organization: Arc<OnceLock<OrganizationId>>,
}

impl RequestContext {
    /// A context for work that no request started.
    #[must_use]
    pub fn detached() -> Self {
        Self { request_id: RequestId::fresh(), organization: Arc::default() }
    }

    /// Notes on whose behalf it runs, for the access log.
    pub(crate) fn note_organization(&self, organization: OrganizationId) {
        self.organization.get_or_init(|| organization);
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestContext {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_else(Self::detached))
    }
}

/// A route served with and without a final slash; `path` is given without.
pub fn collection<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    path: &str,
    methods: MethodRouter<S>,
) -> Router<S> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods)
}

/// The last step of building a server: 404 and 405 bodies, panics, request ids, log and metrics. Call it once, on the router
/// into which all others are merged.
pub fn finish(router: Router) -> Router {
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(from_fn(observe))
}

async fn no_such_route(request: Request) -> ApiError {
    let detail = format!("there is no route {}", shown_path(&request));
    ApiError::new(StatusCode::NOT_FOUND, "no_such_route", detail).as_problem()
}

async fn no_such_method(request: Request) -> ApiError {
    let detail = format!("{} is not answered by {}", request.method(), shown_path(&request));
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).as_problem()
}

fn shown_path(request: &Request) -> String {
    request.uri().path().chars().take(MAX_REQUEST_ID).collect()
}

fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of unknown kind".into());
    metrics::counter!("tollgate_http_panics_total").increment(1);
    ApiError::internal(format!("panic: {text}")).into_response()
}

async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = RequestContext { request_id: RequestId::of(request.headers()), organization: Arc::default() };
    request.extensions_mut().insert(context.clone());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, context.request_id.0.clone());
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    log(&context, &method, route, &response, started);
    count(&method, route, response.status(), started);
    response
}

fn log(context: &RequestContext, method: &Method, route: &str, response: &Response, started: Instant) {
    let status = response.status().as_u16();
    let report = response.extensions().get::<ErrorReport>();
    let code = report.map_or("", |report| report.code.as_ref());
    let cause = report.and_then(|report| report.cause.as_deref()).unwrap_or_default();
    let organization = context.organization.get().map(tracing::field::display);
    let request_id = context.request_id.as_str();
    let microseconds = started.elapsed().as_micros();
    // The path is told as its pattern: ids and tokens of a path do not belong into logs.
    match status {
        500.. => {
            tracing::error!(request_id, organization, %method, route, status, code, cause, microseconds, "request failed")
        }
        400.. => {
            tracing::info!(request_id, organization, %method, route, status, code, cause, microseconds, "request refused")
        }
        _ => tracing::debug!(request_id, organization, %method, route, status, microseconds, "request answered"),
    }
}

fn count(method: &Method, route: &str, status: StatusCode, started: Instant) {
    // A method outside HTTP's own would let a client make up label values without end.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    };
    let status = status.as_str().to_string();
    metrics::counter!("tollgate_http_requests_total", "method" => method, "route" => route.to_string(), "status" => status)
        .increment(1);
    metrics::histogram!("tollgate_http_request_seconds", "method" => method, "route" => route.to_string())
        .record(started.elapsed());
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use serde_json::Value;
    use tower::ServiceExt;

    async fn explode() -> &'static str {
        panic!("boom")
    }

    async fn ask(method: &str, path: &str, id: Option<&str>) -> (StatusCode, String, Value) {
        let router = Router::new().route("/boom", get(explode));
        let router = finish(collection(router, "/things", get(|| async { "{}" })));
        let mut request = Request::builder().method(method).uri(path);
        if let Some(id) = id {
            request = request.header(REQUEST_ID, id);
        }
        let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let id = response.headers()[REQUEST_ID].to_str().unwrap().to_string();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, id, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500_with_a_problem_body_that_tells_nothing_of_it() {
        let (status, _, body) = ask("GET", "/boom", None).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (500, Some("internal_error")));
        assert!(!body.to_string().contains("boom"));
    }

    #[tokio::test]
    async fn unknown_routes_and_methods_have_bodies_too() {
        let (status, _, body) = ask("GET", "/nowhere", None).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (404, Some("no_such_route")));
        let (status, _, body) = ask("PATCH", "/things", None).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (405, Some("method_not_allowed")));
    }

    #[tokio::test]
    async fn a_collection_answers_with_and_without_its_final_slash() {
        for path in ["/things", "/things/"] {
            assert_eq!(ask("GET", path, None).await.0, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn every_answer_carries_a_request_id_and_only_a_sane_one_is_taken_over() {
        assert_eq!(ask("GET", "/things", Some("abc-123")).await.1, "abc-123");
        for id in ["has space", &"x".repeat(129)] {
            assert_ne!(ask("GET", "/things", Some(id)).await.1, id);
        }
        assert_ne!(ask("GET", "/things", None).await.1, ask("GET", "/nowhere", None).await.1);
    }
}
