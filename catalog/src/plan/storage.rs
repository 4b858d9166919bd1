//! Storage of plans and their versions.

use crate::audit::{Change, written_down};
use crate::catalog::{Catalog, found};
use crate::columns::{Columns, name_of, to_json};
use crate::database::{DatabaseError, WriteTransaction};
use crate::metric::dimensions;
use crate::page::Listing;
use crate::plan::changes::{changed_document, continued_thresholds, options_of, read_charges};
use crate::plan::charges;
use crate::plan::document::{PlanDocument, PlanRow};
use crate::plan::wire::{ChargeInput, PlanCreate, PlanResponse, PlanUpdate};
use crate::tax::storage::first_unknown;
use domain::catalog::Plan;
use domain::ids::{OrganizationId, PlanId};
use domain::money::MinorUnits;
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ListParams};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

const RESOURCE: &str = "plan";

impl Catalog {
    /// Makes a plan with its charges, as version 1.
    ///
    /// # Errors
    /// 422 and 400 as [`charges::checked`], 409 when the code is taken in the organization.
    pub async fn create_plan(
        &self,
        organization: OrganizationId,
        new: &PlanCreate,
        now: Timestamp,
    ) -> Result<PlanResponse, ApiError> {
        new.check()?;
        let mut checks = Checks::new();
        let currency = crate::fields::SharedChecks::currency(&mut checks, "currency", &new.currency);
        checks.finish()?;
        let mut write = self.write().await?;
        let charges = read_charges(&mut write, organization, &new.charges).await?;
        let plan = Plan {
            id: PlanId::random(),
            version: 1,
            valid_from: now,
            code: new.code.clone(),
            name: new.name.clone(),
            interval: new.interval,
            amount: MinorUnits(new.amount_cents),
            currency,
            pay_in_advance: new.pay_in_advance,
            trial_period_days: new.trial_period_days,
            bill_charges_monthly: new.bill_charges_monthly,
            charges,
        };
        let document = PlanDocument {
            charge_options: new.charges.iter().map(|charge| options_of(charge, now)).collect(),
            plan,
            minimum_commitment: new.minimum_commitment.clone(),
            usage_thresholds: continued_thresholds(&[], &new.usage_thresholds, now),
            tax_codes: new.tax_codes.clone(),
        };
        let row = PlanRow { document, description: new.description.clone(), created_at: now, updated_at: now };
        require_taxes(&mut write, organization, &row.document).await?;
        insert(&mut write, organization, &row).await?;
        write_version(&mut write, organization, &row.document, now).await?;
        let plan = row.response();
        let change = Change { resource: RESOURCE, before: None, after: Some(&plan) };
        written_down(&mut write, organization, plan.id, change, now).await?;
        self.commit_shown(write, organization).await?;
        Ok(plan)
    }

    /// One plan as it is now.
    ///
    /// # Errors
    /// 404 when the organization has no such plan.
    pub async fn plan(&self, organization: OrganizationId, id: PlanId) -> Result<PlanResponse, ApiError> {
        self.plan_row(organization, id).await.map(PlanRow::response)
    }

    pub(crate) async fn plan_row(&self, organization: OrganizationId, id: PlanId) -> Result<PlanRow, ApiError> {
        let row = sqlx::query("SELECT * FROM plans WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(PlanRow::read(&row.ok_or_else(|| ApiError::not_found("Plan"))?)?)
    }

    /// A page of an organization's plans, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn plans(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<PlanResponse>, i64), ApiError> {
        let listing = Listing {
            table: "plans",
            condition: "organization_id = $1 AND parent_plan_id IS NULL",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "code", "name", "amount_cents", "currency", "trial_period_days"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        let plans: Vec<PlanRow> = rows.iter().map(PlanRow::read).collect::<Result<_, _>>()?;
        Ok((plans.into_iter().map(PlanRow::response).collect(), total))
    }

    /// Changes what was sent, as a new version when rating or invoicing can see it.
    ///
    /// # Errors
    /// 404 when the organization has no such plan, 422 and 400 as [`charges::checked`].
    pub async fn update_plan(
        &self,
        organization: OrganizationId,
        id: PlanId,
        change: &PlanUpdate,
        now: Timestamp,
    ) -> Result<PlanResponse, ApiError> {
        change.check()?;
        let mut write = self.write().await?;
        let select = format!("SELECT * FROM plans WHERE organization_id = $1 AND id = $2{}", write.for_update());
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let mut kept = PlanRow::read(&row.ok_or_else(|| ApiError::not_found("Plan"))?)?;
        let before = kept.clone().response();
        let changed = changed_document(&mut write, organization, &kept.document, change, now).await?;
        require_taxes(&mut write, organization, &changed).await?;
        if let Some(description) = &change.description {
            kept.description.clone_from(description);
        }
        kept.updated_at = now;
        let is_new_version = !changed.says_the_same(&kept.document);
        if is_new_version {
            kept.document = changed;
            write_version(&mut write, organization, &kept.document, now).await?;
        }
        update_row(&mut write, organization, &kept).await?;
        let plan = kept.response();
        let change = Change { resource: RESOURCE, before: Some(&before), after: Some(&plan) };
        written_down(&mut write, organization, plan.id, change, now).await?;
        self.commit_shown(write, organization).await?;
        Ok(plan)
    }

    /// A plan, named by its code, as it would be with other charges and another flat fee. Nothing is written.
    ///
    /// # Errors
    /// 404 when the organization has no such plan, 422 and 400 as [`charges::checked`].
    pub async fn plan_as_changed(
        &self,
        organization: OrganizationId,
        code: &str,
        charges: Option<&[ChargeInput]>,
        amount_cents: Option<i64>,
    ) -> Result<Plan, ApiError> {
        let change = PlanUpdate { charges: charges.map(<[_]>::to_vec), amount_cents, ..PlanUpdate::default() };
        change.check()?;
        // Never committed: charges are checked where they are when a plan is written.
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT * FROM plans WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let kept = PlanRow::read(&row.ok_or_else(|| ApiError::not_found("Plan"))?)?;
        let changed = changed_document(&mut write, organization, &kept.document, &change, kept.updated_at).await?;
        Ok(changed.for_rating().plan)
    }

    /// Deletes a plan that no subscription ever had.
    ///
    /// # Errors
    /// 404 when the organization has no such plan, 409 when a subscription references it.
    pub async fn delete_plan(&self, organization: OrganizationId, id: PlanId, now: Timestamp) -> Result<(), ApiError> {
        let gone = self.plan(organization, id).await?;
        let mut write = self.write().await?;
        let deleted = sqlx::query("DELETE FROM plans WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| match fault.into() {
                DatabaseError::ForeignKey(_) => {
                    ApiError::conflict("plan_in_use", "subscriptions reference the plan; ended ones keep it too")
                }
                other => other.into(),
            })?
            .rows_affected();
        found(deleted, "Plan")?;
        written_down(
            &mut write,
            organization,
            id,
            Change { resource: RESOURCE, before: Some(&gone), after: None },
            now,
        )
        .await?;
        Ok(self.commit_shown(write, organization).await?)
    }

    /// How many subscriptions each plan has, ended ones included; plans without any are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan_subscription_counts(
        &self,
        organization: OrganizationId,
    ) -> Result<BTreeMap<String, i64>, ApiError> {
        let rows = sqlx::query(
            "SELECT plan_id, COUNT(*) AS subscriptions FROM subscriptions WHERE organization_id = $1 GROUP BY plan_id",
        )
        .bind(organization.to_string())
        .fetch_all(self.database().pool())
        .await
        .map_err(DatabaseError::from)?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(row.text("plan_id")?, row.integer("subscriptions")?);
        }
        Ok(counts)
    }
}

/// A plan must not name a tax that does not exist: its fees could not be billed.
pub(crate) async fn require_taxes(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    document: &PlanDocument,
) -> Result<(), ApiError> {
    match first_unknown(write, organization, document.tax_codes_named()).await? {
        None => Ok(()),
        Some(code) => Err(ApiError::bad_request("unknown_tax", format!("there is no tax '{code}'"))),
    }
}

/// Keeps the version for ever, with what it references, and makes its metrics carry the dimensions it needs.
pub(crate) async fn write_version(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    document: &PlanDocument,
    now: Timestamp,
) -> Result<(), ApiError> {
    let (plan, version) = (document.plan.id.to_string(), i64::from(document.plan.version));
    sqlx::query("INSERT INTO plan_versions (plan_id, version, organization_id, document) VALUES ($1, $2, $3, $4)")
        .bind(&plan)
        .bind(version)
        .bind(organization.to_string())
        .bind(to_json(document)?)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    for (charge, options) in document.plan.charges.iter().zip(&document.charge_options) {
        sqlx::query("INSERT INTO plan_charges (plan_id, version, charge_id, metric_id) VALUES ($1, $2, $3, $4)")
            .bind(&plan)
            .bind(version)
            .bind(charge.id.to_string())
            .bind(charge.metric_id.to_string())
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let keys = charges::dimension_keys(charge, options.accepts_target_wallet);
        dimensions::grow(write, organization, charge.metric_id, &keys, now).await?;
    }
    Ok(())
}

pub(crate) async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    row: &PlanRow,
) -> Result<(), ApiError> {
    let plan = &row.document.plan;
    sqlx::query(
        "INSERT INTO plans (id, organization_id, code, name, description, billing_interval, amount_cents, currency, \
         trial_period_days, version, document, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
    )
    .bind(plan.id.to_string())
    .bind(organization.to_string())
    .bind(&plan.code)
    .bind(&plan.name)
    .bind(&row.description)
    .bind(name_of(plan.interval)?)
    .bind(plan.amount.0)
    .bind(plan.currency.code().to_string())
    .bind(i64::from(plan.trial_period_days))
    .bind(i64::from(plan.version))
    .bind(to_json(&row.document)?)
    .bind(row.created_at.0)
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(code_taken(&plan.code)))?;
    Ok(())
}

fn code_taken(code: &str) -> ApiError {
    let shown: String = code.chars().take(64).collect();
    ApiError::conflict("code_taken", format!("Plan with code '{shown}' already exists"))
}

async fn update_row(write: &mut WriteTransaction, organization: OrganizationId, row: &PlanRow) -> Result<(), ApiError> {
    let plan = &row.document.plan;
    sqlx::query(
        "UPDATE plans SET name = $3, description = $4, amount_cents = $5, currency = $6, trial_period_days = $7, \
         version = $8, document = $9, updated_at = $10 WHERE organization_id = $1 AND id = $2",
    )
    .bind(organization.to_string())
    .bind(plan.id.to_string())
    .bind(&plan.name)
    .bind(&row.description)
    .bind(plan.amount.0)
    .bind(plan.currency.code().to_string())
    .bind(i64::from(plan.trial_period_days))
    .bind(i64::from(plan.version))
    .bind(to_json(&row.document)?)
    .bind(row.updated_at.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}
