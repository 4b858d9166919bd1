//! Usage alerts as people make, change and look at them; what fires them is [`crate::run`].

use crate::actions::ActionError;
use crate::api::UsageAlertRecord;
use crate::inputs::{InputError, view_of};
use crate::ledger::alerts::{self, StoredAlert};
use crate::run::BillingRuns;
use crate::run::alerts::running;
use catalog::audit::{Change, written_down};
use catalog::{BillingScope, Catalog};
use domain::ids::OrganizationId;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::ApiError;
use rater::metering::quantities;
use rater::{RateError, Rater};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

const RESOURCE: &str = "usage_alert";

/// Usage of the running period, and its bounds.
#[derive(Clone, Debug)]
pub struct Metered {
    /// How much.
    pub usage: Quantity,
    /// First instant, and the first after it.
    pub period: (Timestamp, Timestamp),
}

impl BillingRuns {
    /// Makes an alert; it is compared with the usage there is within about a second.
    ///
    /// # Errors
    /// As the database.
    pub async fn create_alert(&self, alert: StoredAlert) -> Result<StoredAlert, ActionError> {
        let mut write = self.database().write().await?;
        alerts::insert(write.connection(), &alert).await?;
        let shown = UsageAlertRecord::of(&alert);
        let change = Change { resource: RESOURCE, before: None, after: Some(&shown) };
        written_down(&mut write, alert.organization, alert.id, change, alert.created_at).await?;
        write.commit().await?;
        Ok(alert)
    }

    /// One alert.
    ///
    /// # Errors
    /// 404 when the organization has no such alert.
    pub async fn alert(&self, organization: OrganizationId, id: Uuid) -> Result<StoredAlert, ActionError> {
        let mut connection = self.database().pool().acquire().await?;
        let found = alerts::get(&mut connection, organization, id).await?;
        found.ok_or_else(|| ApiError::not_found("Usage alert").into())
    }

    /// Changes an alert from `before`.
    ///
    /// # Errors
    /// 409 when somebody else changed it meanwhile.
    pub async fn update_alert(&self, before: &StoredAlert, after: StoredAlert) -> Result<StoredAlert, ActionError> {
        let counts_anew = (&before.threshold, before.recurring) != (&after.threshold, after.recurring);
        let mut write = self.database().write().await?;
        if !alerts::update(write.connection(), &after, counts_anew).await? {
            return Err(ApiError::conflict("changed", "the alert was changed meanwhile: look again").into());
        }
        let (old, new) = (UsageAlertRecord::of(before), UsageAlertRecord::of(&after));
        let change = Change { resource: RESOURCE, before: Some(&old), after: Some(&new) };
        written_down(&mut write, after.organization, after.id, change, after.updated_at).await?;
        write.commit().await?;
        self.alert(after.organization, after.id).await
    }

    /// Deletes an alert with its firings.
    ///
    /// # Errors
    /// 404 when the organization has no such alert.
    pub async fn delete_alert(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<(), ActionError> {
        let gone = self.alert(organization, id).await?;
        let mut write = self.database().write().await?;
        alerts::delete(write.connection(), id).await?;
        let shown = UsageAlertRecord::of(&gone);
        let change = Change { resource: RESOURCE, before: Some(&shown), after: None };
        written_down(&mut write, organization, id, change, now).await?;
        write.commit().await?;
        Ok(())
    }
}

/// What an alert would be compared with now; nothing is stored.
///
/// # Errors
/// 400 when the subscription does not run, 422 when it cannot be rated.
pub async fn metered(
    (catalog, rater): (&Catalog, &Rater),
    alert: &StoredAlert,
    now: Timestamp,
) -> Result<Metered, ApiError> {
    let customer = catalog.subscription(alert.organization, alert.subscription).await?.customer_id;
    let view = view_of(catalog, BillingScope::Customer(alert.organization, customer)).await?;
    let subscription = view.subscription(alert.subscription).map_err(ApiError::internal)?;
    let metrics = HashMap::from([(subscription.plan_id, BTreeSet::from([alert.metric]))]);
    let view = Arc::new(view.metering(&metrics));
    let not_running = || ApiError::bad_request("subscription_not_active", "the subscription does not run now");
    let item = running(&view, alert.subscription, now).ok_or_else(not_running)?;
    let period = (item.period.start, item.period.end);
    let cut = rater.store().committed_cut().await.map_err(RateError::from).map_err(InputError::from)?;
    let rated = rater.rate(&view, vec![item], &cut).await.map_err(InputError::from)?.pop();
    let rated = rated.ok_or_else(|| ApiError::internal("one stretch was asked for and none was answered"))?;
    let not_ratable = |problem: rater::RateProblem| ApiError::unprocessable("not_ratable", problem.to_string());
    let usage = quantities(rated).map_err(not_ratable)?.remove(&alert.metric).unwrap_or(Quantity::ZERO);
    Ok(Metered { usage, period })
}
