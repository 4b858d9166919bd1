//! The REST surface: billing runs, invoices, fees and their proofs. Routes read arguments, ask the ledger, and spell answers.
//!
//! It refuses business rules: what is due, priced or written is decided elsewhere. Every answer is of the caller's
//! organization (I8); runs over all organizations are for the operator only.

mod coupons;
mod credit_notes;
#[cfg(feature = "pdf")]
mod documents;
mod export;
mod fees;
mod invoice_actions;
mod invoices;
mod ledger;
mod lifecycle;
mod payment_requests;
mod payments;
mod run_report;
mod runs;
mod usage_alerts;
mod wallets;
mod wire;

pub use wire::{
    AppliedCouponRecord, BillingRunRecord, CouponRecord, CreditNoteRecord, FeeRecord, InvoiceRecord, LineItem,
    PaymentRecord, ProofRecord, UsageAlertRecord, WalletRecord,
};

use crate::actions::ActionError;
use crate::inputs::InputError;
use crate::ledger::LedgerError;
use crate::preview::PreviewError;
use crate::prove::{FeeProver, ProveError};
use crate::run::{BillingRuns, RunError};
use axum::Router;
use axum::extract::FromRef;
use axum::middleware::from_fn_with_state;
use catalog::DatabaseError;
use http_api::{ApiError, AuthState};
use rater::{ProofError, RateError};
use sqlx::Any;
use sqlx::pool::PoolConnection;
use std::time::Duration;
use utoipa::OpenApi;

/// When to ask again while the event store is away: it is back in seconds after a restart.
const STORE_RETRY: Duration = Duration::from_secs(5);

/// State of these routes.
#[derive(Clone)]
pub struct InvoicerState {
    /// Runs, and the ledger.
    pub runs: BillingRuns,
    /// Proofs.
    pub prover: FeeProver,
    /// Who is asking.
    pub auth: AuthState,
}

impl FromRef<InvoicerState> for AuthState {
    fn from_ref(state: &InvoicerState) -> Self {
        state.auth.clone()
    }
}

impl InvoicerState {
    async fn connection(&self) -> Result<PoolConnection<Any>, ApiError> {
        Ok(self.runs.database().pool().acquire().await.map_err(DatabaseError::from)?)
    }
}

/// The routes.
pub fn router(state: InvoicerState) -> Router {
    let routes = Router::new();
    #[cfg(feature = "pdf")]
    let routes = routes.merge(documents::routes());
    routes
        .merge(runs::routes())
        .merge(run_report::routes())
        .merge(invoices::routes())
        .merge(invoice_actions::routes(&state))
        .merge(coupons::routes())
        .merge(credit_notes::routes())
        .merge(export::routes())
        .merge(fees::routes())
        .merge(ledger::routes())
        .merge(lifecycle::routes())
        .merge(wallets::routes())
        .merge(payments::routes())
        .merge(payment_requests::routes())
        .merge(usage_alerts::routes(&state))
        .layer(from_fn_with_state(state.auth.clone(), http_api::actor::named))
        .with_state(state)
}

/// The description of the routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = runs::Document::openapi();
    document.merge(run_report::Document::openapi());
    document.merge(invoices::Document::openapi());
    document.merge(invoice_actions::Document::openapi());
    document.merge(coupons::Document::openapi());
    document.merge(credit_notes::Document::openapi());
    document.merge(export::Document::openapi());
    #[cfg(feature = "pdf")]
    document.merge(documents::Document::openapi());
    document.merge(fees::Document::openapi());
    document.merge(ledger::Document::openapi());
    document.merge(lifecycle::Document::openapi());
    document.merge(wallets::Document::openapi());
    document.merge(payments::Document::openapi());
    document.merge(payment_requests::Document::openapi());
    document.merge(usage_alerts::Document::openapi());
    document
}

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Database(cause) => cause.into(),
            other => ApiError::internal(other),
        }
    }
}

impl From<InputError> for ApiError {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Catalog(cause) => cause.into(),
            InputError::Store(cause) => store_away(cause),
            other => ApiError::internal(other),
        }
    }
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Ledger(cause) => cause.into(),
            RunError::Input(cause) => cause.into(),
            // What was billed stays; asking again goes on from there.
            RunError::Failed(reason) => ApiError::unavailable("billing_incomplete", reason, STORE_RETRY),
            RunError::Unknown(_) => ApiError::not_found("Billing run"),
            other @ RunError::Thread(_) => ApiError::internal(other),
        }
    }
}

impl From<ProveError> for ApiError {
    fn from(error: ProveError) -> Self {
        match error {
            ProveError::Ledger(cause) => cause.into(),
            ProveError::Input(cause) => cause.into(),
            ProveError::Proof(ProofError::Rate(cause)) => store_away(cause),
            ProveError::NotProvable(_) => ApiError::unprocessable("not_provable", error.to_string()),
            ProveError::Proof(other) => ApiError::internal(other),
        }
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Run(cause) => cause.into(),
            ActionError::Ledger(cause) => cause.into(),
            ActionError::Api(answer) => answer,
            ActionError::NotReworked(reason) => ApiError::unprocessable("not_billable", reason),
        }
    }
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        match error {
            PreviewError::Ledger(cause) => cause.into(),
            PreviewError::Input(cause) => cause.into(),
            PreviewError::Store(cause) => store_away(cause),
            PreviewError::NotStarted => ApiError::bad_request("subscription_not_active", error.to_string()),
            PreviewError::Problem(_) | PreviewError::Money(_) | PreviewError::Tax(_) => {
                ApiError::unprocessable("not_billable", error.to_string())
            }
        }
    }
}

fn store_away(cause: RateError) -> ApiError {
    let detail = "the event store does not answer now; nothing was changed";
    ApiError::unavailable("event_store_unavailable", detail, STORE_RETRY).with_cause(cause)
}
