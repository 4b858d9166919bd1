//! Storage of taxes and their attachments.

use crate::audit::{Change, written_down};
use crate::catalog::{Catalog, found};
use crate::columns::{Columns, name_of};
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use crate::plan::document::PlanDocument;
use crate::tax::wire::{
    AppliedTaxRecord, ApplyTaxRequest, TaxApplicationCountsResponse, TaxAppliedEntitiesResponse, TaxCreate, TaxRecord,
    TaxUpdate, Taxable,
};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

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

    /// Attaches a tax.
    ///
    /// # Errors
    /// 404 when the tax or the thing is unknown, 409 when it is attached already.
    pub async fn apply_tax(
        &self,
        organization: OrganizationId,
        request: &ApplyTaxRequest,
        now: Timestamp,
    ) -> Result<AppliedTaxRecord, ApiError> {
        let mut write = self.write().await?;
        let tax = select(&mut write, organization, &request.tax_code).await?;
        require_taxable(&mut write, organization, request).await?;
        let applied = AppliedTaxRecord {
            id: uuid::Uuid::new_v4(),
            tax_id: tax.id,
            taxable_type: request.taxable_type,
            taxable_id: request.taxable_id,
            tax_rate: tax.rate,
            tax_amount_cents: "0".into(),
            tax_name: tax.name,
            tax_code: tax.code,
            created_at: now,
        };
        let insert = "INSERT INTO applied_taxes (id, organization_id, tax_id, taxable_type, taxable_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(insert)
            .bind(applied.id.to_string())
            .bind(organization.to_string())
            .bind(applied.tax_id.to_string())
            .bind(name_of(applied.taxable_type)?)
            .bind(applied.taxable_id.to_string())
            .bind(now.0)
            .execute(write.connection())
            .await
            .map_err(|fault| {
                let attached = ApiError::conflict("tax_already_applied", "the tax is attached to it already");
                DatabaseError::from(fault).or_conflict(attached)
            })?;
        let change = Change { resource: "applied_tax", before: None, after: Some(&applied) };
        written_down(&mut write, organization, applied.id, change, now).await?;
        write.commit().await?;
        Ok(applied)
    }

    /// What is attached to one thing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_taxes(
        &self,
        organization: OrganizationId,
        taxable: Taxable,
        id: uuid::Uuid,
    ) -> Result<Vec<AppliedTaxRecord>, ApiError> {
        let select = format!("{APPLIED} AND a.taxable_type = $2 AND a.taxable_id = $3 ORDER BY a.created_at, a.id");
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(organization.to_string())
            .bind(name_of(taxable)?)
            .bind(id.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(rows.iter().map(read_applied).collect::<Result<_, _>>()?)
    }

    /// Detaches a tax.
    ///
    /// # Errors
    /// 404 when the organization has no such attachment.
    pub async fn detach_tax(
        &self,
        organization: OrganizationId,
        id: uuid::Uuid,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let select = format!("{APPLIED} AND a.id = $2");
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let applied = read_applied(&row.ok_or_else(|| ApiError::not_found("Applied tax"))?)?;
        let deleted = sqlx::query("DELETE FROM applied_taxes WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?
            .rows_affected();
        found(deleted, "Applied tax")?;
        let change = Change { resource: "applied_tax", before: Some(&applied), after: None };
        written_down(&mut write, organization, id, change, now).await?;
        Ok(write.commit().await?)
    }

    /// How often each tax of the organization is attached.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tax_application_counts(
        &self,
        organization: OrganizationId,
    ) -> Result<TaxApplicationCountsResponse, ApiError> {
        let select =
            "SELECT tax_id, COUNT(*) AS attachments FROM applied_taxes WHERE organization_id = $1 GROUP BY tax_id";
        let rows = sqlx::query(select)
            .bind(organization.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(row.text("tax_id")?, row.integer("attachments")?);
        }
        Ok(TaxApplicationCountsResponse { counts })
    }

    /// What the tax of a code is attached to.
    ///
    /// # Errors
    /// 404 when the organization has no such tax.
    pub async fn tax_applied_entities(
        &self,
        organization: OrganizationId,
        code: &str,
    ) -> Result<TaxAppliedEntitiesResponse, ApiError> {
        let tax = self.tax(organization, code).await?;
        let select = format!("{APPLIED} AND a.tax_id = $2 ORDER BY a.created_at, a.id");
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(organization.to_string())
            .bind(tax.id.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        let entity = |row: &AnyRow| {
            Ok::<_, DatabaseError>(BTreeMap::from([
                ("taxable_type", row.text("taxable_type")?),
                ("taxable_id", row.text("taxable_id")?),
                ("applied_tax_id", row.text("id")?),
            ]))
        };
        let entities = rows.iter().map(entity).collect::<Result<_, _>>()?;
        Ok(TaxAppliedEntitiesResponse { tax_id: tax.id, tax_code: tax.code, entities })
    }
}

const APPLIED: &str = "SELECT a.id, a.tax_id, a.taxable_type, a.taxable_id, a.created_at, t.rate, t.name, t.code \
     FROM applied_taxes a JOIN taxes t ON t.id = a.tax_id WHERE a.organization_id = $1";

fn read_applied(row: &AnyRow) -> Result<AppliedTaxRecord, DatabaseError> {
    let rate = http_api::decimal::parse(&row.text("rate")?);
    Ok(AppliedTaxRecord {
        id: row.parsed("id")?,
        tax_id: row.parsed("tax_id")?,
        taxable_type: row.named("taxable_type")?,
        taxable_id: row.parsed("taxable_id")?,
        tax_rate: http_api::ExactDecimal(rate.map_err(|fault| DatabaseError::unreadable("rate of a tax", fault))?),
        tax_amount_cents: "0".into(),
        tax_name: row.text("name")?,
        tax_code: row.text("code")?,
        created_at: row.instant("created_at")?,
    })
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

async fn select(write: &mut WriteTransaction, organization: OrganizationId, code: &str) -> Result<TaxRecord, ApiError> {
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

async fn require_taxable(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    request: &ApplyTaxRequest,
) -> Result<(), ApiError> {
    let (select, what) = match request.taxable_type {
        Taxable::Plan => ("SELECT id FROM plans WHERE organization_id = $1 AND id = $2", "Plan"),
        Taxable::Customer => ("SELECT id FROM customers WHERE organization_id = $1 AND id = $2", "Customer"),
        Taxable::BillingEntity => {
            ("SELECT id FROM billing_entities WHERE organization_id = $1 AND id = $2", "Billing entity")
        }
        Taxable::Charge => (
            "SELECT c.charge_id AS id FROM plan_charges c JOIN plans p ON p.id = c.plan_id AND p.version = c.version \
             WHERE p.organization_id = $1 AND c.charge_id = $2",
            "Charge",
        ),
    };
    let row = sqlx::query(select)
        .bind(organization.to_string())
        .bind(request.taxable_id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    row.map(|_| ()).ok_or_else(|| ApiError::not_found(what))
}
