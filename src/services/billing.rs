//! Usage, billing runs and invoices: rater and invoicer over one store and one ledger.

use super::operations::Readiness;
use super::purpose::Purpose;
use crate::configuration::Configuration;
use crate::failure::Failure;
use aggregator::EventStore;
use aggregator::streaming::LogCuts;
use axum::Router;
use catalog::Catalog;
use catalog::state::CatalogState;
use http_api::{AuthState, SharedClock};
use invoicer::{BillingRuns, FeeProver, InvoicerState, Lease, Portions, Scheduler, StoreInputs};
use rater::{Rater, RaterState};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle};

/// How soon a run is noticed that was asked for elsewhere, or whose process died: a person who waits for it does not feel it, and
/// a look is one narrow query.
const LOOK_FOR_RUNS: Duration = Duration::from_millis(500);

/// Where runs are, and under which name this process has them.
#[derive(Clone, Copy)]
pub(super) struct Ledger<'a> {
    pub(super) catalog: &'a Catalog,
    /// Of the data directory: only one process at a time has it, so its next start takes up at once what it had. Absent in a
    /// service by itself, whose runs others take when its lease is over.
    pub(super) instance: Option<&'a str>,
}

/// Rater, billing runs and what starts them.
pub(super) struct Billing {
    runs: BillingRuns,
    rater: Rater,
    scheduler: Option<Arc<JoinHandle<()>>>,
    looking: Option<AbortHandle>,
}

impl Billing {
    /// Opens the invoicer's tables, takes up what a dead process left and, when configured, bills as periods end.
    ///
    /// # Errors
    /// When the ledger cannot be read or written, or the log's settings are refused.
    pub(super) async fn open(
        configuration: &Configuration,
        purpose: Purpose,
        ledger: Ledger<'_>,
        store: &EventStore,
        clock: &SharedClock,
    ) -> Result<Self, Failure> {
        let catalog = ledger.catalog;
        let rater = Rater::new(store.clone());
        let mut inputs = StoreInputs::new(catalog.clone(), rater.clone(), clock.clone());
        if let Some(kafka) = &configuration.kafka {
            inputs = inputs.behind_log(LogCuts::new(kafka, store.clone()), configuration.billing_wait);
        }
        let runs = BillingRuns::open(catalog.database().clone(), Arc::new(inputs), clock.clone(), Portions::default());
        let mut runs = runs.await.map_err(Failure::trouble)?.executing(purpose.executes());
        if let Some(holder) = ledger.instance {
            runs = runs.leasing(Lease { holder: holder.into(), ..Lease::default() });
        }
        let mut billing = Self { runs, rater, scheduler: None, looking: None };
        if purpose.stays() {
            billing.runs.resume().await.map_err(Failure::trouble)?;
            billing.looking = Some(tokio::spawn(take_up(billing.runs.clone())).abort_handle());
        }
        if purpose.bills_automatically() && configuration.billing_automatic {
            let ticking = Scheduler::new(billing.runs.clone()).run(configuration.billing_check, clock.clone());
            billing.scheduler = Some(Arc::new(tokio::spawn(ticking)));
        }
        Ok(billing)
    }

    /// The scheduler must not have ended.
    pub(super) fn add_checks(&self, readiness: &mut Readiness) {
        let Some(scheduler) = self.scheduler.clone() else { return };
        readiness.add("scheduler", move || {
            let ended = scheduler.is_finished();
            async move { if ended { Err("automatic billing has ended; the log says why".to_string()) } else { Ok(()) } }
        });
    }

    /// For who only shows them.
    pub(super) fn runs(&self) -> BillingRuns {
        self.runs.clone()
    }

    /// The catalog's routes with billing behind them: clocks that move, organizations that are wiped, add-ons, changes.
    pub(super) fn taking_part_in(&self, mut catalog: CatalogState) -> CatalogState {
        catalog.clock_moved.push(Arc::new(self.runs.clone()));
        catalog.wiped.push(Arc::new(self.runs.clone()));
        catalog.add_on_applied = Some(Arc::new(self.runs.clone()));
        catalog.subscriptions_changed = Some(Arc::new(self.runs.clone()));
        catalog
    }

    /// Routes of usage, events, runs, invoices and fees.
    pub(super) fn router(&self, catalog: &Catalog, auth: &AuthState) -> Router {
        let bills = Some(Arc::new(self.runs.clone()) as Arc<dyn rater::late_events::BilledUsage>);
        let rater = RaterState { rater: self.rater.clone(), catalog: catalog.clone(), auth: auth.clone(), bills };
        let prover = FeeProver::new(catalog.clone(), self.rater.clone());
        let invoicer = InvoicerState { runs: self.runs.clone(), prover, auth: auth.clone() };
        rater::router(rater).merge(invoicer::router(invoicer))
    }

    /// Interrupts billing; the next start resumes it.
    pub(super) async fn stop(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.abort();
        }
        if let Some(looking) = &self.looking {
            looking.abort();
        }
        self.runs.stop().await;
    }
}

/// Takes up runs that were asked for elsewhere or whose process died, for as long as this one lives.
async fn take_up(runs: BillingRuns) {
    loop {
        tokio::time::sleep(LOOK_FOR_RUNS).await;
        if let Err(fault) = runs.resume().await {
            tracing::warn!(%fault, "looking for billing runs failed; it is tried again");
        }
    }
}
