//! What the routes need, and the ways in which other components take part in the catalog's own actions.

use crate::add_on::wire::{AddOnRecord, AppliedAddOnRecord};
use crate::catalog::Catalog;
use crate::database::WriteTransaction;
use async_trait::async_trait;
use axum::extract::FromRef;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::idempotency::IdempotencyState;
use http_api::{ApiError, AuthState};
use serde::Serialize;
use std::sync::Arc;

/// One thing that was done because a sandbox's clock moved over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Done {
    /// When it fell due.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// What: `subscription.activated`, `subscription.ended`, `billing_run.completed`, …
    pub what: String,
    /// The id of what it was done to.
    pub id: String,
}

/// Takes part when a sandbox's clock moves: does all that fell due, in order, before the request is answered.
#[async_trait]
pub trait ClockMoved: Send + Sync {
    /// The clock of `organization` is about to move: what happened until now is done as it still shows.
    ///
    /// # Errors
    /// What the client is answered; the clock stays where it is.
    async fn clock_will_move(&self, organization: OrganizationId) -> Result<Vec<Done>, ApiError>;

    /// The clock of `organization` now shows `now`. Called again with the same `now` it must do nothing twice.
    ///
    /// # Errors
    /// What the client is answered; the clock stays where it is, and setting it to the same instant again goes on.
    async fn clock_moved(&self, organization: OrganizationId, now: Timestamp) -> Result<Vec<Done>, ApiError>;
}

/// Takes part when an organization is wiped: deletes its own rows in the same transaction, before the catalog's.
#[async_trait]
pub trait OrganizationWiped: Send + Sync {
    /// Deletes all rows of `organization`.
    ///
    /// # Errors
    /// What the client is answered; nothing is deleted then.
    async fn wipe(&self, write: &mut WriteTransaction, organization: OrganizationId) -> Result<(), ApiError>;
}

/// Takes part when an add-on is applied: makes its invoice in the same transaction.
#[async_trait]
pub trait AddOnApplied: Send + Sync {
    /// Invoices `applied`.
    ///
    /// # Errors
    /// What the client is answered; nothing is applied then.
    async fn add_on_applied(
        &self,
        write: &mut WriteTransaction,
        organization: OrganizationId,
        add_on: &AddOnRecord,
        applied: &AppliedAddOnRecord,
        now: Timestamp,
    ) -> Result<(), ApiError>;
}

/// Takes part after subscriptions of an organization were changed by request: bills a sandbox at once, so that its answers show
/// what the change cost. Live organizations are billed by the scheduler.
#[async_trait]
pub trait SubscriptionsChanged: Send + Sync {
    /// Something may have fallen due in `organization`, whose clock shows `now`.
    ///
    /// # Errors
    /// What the client is answered; the change stays, and billing goes on with the next run.
    async fn subscriptions_changed(&self, organization: OrganizationId, now: Timestamp) -> Result<(), ApiError>;
}

/// State of the catalog's routes.
#[derive(Clone)]
pub struct CatalogState {
    /// Storage.
    pub catalog: Catalog,
    /// Who is asking.
    pub auth: AuthState,
    /// What else moves with a sandbox's clock, in order.
    pub clock_moved: Vec<Arc<dyn ClockMoved>>,
    /// Whose rows go with an organization, in order.
    pub wiped: Vec<Arc<dyn OrganizationWiped>>,
    /// Who invoices add-ons.
    pub add_on_applied: Option<Arc<dyn AddOnApplied>>,
    /// Who bills a sandbox after a change of its subscriptions.
    pub subscriptions_changed: Option<Arc<dyn SubscriptionsChanged>>,
}

impl CatalogState {
    /// State without other components.
    #[must_use]
    pub fn new(catalog: Catalog, auth: AuthState) -> Self {
        Self {
            catalog,
            auth,
            clock_moved: Vec::new(),
            wiped: Vec::new(),
            add_on_applied: None,
            subscriptions_changed: None,
        }
    }

    /// State of the idempotency layer over this catalog; the gateway's events route uses it too.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencyState {
        IdempotencyState { auth: self.auth.clone(), store: Arc::new(self.catalog.clone()) }
    }
}

impl FromRef<CatalogState> for AuthState {
    fn from_ref(state: &CatalogState) -> Self {
        state.auth.clone()
    }
}

impl FromRef<CatalogState> for Catalog {
    fn from_ref(state: &CatalogState) -> Self {
        state.catalog.clone()
    }
}
