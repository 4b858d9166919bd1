//! What a run needs from outside the ledger: the catalog in memory, a cut, and rated usage. The border at which the embedded
//! installation and a cluster differ.

use aggregator::streaming::LogCuts;
use async_trait::async_trait;
use catalog::billing::{change_mark, may_charge_in_advance, may_have_thresholds, sandbox_clocks};
use catalog::{BillingCatalog, BillingScope, BillingTerms, Catalog, DatabaseError};
use domain::identity::EventId;
use domain::ids::{CustomerId, OrganizationId};
use domain::position::Cut;
use domain::time::Timestamp;
use http_api::SharedClock;
use rater::advance::{AdvancePayers, AdvancedItem};
use rater::late::{AdjustedStretch, BilledStretch, Changes};
use rater::{RateError, RatedItem, Rater, RatingItem, RatingView};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Why an input is not to be had; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] DatabaseError),
    /// The event store did not answer.
    #[error(transparent)]
    Store(#[from] RateError),
    /// A thread ended without an answer.
    #[error("a thread that prepared the catalog broke off: {0}")]
    Thread(String),
    /// Anything else, such as a partition that stands still.
    #[error("{0}")]
    Other(String),
}

/// The catalog at one instant.
#[derive(Clone, Debug)]
pub struct World {
    /// Subscriptions, customers, plans and metrics.
    pub view: Arc<RatingView>,
    /// Taxes, billing entities, commitments.
    pub terms: Arc<BillingTerms>,
    /// Sandboxes among the organizations, with their clocks: these are billed by moving the clock, or when asked by name.
    pub sandboxes: HashMap<OrganizationId, Timestamp>,
}

/// What a run needs from outside the ledger.
#[async_trait]
pub trait BillingInputs: Send + Sync {
    /// Differs once the catalog has changed. Cheap: the scheduler asks at each tick.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    async fn catalog_mark(&self) -> Result<String, InputError>;

    /// The catalog of one organization, or of all, in a fixed number of queries.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn world(&self, organization: Option<OrganizationId>) -> Result<World, InputError>;

    /// The catalog of one customer: its subscriptions, and whatever decides which events are theirs.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn customer_world(&self, organization: OrganizationId, customer: CustomerId) -> Result<World, InputError>;

    /// Waits until every event accepted before the call is in the store, and answers up to where that is.
    ///
    /// # Errors
    /// When the store does not answer, or a partition does not get there in time (it is named).
    async fn cut(&self) -> Result<Cut, InputError>;

    /// Whether any plan may have a charge that is paid in advance: a narrow question, asked before the whole catalog is read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    async fn may_charge_in_advance(&self) -> Result<bool, InputError>;

    /// Whether any subscription may have a usage threshold: as narrow a question.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    async fn may_have_thresholds(&self) -> Result<bool, InputError>;

    /// What the clocks of sandboxes show now; a catalog in memory may be older.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    async fn sandbox_clocks(&self) -> Result<HashMap<OrganizationId, Timestamp>, InputError>;

    /// Which part of time changed for which subscriptions between two cuts, in some metrics.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn changed_in(
        &self,
        view: &Arc<RatingView>,
        codes: Vec<(OrganizationId, String)>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, InputError>;

    /// Up to where accepted events are in the store, without a look at what a crash may have left: for what is billed as it comes in.
    ///
    /// # Errors
    /// As [`BillingInputs::cut`].
    async fn cut_so_far(&self) -> Result<Cut, InputError>;

    /// The stretches in which events of charges that are paid in advance came in between two cuts.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn touched_stretches(
        &self,
        view: &Arc<RatingView>,
        payers: &Arc<AdvancePayers>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<RatingItem>, InputError>;

    /// What the events that came in between two cuts owe under charges that are paid in advance, by stretch, in their order.
    ///
    /// # Errors
    /// As [`BillingInputs::rate`].
    async fn advance_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError>;

    /// What recurring metrics that are paid in advance carry into stretches, in their order.
    ///
    /// # Errors
    /// As [`BillingInputs::rate`].
    async fn carried_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError>;

    /// The events voided inside a cut.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn voided(&self, until: &Cut) -> Result<Vec<EventId>, InputError>;

    /// Which part of time changed for which subscriptions between two cuts.
    ///
    /// # Errors
    /// When the store does not answer.
    async fn changes(
        &self,
        view: &Arc<RatingView>,
        before: Timestamp,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, InputError>;

    /// Rates closed stretches again at a cut and tells what differs from what was billed, in their order.
    ///
    /// # Errors
    /// As [`BillingInputs::rate`].
    async fn adjustments(
        &self,
        view: &Arc<RatingView>,
        stretches: Vec<BilledStretch>,
        cut: &Cut,
    ) -> Result<Vec<AdjustedStretch>, InputError>;

    /// Rates stretches at a cut, in their order.
    ///
    /// # Errors
    /// When the store does not answer; what concerns one stretch only is in its own answer.
    async fn rate(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<RatedItem>, InputError>;
}

/// Inputs from the catalog and the event store.
///
/// Where the gateway writes to the store itself, what is accepted is committed: the cut of this instant holds every event
/// accepted before it. Where the store is written from a log, what is accepted is in the log: a run waits until everything that
/// was there when it began is in the store.
#[derive(Clone)]
pub struct StoreInputs {
    catalog: Catalog,
    rater: Rater,
    clock: SharedClock,
    log: Option<(LogCuts, Duration)>,
}

impl StoreInputs {
    /// From the catalog, the rater, and the machine's clock.
    #[must_use]
    pub fn new(catalog: Catalog, rater: Rater, clock: SharedClock) -> Self {
        Self { catalog, rater, clock, log: None }
    }

    /// Of a store that is written from a log; a run fails, naming the partition that holds it up, after `patience`.
    #[must_use]
    pub fn behind_log(self, cuts: LogCuts, patience: Duration) -> Self {
        Self { log: Some((cuts, patience)), ..self }
    }

    /// Ids with more than one row, should a crash have left any: their series are read on the exact path from here on (I2).
    async fn verify(&self) -> Result<(), InputError> {
        let verified = self.rater.store().verify_unique_ids().await.map_err(RateError::from)?;
        if verified.doubtful > 0 {
            tracing::warn!(ids = verified.ids, doubtful = verified.doubtful, "ids with several rows are rated exactly");
        }
        Ok(())
    }

    async fn world_of(&self, scope: BillingScope) -> Result<World, InputError> {
        let mut all = self.catalog.billing_catalog(scope).await?;
        let now = self.clock.now();
        let sandboxes = all.organizations.iter().filter(|(_, known)| known.sandbox);
        let sandboxes = sandboxes.map(|(id, known)| (*id, known.clock.unwrap_or(now))).collect();
        let terms = Arc::new(std::mem::take(&mut all.terms));
        Ok(World { view: Arc::new(view_over(all).await?), terms, sandboxes })
    }
}

/// The catalog of a scope in memory.
///
/// # Errors
/// When it cannot be read.
pub async fn view_of(catalog: &Catalog, scope: BillingScope) -> Result<RatingView, InputError> {
    Ok(view_and_terms_of(catalog, scope).await?.0)
}

/// The catalog of a scope in memory, and what invoicing needs besides.
///
/// # Errors
/// When it cannot be read.
pub async fn view_and_terms_of(
    catalog: &Catalog,
    scope: BillingScope,
) -> Result<(RatingView, BillingTerms), InputError> {
    let mut all = catalog.billing_catalog(scope).await?;
    let terms = std::mem::take(&mut all.terms);
    Ok((view_over(all).await?, terms))
}

/// Parsing the prices of every plan version keeps a processor busy, so it is done off the event loop.
async fn view_over(all: BillingCatalog) -> Result<RatingView, InputError> {
    let build = move || {
        let plans = all.plans.into_values().flatten().collect();
        let metrics = all.metrics.into_values().flatten().collect();
        RatingView::new(all.customers.into_values().collect(), all.subscriptions, plans, metrics)
    };
    tokio::task::spawn_blocking(build).await.map_err(|error| InputError::Thread(error.to_string()))
}

#[async_trait]
impl BillingInputs for StoreInputs {
    async fn catalog_mark(&self) -> Result<String, InputError> {
        Ok(change_mark(self.catalog.database()).await?)
    }

    async fn world(&self, organization: Option<OrganizationId>) -> Result<World, InputError> {
        let scope = organization.map_or(BillingScope::All, BillingScope::Organization);
        self.world_of(scope).await
    }

    async fn customer_world(&self, organization: OrganizationId, customer: CustomerId) -> Result<World, InputError> {
        self.world_of(BillingScope::Customer(organization, customer)).await
    }

    async fn cut(&self) -> Result<Cut, InputError> {
        let cut = self.cut_so_far().await?;
        self.verify().await?;
        Ok(cut)
    }

    async fn may_charge_in_advance(&self) -> Result<bool, InputError> {
        Ok(may_charge_in_advance(self.catalog.database()).await?)
    }

    async fn may_have_thresholds(&self) -> Result<bool, InputError> {
        Ok(may_have_thresholds(self.catalog.database()).await?)
    }

    async fn sandbox_clocks(&self) -> Result<HashMap<OrganizationId, Timestamp>, InputError> {
        let clocks = sandbox_clocks(self.catalog.database()).await?;
        let now = self.clock.now();
        Ok(clocks.into_iter().map(|(id, clock)| (id, clock.unwrap_or(now))).collect())
    }

    async fn changed_in(
        &self,
        view: &Arc<RatingView>,
        codes: Vec<(OrganizationId, String)>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, InputError> {
        Ok(self.rater.changed_in(view, codes, after, until).await?)
    }

    async fn cut_so_far(&self) -> Result<Cut, InputError> {
        match &self.log {
            Some((cuts, patience)) => cuts.wait(*patience).await.map_err(|error| InputError::Other(error.to_string())),
            None => Ok(self.rater.store().committed_cut().await.map_err(RateError::from)?),
        }
    }

    async fn touched_stretches(
        &self,
        view: &Arc<RatingView>,
        payers: &Arc<AdvancePayers>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<RatingItem>, InputError> {
        Ok(self.rater.touched_stretches(view, payers, after, until).await?)
    }

    async fn advance_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        after: &Cut,
        until: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError> {
        Ok(self.rater.advance_fees(view, items, after, until).await?)
    }

    async fn carried_fees(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<AdvancedItem>, InputError> {
        Ok(self.rater.carried_fees(view, items, cut).await?)
    }

    async fn voided(&self, until: &Cut) -> Result<Vec<EventId>, InputError> {
        Ok(self.rater.store().voided_events(until).await.map_err(RateError::from)?)
    }

    async fn changes(
        &self,
        view: &Arc<RatingView>,
        before: Timestamp,
        after: &Cut,
        until: &Cut,
    ) -> Result<Changes, InputError> {
        Ok(self.rater.changed_subscriptions(view, before, after, until).await?)
    }

    async fn adjustments(
        &self,
        view: &Arc<RatingView>,
        stretches: Vec<BilledStretch>,
        cut: &Cut,
    ) -> Result<Vec<AdjustedStretch>, InputError> {
        Ok(self.rater.adjustments(view, stretches, cut).await?)
    }

    async fn rate(
        &self,
        view: &Arc<RatingView>,
        items: Vec<RatingItem>,
        cut: &Cut,
    ) -> Result<Vec<RatedItem>, InputError> {
        Ok(self.rater.rate(view, items, cut).await?)
    }
}
