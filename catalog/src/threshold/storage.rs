//! Storage of usage thresholds.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::database::DatabaseError;
use crate::plan::document::PlanRow;
use crate::plan::wire::{PlanUpdate, UsageThreshold};
use crate::threshold::{UsageThresholdCreateAPI, UsageThresholdRecord, of_plan};
use domain::ids::{OrganizationId, PlanId, SubscriptionId};
use domain::time::Timestamp;
use http_api::ApiError;
use uuid::Uuid;

const RESOURCE: &str = "usage_threshold";

fn exists_already() -> ApiError {
    ApiError::conflict("threshold_exists", "there is a threshold of this amount and kind already")
}

impl Catalog {
    /// The thresholds of a plan, as they stand in it.
    pub(crate) async fn plan_thresholds(
        &self,
        organization: OrganizationId,
        plan: PlanId,
    ) -> Result<Vec<UsageThresholdRecord>, ApiError> {
        Ok(shown(&self.plan_row(organization, plan).await?))
    }

    /// Adds one to a plan, as a new version of it.
    pub(crate) async fn add_plan_threshold(
        &self,
        organization: OrganizationId,
        plan: PlanId,
        new: &UsageThresholdCreateAPI,
        now: Timestamp,
    ) -> Result<UsageThresholdRecord, ApiError> {
        let row = self.plan_row(organization, plan).await?;
        let amount_cents = new.check(row.document.plan.currency)?;
        let added = UsageThreshold {
            amount_cents,
            recurring: new.recurring,
            threshold_display_name: new.threshold_display_name.clone(),
        };
        let mut all = sent(&row);
        if all.iter().any(|one| (one.amount_cents, one.recurring) == (amount_cents, new.recurring)) {
            return Err(exists_already());
        }
        all.push(added);
        self.set_thresholds(organization, plan, all, now).await?;
        let made = self.plan_thresholds(organization, plan).await?;
        let is_new =
            |one: &UsageThresholdRecord| one.amount_cents == amount_cents.to_string() && one.recurring == new.recurring;
        // Absent when somebody replaced the plan's thresholds in between.
        made.into_iter().find(is_new).ok_or_else(|| ApiError::conflict("changed", "the plan was changed meanwhile"))
    }

    async fn set_thresholds(
        &self,
        organization: OrganizationId,
        plan: PlanId,
        all: Vec<UsageThreshold>,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let change = PlanUpdate { usage_thresholds: Some(all), ..PlanUpdate::default() };
        self.update_plan(organization, plan, &change, now).await.map(|_| ())
    }

    /// The thresholds of a subscription itself, the lowest first; those of its plan are the plan's.
    pub(crate) async fn subscription_thresholds(
        &self,
        organization: OrganizationId,
        subscription: SubscriptionId,
    ) -> Result<Vec<UsageThresholdRecord>, ApiError> {
        let known = self.subscription(organization, subscription).await?;
        let rows = sqlx::query(
            "SELECT * FROM subscription_thresholds WHERE organization_id = $1 AND subscription_id = $2 \
             ORDER BY amount_cents, recurring",
        )
        .bind(organization.to_string())
        .bind(known.id.to_string())
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(rows.iter().map(UsageThresholdRecord::read).collect::<Result<_, _>>()?)
    }

    /// Adds one to a subscription.
    pub(crate) async fn add_subscription_threshold(
        &self,
        organization: OrganizationId,
        subscription: SubscriptionId,
        new: &UsageThresholdCreateAPI,
        now: Timestamp,
    ) -> Result<UsageThresholdRecord, ApiError> {
        let known = self.subscription(organization, subscription).await?;
        let currency = self.plan_row(organization, known.plan_id).await?.document.plan.currency;
        let amount_cents = new.check(currency)?;
        let made = UsageThresholdRecord {
            id: Uuid::new_v4(),
            plan_id: None,
            subscription_id: Some(subscription),
            amount_cents: amount_cents.to_string(),
            currency: currency.code().into(),
            recurring: new.recurring,
            threshold_display_name: new.threshold_display_name.clone(),
            created_at: now,
            updated_at: now,
        };
        let mut write = self.write().await?;
        sqlx::query(
            "INSERT INTO subscription_thresholds (id, organization_id, subscription_id, amount_cents, currency, recurring, \
             threshold_display_name, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
        )
        .bind(made.id.to_string())
        .bind(organization.to_string())
        .bind(subscription.to_string())
        .bind(amount_cents)
        .bind(&made.currency)
        .bind(i64::from(made.recurring))
        .bind(&made.threshold_display_name)
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(|fault| DatabaseError::from(fault).or_conflict(exists_already()))?;
        let change = Change { resource: RESOURCE, before: None, after: Some(&made) };
        written_down(&mut write, organization, made.id, change, now).await?;
        write.commit().await?;
        Ok(made)
    }

    /// Takes one away, from its subscription or as a new version of its plan. What was billed by it stays billed.
    pub(crate) async fn delete_threshold(
        &self,
        organization: OrganizationId,
        id: Uuid,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let row = sqlx::query("DELETE FROM subscription_thresholds WHERE organization_id = $1 AND id = $2 RETURNING *")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        if let Some(row) = row {
            let gone = UsageThresholdRecord::read(&row)?;
            let change = Change { resource: RESOURCE, before: Some(&gone), after: None };
            written_down(&mut write, organization, id, change, now).await?;
            return Ok(write.commit().await?);
        }
        drop(write);
        let missing = || ApiError::not_found("Usage threshold");
        let plan = self.plan_of_threshold(organization, id).await?.ok_or_else(missing)?;
        let rest = plan.document.usage_thresholds.iter();
        let rest = rest.filter(|kept| of_plan(plan.document.plan.id, kept).id != id).map(|kept| kept.threshold.clone());
        self.set_thresholds(organization, plan.document.plan.id, rest.collect(), now).await
    }

    /// An organization has tens of plans, of which few have thresholds.
    async fn plan_of_threshold(&self, organization: OrganizationId, id: Uuid) -> Result<Option<PlanRow>, ApiError> {
        let sql = r#"SELECT * FROM plans WHERE organization_id = $1 AND document LIKE '%"usage_thresholds":[{%'"#;
        let rows = sqlx::query(sql)
            .bind(organization.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        for row in rows {
            let plan = PlanRow::read(&row)?;
            if plan.document.usage_thresholds.iter().any(|kept| of_plan(plan.document.plan.id, kept).id == id) {
                return Ok(Some(plan));
            }
        }
        Ok(None)
    }
}

fn sent(row: &PlanRow) -> Vec<UsageThreshold> {
    row.document.usage_thresholds.iter().map(|kept| kept.threshold.clone()).collect()
}

fn shown(row: &PlanRow) -> Vec<UsageThresholdRecord> {
    let plan = &row.document.plan;
    let kept = row.document.usage_thresholds.iter();
    kept.map(|threshold| of_plan(plan.id, threshold).shown(plan.currency, row.created_at)).collect()
}
