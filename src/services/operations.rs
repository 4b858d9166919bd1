//! What operators and orchestrators ask: banner, health, readiness, metrics.
//!
//! Healthy means the process answers. Ready means it makes progress: each check asks a part whether it did something lately,
//! because a green light while nothing moves is worse than none.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use futures::future::{BoxFuture, join_all};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest time one check may take: orchestrators give up after some seconds themselves.
const CHECK_PATIENCE: Duration = Duration::from_secs(3);
/// How often histograms are drained; between that they grow with each request.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// Upper bounds of latencies, in seconds: from a cached answer (0.5 ms) to the longest request.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Asks one part whether it makes progress; the error is one line for an operator.
pub(super) type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Everything readiness depends on.
#[derive(Default)]
pub(super) struct Readiness {
    checks: Vec<(&'static str, Check)>,
    stopping: AtomicBool,
}

impl Readiness {
    /// Adds a part.
    pub(super) fn add<F: Future<Output = Result<(), String>> + Send + 'static>(
        &mut self,
        part: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) {
        self.checks.push((part, Box::new(move || Box::pin(check()))));
    }

    /// From now on not ready: the process drains.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// What is wrong, by part; empty when ready.
    pub(super) async fn problems(&self) -> Vec<(&'static str, String)> {
        if self.stopping.load(Ordering::Relaxed) {
            return vec![("process", "is shutting down".to_string())];
        }
        let asked = self.checks.iter().map(|(part, check)| async move {
            let outcome = tokio::time::timeout(CHECK_PATIENCE, check()).await;
            let late = || Err(format!("did not answer within {} s", CHECK_PATIENCE.as_secs()));
            outcome.unwrap_or_else(|_| late()).err().map(|problem| (*part, problem))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.checks.iter().map(|(part, _)| *part)
    }
}

/// Starts recording metrics; of several starts in one process the first one counts.
pub(super) fn start_metrics() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_string()), &SECONDS_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder);
    match builder {
        Ok(handle) => {
            let upkeep = handle.clone();
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(METRICS_UPKEEP).await;
                    upkeep.run_upkeep();
                }
            });
            Some(handle)
        }
        Err(fault) => {
            tracing::warn!(%fault, "metrics are not recorded");
            None
        }
    }
}

#[derive(Clone)]
struct OperationsState {
    readiness: Arc<Readiness>,
    metrics: Option<PrometheusHandle>,
    url: Arc<str>,
}

/// `/`, `/healthz`, `/readyz`, `/metrics`: no credential, no organization's data.
pub(super) fn router(readiness: Arc<Readiness>, metrics: Option<PrometheusHandle>, url: &str) -> Router {
    Router::new()
        .route("/", get(banner))
        .route("/healthz", get(async || Json(json!({"status": "ok"}))))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(OperationsState { readiness, metrics, url: url.into() })
}

#[utoipa::path(get, path = "/", tag = "Root", responses((status = 200, description = "Name, version, domain and status, all texts")))]
async fn banner(State(state): State<OperationsState>) -> Json<Value> {
    let domain = state.url.split_once("://").map_or(&*state.url, |(_, host)| host);
    Json(json!({"app": "Tollgate", "version": env!("CARGO_PKG_VERSION"), "domain": domain, "status": "running"}))
}

async fn readyz(State(state): State<OperationsState>) -> impl IntoResponse {
    let problems = state.readiness.problems().await;
    let told = |part| problems.iter().find(|(troubled, _)| *troubled == part).map_or("ok", |(_, problem)| problem);
    let mut parts: serde_json::Map<String, Value> =
        state.readiness.parts().map(|part| (part.to_string(), json!(told(part)))).collect();
    for (part, problem) in &problems {
        parts.insert((*part).to_string(), json!(problem));
    }
    let (status, word) =
        if problems.is_empty() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") };
    (status, Json(json!({"status": word, "parts": parts})))
}

async fn metrics_text(State(state): State<OperationsState>) -> impl IntoResponse {
    let text = state.metrics.map(|handle| handle.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text)
}

/// The contract's route among these.
pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    #[derive(utoipa::OpenApi)]
    #[openapi(paths(banner))]
    struct Document;
    <Document as utoipa::OpenApi>::openapi()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ready_means_every_part_says_so_in_time() {
        let mut readiness = Readiness::default();
        readiness.add("good", || async { Ok(()) });
        assert!(readiness.problems().await.is_empty());
        readiness.add("bad", || async { Err("stands still".to_string()) });
        readiness.add("silent", std::future::pending);
        let problems = readiness.problems().await;
        assert_eq!(problems[0], ("bad", "stands still".to_string()));
        assert_eq!(problems[1], ("silent", "did not answer within 3 s".to_string()));
        readiness.stop();
        assert_eq!(readiness.problems().await[0].0, "process");
    }
}
