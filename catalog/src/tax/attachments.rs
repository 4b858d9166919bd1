//! What taxes are attached to: plans, charges, customers, billing entities.

use crate::audit::{Change, written_down};
use crate::catalog::{Catalog, found};
use crate::columns::{Columns, name_of};
use crate::database::{DatabaseError, WriteTransaction};
use crate::tax::storage::select;
use crate::tax::wire::{
    AppliedTaxRecord, ApplyTaxRequest, TaxApplicationCountsResponse, TaxAppliedEntitiesResponse, Taxable,
};
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::ApiError;
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;

impl Catalog {
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
