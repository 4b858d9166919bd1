//! Storage of subscriptions.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::{Columns, name_of};
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use crate::plan::document::PlanDocument;
use crate::plan::overrides::plan_for_one;
use crate::subscription::transitions::{Action, act, changed_meanwhile};
use crate::subscription::wire::{SubscriptionCreate, SubscriptionRecord, SubscriptionUpdate, Termination};
use domain::catalog::{SubscriptionStatus, UnusedAdvance};
use domain::ids::{CustomerId, OrganizationId, PlanId, SubscriptionId};
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::AssertSqlSafe;
use std::collections::HashMap;

/// Which subscriptions to list.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionFilter {
    /// Of one customer.
    pub customer_id: Option<CustomerId>,
    /// Of one external id: at most one of them runs.
    pub external_id: Option<String>,
}

/// The plan's own settings, which a subscription takes where it sends none.
#[derive(Clone, Copy, Debug)]
struct PlanDefaults {
    pay_in_advance: bool,
    trial_period_days: u32,
}

const RESOURCE: &str = "subscription";

impl Catalog {
    /// Subscribes a customer to a plan: active when it starts not later than `now`, else pending.
    ///
    /// # Errors
    /// 422 for bad fields, 400 for an unknown customer or plan, 409 when a subscription of this external id runs.
    pub async fn create_subscription(
        &self,
        organization: OrganizationId,
        new: &SubscriptionCreate,
        now: Timestamp,
    ) -> Result<SubscriptionRecord, ApiError> {
        let created = self.create_subscriptions(organization, std::slice::from_ref(new), now).await?;
        created.into_iter().next().ok_or_else(|| ApiError::internal("no subscription came of one"))
    }

    /// Makes many subscriptions in one transaction: all or none.
    ///
    /// # Errors
    /// As [`Catalog::create_subscription`].
    pub async fn create_subscriptions(
        &self,
        organization: OrganizationId,
        new: &[SubscriptionCreate],
        now: Timestamp,
    ) -> Result<Vec<SubscriptionRecord>, ApiError> {
        let mut write = self.write().await?;
        let mut plans: HashMap<PlanId, PlanDefaults> = HashMap::new();
        let mut created = Vec::with_capacity(new.len());
        for subscription in new {
            subscription.check(now)?;
            require_customer(&mut write, organization, subscription.customer_id).await?;
            let plan = match &subscription.plan_overrides {
                None => subscription.plan_id,
                Some(own) => plan_for_one(&mut write, organization, subscription.plan_id, own, now).await?,
            };
            let defaults = match plans.get(&plan) {
                Some(known) => *known,
                None => {
                    let read = plan_defaults(&mut write, organization, plan).await?;
                    *plans.entry(plan).or_insert(read)
                }
            };
            let mut record = SubscriptionRecord { plan_id: plan, ..new_record(subscription, defaults, now) };
            if record.trial_period_days > 0 && had_its_trial(&mut write, organization, &record).await? {
                record.trial_period_days = 0;
            }
            insert(&mut write, organization, &record).await?;
            logged(&mut write, organization, None, &record, now).await?;
            created.push(record);
        }
        write.commit().await?;
        Ok(created)
    }

    /// One subscription.
    ///
    /// # Errors
    /// 404 when the organization has no such subscription.
    pub async fn subscription(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
    ) -> Result<SubscriptionRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM subscriptions WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(SubscriptionRecord::read(&row.ok_or_else(|| ApiError::not_found("Subscription"))?)?)
    }

    /// The subscription that the client calls `external_id`: the running one, else the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn subscription_named(
        &self,
        organization: OrganizationId,
        external_id: &str,
    ) -> Result<Option<SubscriptionRecord>, DatabaseError> {
        let row = sqlx::query(
            "SELECT * FROM subscriptions WHERE organization_id = $1 AND external_id = $2 \
             ORDER BY CASE WHEN status IN ('pending', 'active', 'paused') THEN 0 ELSE 1 END, created_at DESC, id DESC \
             LIMIT 1",
        )
        .bind(organization.to_string())
        .bind(external_id)
        .fetch_optional(self.database().pool())
        .await?;
        row.map(|row| SubscriptionRecord::read(&row)).transpose()
    }

    /// A page of an organization's subscriptions, and how many the filter leaves.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn subscriptions(
        &self,
        organization: OrganizationId,
        filter: &SubscriptionFilter,
        params: &ListParams,
    ) -> Result<(Vec<SubscriptionRecord>, i64), ApiError> {
        let mut bound = vec![organization.to_string()];
        bound.extend(filter.customer_id.map(|id| id.to_string()));
        bound.extend(filter.external_id.clone());
        // One text per combination, so that each can use its index.
        let condition = match (filter.customer_id.is_some(), filter.external_id.is_some()) {
            (false, false) => "organization_id = $1",
            (true, false) => "organization_id = $1 AND customer_id = $2",
            (false, true) => "organization_id = $1 AND external_id = $2",
            (true, true) => "organization_id = $1 AND customer_id = $2 AND external_id = $3",
        };
        let orders = &["created_at", "updated_at", "external_id", "status", "started_at", "ending_at"];
        let listing = Listing { table: "subscriptions", condition, bound: &bound, orders };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(SubscriptionRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent; a sent status does what its action does.
    ///
    /// # Errors
    /// 404 when the organization has no such subscription, 422 for what cannot be changed, 400 for an unknown plan or a
    /// status that its state does not allow, 409 when its state was changed after this request came.
    pub async fn update_subscription(
        &self,
        organization: OrganizationId,
        id: SubscriptionId,
        change: &SubscriptionUpdate,
        now: Timestamp,
    ) -> Result<SubscriptionRecord, ApiError> {
        let seen = self.subscription(organization, id).await?.status;
        let mut write = self.write().await?;
        let kept = select(&mut write, organization, id).await?;
        if kept.status != seen {
            return Err(changed_meanwhile(kept.status));
        }
        let before = kept.clone();
        let mut changed = change.apply(&kept, now)?;
        if changed.plan_id != kept.plan_id {
            plan_defaults(&mut write, organization, changed.plan_id).await?;
        }
        update_row(&mut write, organization, &changed).await?;
        let money =
            Termination { action: changed.on_termination_action, credit_note: changed.on_termination_credit_note };
        if let Some(wanted) = change.status.filter(|wanted| *wanted != kept.status) {
            let action = Action::leading_to(wanted, kept.status, money).ok_or_else(|| {
                ApiError::bad_request("wrong_subscription_state", "no subscription becomes pending again")
            })?;
            act(&mut write, organization, &mut changed, action, now).await?;
        }
        logged(&mut write, organization, Some(&before), &changed, now).await?;
        write.commit().await?;
        Ok(changed)
    }
}

fn new_record(new: &SubscriptionCreate, defaults: PlanDefaults, now: Timestamp) -> SubscriptionRecord {
    let is_active = new.started_at.is_some_and(|start| start <= now);
    SubscriptionRecord {
        id: SubscriptionId::random(),
        external_id: new.external_id.clone(),
        customer_id: new.customer_id,
        plan_id: new.plan_id,
        previous_plan_id: None,
        previous_subscription_id: None,
        name: new.name.clone(),
        status: if is_active { SubscriptionStatus::Active } else { SubscriptionStatus::Pending },
        billing_time: new.billing_time,
        pay_in_advance: new.pay_in_advance.unwrap_or(defaults.pay_in_advance),
        trial_period_days: new.trial_period_days.unwrap_or(defaults.trial_period_days),
        on_termination_action: new.on_termination_action,
        on_termination_credit_note: UnusedAdvance::default(),
        subscription_at: new.subscription_at,
        anchor_at: None,
        started_at: new.started_at,
        ending_at: new.ending_at,
        ended_at: None,
        canceled_at: None,
        paused_at: None,
        resumed_at: None,
        downgraded_at: None,
        trial_ended_at: None,
        ended_by_change: false,
        created_at: now,
        updated_at: now,
    }
}

/// The subscription as it is, inside a write.
pub(crate) async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: SubscriptionId,
) -> Result<SubscriptionRecord, ApiError> {
    let select = format!("SELECT * FROM subscriptions WHERE organization_id = $1 AND id = $2{}", write.for_update());
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(SubscriptionRecord::read(&row.ok_or_else(|| ApiError::not_found("Subscription"))?)?)
}

/// Writes a change of a subscription down.
pub(crate) async fn logged(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    before: Option<&SubscriptionRecord>,
    after: &SubscriptionRecord,
    now: Timestamp,
) -> Result<(), ApiError> {
    let change = Change { resource: RESOURCE, before, after: Some(after) };
    written_down(write, organization, after.id, change, now).await
}

/// One trial per customer and external id: whether an earlier subscription of theirs has started.
async fn had_its_trial(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    new: &SubscriptionRecord,
) -> Result<bool, ApiError> {
    let select = "SELECT id FROM subscriptions WHERE organization_id = $1 AND external_id = $2 AND customer_id = $3 \
         AND activated_at IS NOT NULL LIMIT 1";
    let row = sqlx::query(select)
        .bind(organization.to_string())
        .bind(&new.external_id)
        .bind(new.customer_id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(row.is_some())
}

async fn require_customer(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: CustomerId,
) -> Result<(), ApiError> {
    let row = sqlx::query("SELECT id FROM customers WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    match row {
        Some(_) => Ok(()),
        None => Err(ApiError::bad_request("unknown_customer", format!("Customer {id} not found"))),
    }
}

async fn plan_defaults(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: PlanId,
) -> Result<PlanDefaults, ApiError> {
    let row = sqlx::query("SELECT document FROM plans WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| ApiError::bad_request("unknown_plan", format!("Plan {id} not found")))?;
    let plan = row.json::<PlanDocument>("document")?.plan;
    Ok(PlanDefaults { pay_in_advance: plan.pay_in_advance, trial_period_days: plan.trial_period_days })
}

pub(crate) async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    new: &SubscriptionRecord,
) -> Result<(), ApiError> {
    let activated_at = new.started_at.filter(|_| new.status == SubscriptionStatus::Active);
    sqlx::query(
        "INSERT INTO subscriptions (id, organization_id, external_id, customer_id, plan_id, name, status, billing_time, \
         pay_in_advance, trial_period_days, on_termination_action, subscription_at, started_at, activated_at, ending_at, \
         created_at, updated_at, previous_plan_id, previous_subscription_id, anchor_at, downgraded_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16, $17, $18, $19, $20)",
    )
    .bind(new.id.to_string())
    .bind(organization.to_string())
    .bind(&new.external_id)
    .bind(new.customer_id.to_string())
    .bind(new.plan_id.to_string())
    .bind(&new.name)
    .bind(name_of(new.status)?)
    .bind(name_of(new.billing_time)?)
    .bind(i64::from(new.pay_in_advance))
    .bind(i64::from(new.trial_period_days))
    .bind(name_of(new.on_termination_action)?)
    .bind(new.subscription_at.map(|at| at.0))
    .bind(new.started_at.map(|at| at.0))
    .bind(activated_at.map(|at| at.0))
    .bind(new.ending_at.map(|at| at.0))
    .bind(new.created_at.0)
    .bind(new.previous_plan_id.map(|id| id.to_string()))
    .bind(new.previous_subscription_id.map(|id| id.to_string()))
    .bind(new.anchor_at.map(|at| at.0))
    .bind(new.downgraded_at.map(|at| at.0))
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(external_id_taken(&new.external_id)))?;
    Ok(())
}

fn external_id_taken(external_id: &str) -> ApiError {
    let shown: String = external_id.chars().take(64).collect();
    ApiError::conflict("external_id_taken", format!("Subscription with external_id '{shown}' already exists"))
}

async fn update_row(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    changed: &SubscriptionRecord,
) -> Result<(), ApiError> {
    sqlx::query(
        "UPDATE subscriptions SET plan_id = $3, name = $4, billing_time = $5, pay_in_advance = $6, \
         trial_period_days = $7, on_termination_action = $8, subscription_at = $9, ending_at = $10, updated_at = $11 \
         WHERE organization_id = $1 AND id = $2",
    )
    .bind(organization.to_string())
    .bind(changed.id.to_string())
    .bind(changed.plan_id.to_string())
    .bind(&changed.name)
    .bind(name_of(changed.billing_time)?)
    .bind(i64::from(changed.pay_in_advance))
    .bind(i64::from(changed.trial_period_days))
    .bind(name_of(changed.on_termination_action)?)
    .bind(changed.subscription_at.map(|at| at.0))
    .bind(changed.ending_at.map(|at| at.0))
    .bind(changed.updated_at.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}
