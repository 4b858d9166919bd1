//! `/status`: how this process is, as a page a person reads without a tool, a build chain or JavaScript.
//!
//! It shows the pipeline with rates, lag, freshness and errors, what was refused and why, and the last billing runs. Figures come from the
//! process's own metrics: behind a load balancer it is the page of the process that answered.
//!
//! It refuses to show a tenant's data without a credential (I8): without one the figures are of the whole process, as on `/metrics`. With an
//! API key the runs of its organization are listed, with the admin secret all. A wrong credential is 401, not a page with less.
//! When the ledger cannot be read the page says so in the place of the runs: it is needed most when something is down.

mod figures;
mod page;
mod stages;
mod words;

use super::operations::Readiness;
use super::purpose::Purpose;
use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chrono::{SecondsFormat, Utc};
use figures::History;
use http_api::auth::{ADMIN_SECRET_HEADER, ORGANIZATION_HEADER};
use http_api::{ApiError, AuthState, Caller};
use invoicer::ledger::invoices::PageOf;
use invoicer::{BillingRuns, RunRecord};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Instant;

/// Runs that fit on a page beside the rest.
const RUNS_SHOWN: i64 = 8;

/// The page is inline as a whole: nothing is loaded, no script runs, nobody frames it.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// What the page is drawn from.
pub(super) struct Source {
    pub(super) purpose: Purpose,
    pub(super) streaming: bool,
    pub(super) readiness: Arc<Readiness>,
    pub(super) metrics: Option<PrometheusHandle>,
    pub(super) auth: AuthState,
    /// Absent in a process that bills nothing.
    pub(super) runs: Option<BillingRuns>,
}

#[derive(Clone)]
struct StatusState {
    source: Arc<Source>,
    history: Arc<History>,
    started: Instant,
}

impl FromRef<StatusState> for AuthState {
    fn from_ref(state: &StatusState) -> Self {
        state.source.auth.clone()
    }
}

/// The billing runs as the reader may see them.
enum Runs {
    /// This process bills nothing.
    None,
    /// No credential: none is listed.
    Hidden,
    /// The newest.
    Listed(Vec<RunRecord>),
    /// The ledger does not answer.
    Unknown,
}

/// Begins to remember the metrics, and serves the page.
pub(super) fn router(source: Source) -> Router {
    let history = History::start(source.metrics.clone());
    let state = StatusState { source: Arc::new(source), history, started: Instant::now() };
    Router::new().route("/status", get(status)).with_state(state)
}

async fn status(
    headers: HeaderMap,
    caller: Result<Caller, ApiError>,
    State(state): State<StatusState>,
) -> Result<Response, ApiError> {
    let names_somebody = [header::AUTHORIZATION.as_str(), ADMIN_SECRET_HEADER, ORGANIZATION_HEADER]
        .iter()
        .any(|name| headers.contains_key(*name));
    let caller = if names_somebody { Some(caller?) } else { None };
    let source = &state.source;
    let runs = runs_for(source.runs.as_ref(), caller).await;
    let problems = source.readiness.problems().await;
    let figures = state.history.figures();
    let stages = stages::of(source.purpose, source.streaming, &figures, &problems);
    let page = page::Page {
        purpose: source.purpose,
        up_for: state.started.elapsed(),
        now: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
        stages: &stages,
        problems: &problems,
        figures: &figures,
        runs: &runs,
    };
    let told = [(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY), (header::CACHE_CONTROL, "no-store")];
    Ok((told, Html(page.drawn())).into_response())
}

async fn runs_for(runs: Option<&BillingRuns>, caller: Option<Caller>) -> Runs {
    let Some(runs) = runs else { return Runs::None };
    let organization = match caller {
        None => return Runs::Hidden,
        Some(Caller::Admin) => None,
        Some(Caller::Organization(caller)) => Some(caller.organization),
    };
    let page = PageOf { order: "started_at DESC, id DESC".to_string(), skip: 0, limit: RUNS_SHOWN };
    match runs.list(organization, &page).await {
        Ok((found, _)) => Runs::Listed(found),
        Err(fault) => {
            tracing::warn!(%fault, "billing runs could not be read for the status page");
            Runs::Unknown
        }
    }
}
