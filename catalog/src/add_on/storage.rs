//! Storage of add-ons and of who got them.

use crate::add_on::wire::{
    AddOnCreate, AddOnRecord, AddOnUpdate, AppliedAddOnDetail, AppliedAddOnRecord, ApplyAddOnRequest, whole_cents,
};
use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::customer::storage::currency_of;
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use crate::state::AddOnApplied;
use domain::ids::{CustomerId, OrganizationId};
use domain::time::Timestamp;
use http_api::{ApiError, Checks, ListParams};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use std::sync::Arc;

const RESOURCE: &str = "add_on";

impl Catalog {
    /// Makes an add-on.
    ///
    /// # Errors
    /// 422 for bad fields, 409 when the code is taken.
    pub async fn create_add_on(
        &self,
        organization: OrganizationId,
        new: &AddOnCreate,
        now: Timestamp,
    ) -> Result<AddOnRecord, ApiError> {
        let cents = new.check()?;
        let add_on = AddOnRecord {
            id: uuid::Uuid::new_v4(),
            code: new.code.clone(),
            name: new.name.clone(),
            description: new.description.clone(),
            invoice_display_name: new.invoice_display_name.clone(),
            amount_cents: cents.to_string(),
            amount_currency: new.amount_currency.clone(),
            created_at: now,
            updated_at: now,
        };
        let mut write = self.write().await?;
        insert(&mut write, organization, &add_on, cents).await?;
        let change = Change { resource: RESOURCE, before: None, after: Some(&add_on) };
        written_down(&mut write, organization, add_on.id, change, now).await?;
        write.commit().await?;
        Ok(add_on)
    }

    /// The add-on of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such add-on.
    pub async fn add_on(&self, organization: OrganizationId, code: &str) -> Result<AddOnRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM add_ons WHERE organization_id = $1 AND code = $2")
            .bind(organization.to_string())
            .bind(code)
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(AddOnRecord::read(&row.ok_or_else(|| ApiError::not_found("Add-on"))?)?)
    }

    /// A page of an organization's add-ons, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn add_ons(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<AddOnRecord>, i64), ApiError> {
        let listing = Listing {
            table: "add_ons",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "code", "name", "amount_cents", "amount_currency"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(AddOnRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent; what was applied before keeps its price.
    ///
    /// # Errors
    /// 404 when the organization has no such add-on, 422 for bad fields.
    pub async fn update_add_on(
        &self,
        organization: OrganizationId,
        code: &str,
        change: &AddOnUpdate,
        now: Timestamp,
    ) -> Result<AddOnRecord, ApiError> {
        let mut write = self.write().await?;
        let (kept, kept_cents) = select(&mut write, organization, code).await?;
        let changed = change.apply(&kept, now)?;
        let cents = changed.amount_cents.parse().unwrap_or(kept_cents);
        sqlx::query(
            "UPDATE add_ons SET name = $3, description = $4, invoice_display_name = $5, amount_cents = $6, \
             amount_currency = $7, updated_at = $8 WHERE organization_id = $1 AND id = $2",
        )
        .bind(organization.to_string())
        .bind(changed.id.to_string())
        .bind(&changed.name)
        .bind(&changed.description)
        .bind(&changed.invoice_display_name)
        .bind(cents)
        .bind(&changed.amount_currency)
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: Some(&changed) };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await?;
        Ok(changed)
    }

    /// Deletes an add-on that nobody got.
    ///
    /// # Errors
    /// 404 when the organization has no such add-on, 409 when a customer got it.
    pub async fn delete_add_on(
        &self,
        organization: OrganizationId,
        code: &str,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let in_use = |fault: DatabaseError| match fault {
            DatabaseError::ForeignKey(_) => ApiError::conflict("add_on_in_use", "customers got the add-on"),
            other => other.into(),
        };
        let mut write = self.write().await?;
        let (kept, _) = select(&mut write, organization, code).await?;
        sqlx::query("DELETE FROM add_ons WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(kept.id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| in_use(fault.into()))?;
        let change = Change { resource: RESOURCE, before: Some(&kept), after: None };
        written_down(&mut write, organization, kept.id, change, now).await?;
        write.commit().await.map_err(in_use)
    }

    /// Applies an add-on to a customer, and has invoicing take part in the same transaction.
    ///
    /// # Errors
    /// 404 for an unknown add-on or customer, 422 for a bad price, 409 for another currency than the customer's.
    pub async fn apply_add_on(
        &self,
        organization: OrganizationId,
        request: &ApplyAddOnRequest,
        invoicing: Option<&Arc<dyn AddOnApplied>>,
        now: Timestamp,
    ) -> Result<AppliedAddOnRecord, ApiError> {
        let mut checks = Checks::new();
        let sent = request.amount_cents.as_ref().map(|amount| whole_cents(&mut checks, "amount_cents", amount));
        checks.finish()?;
        let mut write = self.write().await?;
        let (add_on, own_cents) = select(&mut write, organization, &request.add_on_code).await?;
        let currency = currency_of(&mut write, organization, request.customer_id).await?;
        let asked = request.amount_currency.as_ref().unwrap_or(&add_on.amount_currency);
        if *asked != currency {
            let detail = format!("the add-on is sold in {asked} and the customer is billed in {currency}");
            return Err(ApiError::conflict("currency_mismatch", detail));
        }
        let cents = sent.unwrap_or(own_cents);
        let applied = AppliedAddOnRecord {
            id: uuid::Uuid::new_v4(),
            add_on_id: add_on.id,
            customer_id: request.customer_id,
            amount_cents: cents.to_string(),
            amount_currency: currency,
            created_at: now,
        };
        insert_applied(&mut write, organization, &applied, cents).await?;
        let change = Change { resource: "applied_add_on", before: None, after: Some(&applied) };
        written_down(&mut write, organization, applied.id, change, now).await?;
        if let Some(invoicing) = invoicing {
            invoicing.add_on_applied(&mut write, organization, &add_on, &applied, now).await?;
        }
        write.commit().await?;
        Ok(applied)
    }

    /// How often each add-on was applied; those never applied are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_on_application_counts(
        &self,
        organization: OrganizationId,
    ) -> Result<BTreeMap<String, i64>, ApiError> {
        let select = "SELECT add_on_id, COUNT(*) AS applications FROM applied_add_ons \
             WHERE organization_id = $1 GROUP BY add_on_id";
        let rows = sqlx::query(select)
            .bind(organization.to_string())
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        let mut counts = BTreeMap::new();
        for row in &rows {
            counts.insert(row.text("add_on_id")?, row.integer("applications")?);
        }
        Ok(counts)
    }

    /// Who got the add-on of a code.
    ///
    /// # Errors
    /// 404 when the organization has no such add-on.
    pub async fn add_on_applications(
        &self,
        organization: OrganizationId,
        code: &str,
    ) -> Result<Vec<AppliedAddOnDetail>, ApiError> {
        let add_on = self.add_on(organization, code).await?;
        self.applied(organization, "a.add_on_id = $2", add_on.id.to_string()).await
    }

    /// What a customer got.
    ///
    /// # Errors
    /// 404 when the organization has no such customer.
    pub async fn customer_add_ons(
        &self,
        organization: OrganizationId,
        customer: CustomerId,
    ) -> Result<Vec<AppliedAddOnDetail>, ApiError> {
        self.customer(organization, customer).await?;
        self.applied(organization, "a.customer_id = $2", customer.to_string()).await
    }

    async fn applied(
        &self,
        organization: OrganizationId,
        condition: &'static str,
        id: String,
    ) -> Result<Vec<AppliedAddOnDetail>, ApiError> {
        let select = format!(
            "SELECT a.*, c.name AS customer_name FROM applied_add_ons a JOIN customers c ON c.id = a.customer_id \
             WHERE a.organization_id = $1 AND {condition} ORDER BY a.created_at DESC, a.id DESC"
        );
        let rows = sqlx::query(AssertSqlSafe(select))
            .bind(organization.to_string())
            .bind(id)
            .fetch_all(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(rows.iter().map(read_applied).collect::<Result<_, _>>()?)
    }
}

fn read_applied(row: &AnyRow) -> Result<AppliedAddOnDetail, DatabaseError> {
    let applied = AppliedAddOnRecord {
        id: row.parsed("id")?,
        add_on_id: row.parsed("add_on_id")?,
        customer_id: row.parsed("customer_id")?,
        amount_cents: row.integer("amount_cents")?.to_string(),
        amount_currency: row.text("amount_currency")?,
        created_at: row.instant("created_at")?,
    };
    Ok(AppliedAddOnDetail { applied, customer_name: row.text("customer_name")? })
}

async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    add_on: &AddOnRecord,
    cents: i64,
) -> Result<(), ApiError> {
    let taken = || {
        let shown: String = add_on.code.chars().take(64).collect();
        ApiError::conflict("code_taken", format!("Add-on with code '{shown}' already exists"))
    };
    sqlx::query(
        "INSERT INTO add_ons (id, organization_id, code, name, description, invoice_display_name, amount_cents, \
         amount_currency, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
    )
    .bind(add_on.id.to_string())
    .bind(organization.to_string())
    .bind(&add_on.code)
    .bind(&add_on.name)
    .bind(&add_on.description)
    .bind(&add_on.invoice_display_name)
    .bind(cents)
    .bind(&add_on.amount_currency)
    .bind(add_on.created_at.0)
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(taken()))?;
    Ok(())
}

async fn insert_applied(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    applied: &AppliedAddOnRecord,
    cents: i64,
) -> Result<(), ApiError> {
    sqlx::query(
        "INSERT INTO applied_add_ons (id, organization_id, add_on_id, customer_id, amount_cents, amount_currency, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(applied.id.to_string())
    .bind(organization.to_string())
    .bind(applied.add_on_id.to_string())
    .bind(applied.customer_id.to_string())
    .bind(cents)
    .bind(&applied.amount_currency)
    .bind(applied.created_at.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    Ok(())
}

/// The add-on as it is, inside a write, with its price.
async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    code: &str,
) -> Result<(AddOnRecord, i64), ApiError> {
    let select = format!("SELECT * FROM add_ons WHERE organization_id = $1 AND code = $2{}", write.for_update());
    let row = sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(code)
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| ApiError::not_found("Add-on"))?;
    Ok((AddOnRecord::read(&row)?, row.integer("amount_cents")?))
}
