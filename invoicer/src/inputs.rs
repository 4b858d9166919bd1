//! What a run needs from outside the ledger: the catalog in memory, a cut, and rated usage. The border at which the embedded
//! installation and a cluster differ.

use async_trait::async_trait;
use domain::ids::OrganizationId;
use domain::position::Cut;
use domain::time::Timestamp;
use rater::{RatedItem, RatingItem, RatingView};
use std::collections::HashMap;
use std::sync::Arc;

/// Why an input is not to be had; the text names what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InputError(Box<dyn std::error::Error + Send + Sync>);

impl InputError {
    /// From what went wrong.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}

/// The catalog at one instant.
#[derive(Clone, Debug)]
pub struct World {
    /// Subscriptions, customers, plans and metrics.
    pub view: Arc<RatingView>,
    /// Sandboxes among the organizations, with their clocks: these are billed by moving the clock, or when asked by name.
    pub sandboxes: HashMap<OrganizationId, Timestamp>,
}

/// What a run needs from outside the ledger.
#[async_trait]
pub trait BillingInputs: Send + Sync {
    /// Grows when the catalog changes. Cheap: the scheduler asks at each tick.
    fn catalog_version(&self) -> u64;

    /// The catalog of one organization, or of all, in a fixed number of queries.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn world(&self, organization: Option<OrganizationId>) -> Result<World, InputError>;

    /// Waits until every event accepted before the call is in the store, and answers up to where that is.
    ///
    /// # Errors
    /// When the store does not answer, or a partition does not get there in time (it is named).
    async fn cut(&self) -> Result<Cut, InputError>;

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
