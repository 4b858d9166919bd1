//! Storage of taxes.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use crate::plan::document::PlanDocument;
use crate::tax::wire::{TaxCreate, TaxRecord, TaxUpdate};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::AssertSqlSafe;

const RESOURCE: &str = "tax";

impl Catalog {
    /// Makes a tax.
    ///
    /// # Errors
    /// 422 for bad fields, 409 when the code is taken.
    pub async fn create_tax(
        &self,
        organization: OrganizationId,
        new: &TaxCreate,
        now: Timestamp,
    ) -> Result<TaxRecord, ApiError> {
        new.check()?;
        let tax = TaxRecord {
            id: uuid::Uuid::new_v4(),
            code: new.code.clone(),
            name: new.name.clone(),
            rate: new.rate.clone(),
            description: new.description.clone(),
            category: new.category.clone(),
            applied_to_organization: new.applied_to_organization,
            created_at: now,
            updated_at: now,
        };
        let mut write = self.write().await?;
        insert(&mut write, organization, &tax).await?;
        let change = Change { resource: RESOURCE, before: None, after: Some(&tax) };
        written_down(&mut write, organization, tax.id, change, now).await?;
        write.commit().await?;
        Ok(tax)
    }

    /// The tax of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such tax.
    pub async fn tax(&self, organization: OrganizationId, code: &str) -> Result<TaxRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM taxes WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(TaxRecord::read(&row.ok_or_else(|| ApiError::not_found("Tax"))?)?)
    }

    /// A page of an organization's taxes, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn taxes(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<TaxRecord>, i64), ApiError> {
        let listing = Listing {
            table: "taxes",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "code", "name", "category"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(TaxRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent.
    ///
    /// # Errors
    /// 404 when the organization has no such tax, 422 for bad fields.
    pub async fn update_tax(
        &self,
        organization: OrganizationId,
        code: &str,
        change: &TaxUpdate,
        now: Timestamp,
    ) -> Result<TaxRecord, ApiError> {
        let mut write = self.write().await?;
        let kept = select(&mut write, organization, code).await?;
        let changed = change.apply(&kept, now)?;
        sqlx::query(
            "UPDATE taxes SET name = $3, rate = $4, description = $5, category = $6, applied_to_organization = $7, \
             updated_at = $8 WHERE organization_id = $1 AND id = $2",
        )
        .bind(organization.to_string())
        .bind(changed.id.to_string())
        .bind(&changed.name)
        .bind(changed.rate.to_string())
        .bind(&changed.description)
        .bind(&changed.category)
        .bind(i64::from(changed.applied_to_organization))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: Some(&changed) };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await?;
        Ok(changed)
    }

    /// Deletes a tax that is attached to nothing and that no plan names.
    ///
    /// # Errors
    /// 404 when the organization has no such tax, 409 when it is in use.
    pub async fn delete_tax(&self, organization: OrganizationId, code: &str, now: Timestamp) -> Result<(), ApiError> {
        let in_use = || ApiError::conflict("tax_in_use", "the tax is attached, or named by a plan: detach it first");
        let mut write = self.write().await?;
        let kept = select(&mut write, organization, code).await?;
        if named_by_a_plan(&mut write, organization, code).await? {
            return Err(in_use());
        }
        sqlx::query("DELETE FROM taxes WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(kept.id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| match fault.into() {
                DatabaseError::ForeignKey(_) => in_use(),
                other => other.into(),
            })?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: None };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await.map_err(|fault| match fault {
            DatabaseError::ForeignKey(_) => in_use(),
            other => other.into(),
        })
    }
}

async fn insert(write: &mut WriteTransaction, organization: OrganizationId, tax: &TaxRecord) -> Result<(), ApiError> {
    let taken = || {
        let shown: String = tax.code.chars().take(64).collect();
        ApiError::conflict("code_taken", format!("Tax with code '{shown}' already exists"))
    };
    sqlx::query(
        "INSERT INTO taxes (id, organization_id, code, name, rate, description, category, applied_to_organization, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(tax.id.to_string())
    .bind(organization.to_string())
    .bind(&tax.code)
    .bind(&tax.name)
    .bind(tax.rate.to_string())
    .bind(&tax.description)
    .bind(&tax.category)
    .bind(i64::from(tax.applied_to_organization))
    .bind(tax.created_at.0)
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(taken()))?;
    Ok(())
}

pub(super) async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<TaxRecord, ApiError> {
    let select = format!("SELECT * FROM taxes WHERE organization_id = $1 AND code = $2{}", write.for_update());
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(code)
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(TaxRecord::read(&row.ok_or_else(|| ApiError::not_found("Tax"))?)?)
}

/// Whether the newest version of any plan of the organization names the code.
async fn named_by_a_plan(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<bool, ApiError> {
    let rows = sqlx::query("SELECT document FROM plans WHERE organization_id = $1")
        .bind(organization.to_string())
        .fetch_all(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    for row in &rows {
        let plan: PlanDocument = row.json("document")?;
        if plan.tax_codes_named().any(|named| named == code) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The first of `codes` that is no tax of the organization, if any.
pub(crate) async fn first_unknown<'a>(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    codes: impl Iterator<Item = &'a str>,
) -> Result<Option<&'a str>, ApiError> {
    for code in codes {
        let known = sqlx::query("SELECT id FROM taxes WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        if known.is_none() {
            return Ok(Some(code));
        }
    }
    Ok(None)
}
