//! Storage of billing entities.

use crate::audit::{Change, written_down};
use crate::billing_entity::wire::{BillingEntityCreate, BillingEntityRecord, BillingEntityUpdate};
use crate::catalog::Catalog;
use crate::columns::{Columns, to_json};
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::AssertSqlSafe;
use std::collections::BTreeMap;

const RESOURCE: &str = "billing_entity";

impl Catalog {
    /// Makes a billing entity; a default one takes that over from the one before.
    ///
    /// # Errors
    /// 422 for bad fields, 409 when the code or the prefix is taken.
    pub async fn create_billing_entity(
        &self,
        organization: OrganizationId,
        new: &BillingEntityCreate,
        now: Timestamp,
    ) -> Result<BillingEntityRecord, ApiError> {
        new.check()?;
        let entity = BillingEntityRecord {
            id: uuid::Uuid::new_v4(),
            code: new.code.clone(),
            name: new.name.clone(),
            document: new.document.clone(),
            invoice_prefix: new.prefix(),
            next_invoice_number: new.next_invoice_number,
            is_default: new.is_default,
            created_at: now,
            updated_at: now,
        };
        let mut write = self.write().await?;
        if entity.is_default {
            clear_default(&mut write, organization).await?;
        }
        insert(&mut write, organization, &entity).await?;
        let change = Change { resource: RESOURCE, before: None, after: Some(&entity) };
        written_down(&mut write, organization, entity.id, change, now).await?;
        write.commit().await?;
        Ok(entity)
    }

    /// The entity of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such entity.
    pub async fn billing_entity(
        &self,
        organization: OrganizationId,
        code: &str,
    ) -> Result<BillingEntityRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM billing_entities WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(BillingEntityRecord::read(&row.ok_or_else(|| ApiError::not_found("Billing entity"))?)?)
    }

    /// The entity of an id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn billing_entity_by_id(
        &self,
        organization: OrganizationId,
        id: uuid::Uuid,
    ) -> Result<Option<BillingEntityRecord>, DatabaseError> {
        let row = sqlx::query("SELECT * FROM billing_entities WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await?;
        row.map(|row| BillingEntityRecord::read(&row)).transpose()
    }

    /// A page of an organization's entities, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn billing_entities(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<BillingEntityRecord>, i64), ApiError> {
        let listing = Listing {
            table: "billing_entities",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "code", "name"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(BillingEntityRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent.
    ///
    /// # Errors
    /// 404 when the organization has no such entity, 422 for bad fields, 409 for a prefix that is taken or numbers that would
    /// get a gap.
    pub async fn update_billing_entity(
        &self,
        organization: OrganizationId,
        code: &str,
        change: &BillingEntityUpdate,
        now: Timestamp,
    ) -> Result<BillingEntityRecord, ApiError> {
        let mut write = self.write().await?;
        let (kept, numbers_taken) = select(&mut write, organization, code).await?;
        let changed = change.apply(&kept, now)?;
        let renumbered =
            changed.next_invoice_number != kept.next_invoice_number || changed.invoice_prefix != kept.invoice_prefix;
        if numbers_taken && renumbered {
            let detail = "it has issued invoices: their numbers go on without a gap under the same prefix";
            return Err(ApiError::conflict("numbers_in_use", detail));
        }
        if changed.is_default && !kept.is_default {
            clear_default(&mut write, organization).await?;
        }
        sqlx::query(
            "UPDATE billing_entities SET name = $3, document = $4, invoice_prefix = $5, next_invoice_number = $6, \
             is_default = $7, updated_at = $8 WHERE organization_id = $1 AND id = $2",
        )
        .bind(organization.to_string())
        .bind(changed.id.to_string())
        .bind(&changed.name)
        .bind(to_json(&changed.document)?)
        .bind(&changed.invoice_prefix)
        .bind(changed.next_invoice_number)
        .bind(i64::from(changed.is_default))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(|fault| DatabaseError::from(fault).or_conflict(taken()))?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: Some(&changed) };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await?;
        Ok(changed)
    }

    /// Deletes an entity that has issued nothing and that no customer names.
    ///
    /// # Errors
    /// 404 when the organization has no such entity, 400 when it has issued an invoice (contract), 409 when customers name it.
    pub async fn delete_billing_entity(
        &self,
        organization: OrganizationId,
        code: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let in_use = |fault: DatabaseError| match fault {
            DatabaseError::ForeignKey(_) => ApiError::conflict("billing_entity_in_use", "customers name the entity"),
            other => other.into(),
        };
        let mut write = self.write().await?;
        let (kept, numbers_taken) = select(&mut write, organization, code).await?;
        if numbers_taken {
            return Err(ApiError::bad_request("billing_entity_has_invoices", "Billing entity has invoices"));
        }
        sqlx::query("DELETE FROM applied_taxes WHERE organization_id = $1 AND taxable_type = 'billing_entity' AND taxable_id = $2")
            .bind(organization.to_string())
            .bind(kept.id.to_string())
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        sqlx::query("DELETE FROM billing_entities WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(kept.id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| in_use(fault.into()))?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: None };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await.map_err(in_use)
    }

    /// How many customers name each entity; entities without any are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn billing_entity_customer_counts(
        &self,
        organization: OrganizationId,
    ) -> Result<BTreeMap<String, i64>, ApiError> {
        let select = "SELECT billing_entity_id, COUNT(*) AS customers FROM customers \
             WHERE organization_id = $1 AND billing_entity_id IS NOT NULL GROUP BY billing_entity_id";
        let rows = sqlx::query(select)
            .bind(organization.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(row.text("billing_entity_id")?, row.integer("customers")?);
        }
        Ok(counts)
    }
}

fn taken() -> ApiError {
    ApiError::conflict("code_taken", "a billing entity with this code or invoice prefix already exists")
}

async fn clear_default(write: &mut WriteTransaction, organization: OrganizationId) -> Result<(), ApiError> {
    sqlx::query("UPDATE billing_entities SET is_default = 0 WHERE organization_id = $1 AND is_default = 1")
        .bind(organization.to_string())
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(())
}

async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    entity: &BillingEntityRecord,
) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO billing_entities (id, organization_id, code, name, document, invoice_prefix, next_invoice_number, \
         numbers_taken, is_default, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, $9)",
    )
    .bind(entity.id.to_string())
    .bind(organization.to_string())
    .bind(&entity.code)
    .bind(&entity.name)
    .bind(to_json(&entity.document)?)
    .bind(&entity.invoice_prefix)
    .bind(entity.next_invoice_number)
    .bind(i64::from(entity.is_default))
    .bind(entity.created_at.0)
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(taken()))?;
    Ok(())
}

/// The entity as it is, inside a write, and whether it has issued invoices.
async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<(BillingEntityRecord, bool), ApiError> {
    let lock = write.for_update();
    let select = format!("SELECT * FROM billing_entities WHERE organization_id = $1 AND code = $2{lock}");
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(code)
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| ApiError::not_found("Billing entity"))?;
    Ok((BillingEntityRecord::read(&row)?, row.flag("numbers_taken")?))
}
