//! When a subscription is billed next: the end of the period that now falls in, by the same periods that bill (I6; behaviour
//! W32 used a scheme of fixed days here).

use crate::catalog::Catalog;
use crate::columns::{Columns, name_of};
use crate::database::DatabaseError;
use crate::subscription::wire::NextBillingDateResponse;
use domain::catalog::SubscriptionStatus;
use domain::ids::{OrganizationId, SubscriptionId};
use domain::period::{BillingCalendar, Timezones, local_date};
use domain::time::Timestamp;
use http_api::ApiError;

impl Catalog {
    /// The running period of an active subscription; of a pending one, the first.
    ///
    /// # Errors
    /// 404 when the organization has no such subscription, 400 when it is neither active nor pending.
    pub async fn next_billing_date(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<NextBillingDateResponse, ApiError> {
        let subscription = self.subscription(organization, id).await?;
        if !matches!(subscription.status, SubscriptionStatus::Active | SubscriptionStatus::Pending) {
            let status = name_of(subscription.status)?;
            let detail = format!("only active and pending subscriptions are billed next; this one is {status}");
            return Err(ApiError::bad_request("wrong_subscription_state", detail));
        }
        let zones = self.timezones(subscription.customer_id.to_string()).await?;
        let interval = self.plan_row(organization, subscription.plan_id).await?.document.plan.interval;
        // A pending subscription without a planned start would start now.
        let started_at = subscription.started_at.unwrap_or(now);
        let calendar = BillingCalendar::new(
            interval,
            subscription.billing_time,
            subscription.anchor_at.unwrap_or(started_at),
            zones,
        );
        let period = calendar.period_containing(now.max(started_at));
        let today = local_date(period.zone, now);
        Ok(NextBillingDateResponse {
            next_billing_date: period.end,
            current_period_started_at: period.start.max(started_at),
            interval: name_of(interval)?,
            days_until_next_billing: (period.end_day - today).num_days(),
        })
    }

    pub(crate) async fn timezones(&self, customer: String) -> Result<Timezones, ApiError> {
        let row = sqlx::query("SELECT timezones FROM customers WHERE id = $1")
            .bind(customer)
            .fetch_one(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        let zones: Vec<(i64, String)> = row.json("timezones")?;
        let zones: Vec<_> = zones.into_iter().map(|(from, zone)| (Timestamp(from), zone)).collect();
        Timezones::parse(&zones).map_err(ApiError::internal)
    }
}
