//! Storage of customers.

use crate::audit::{Change, written_down};
use crate::catalog::{Catalog, found};
use crate::columns::{Columns, to_json};
use crate::customer::wire::{CustomerCreate, CustomerRecord, CustomerUpdate};
use crate::database::{DatabaseError, WriteTransaction};
use crate::page::Listing;
use domain::ids::{CustomerId, OrganizationId};
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

const RESOURCE: &str = "customer";

impl Catalog {
    /// Makes a customer.
    ///
    /// # Errors
    /// 409 when the external id is taken in the organization.
    pub async fn create_customer(
        &self,
        organization: OrganizationId,
        new: &CustomerCreate,
        now: Timestamp,
    ) -> Result<CustomerRecord, ApiError> {
        let created = self.create_customers(organization, std::slice::from_ref(new), now).await?;
        created.into_iter().next().ok_or_else(|| ApiError::internal("no customer came of one"))
    }

    /// Makes many customers in one transaction: all or none.
    ///
    /// # Errors
    /// 409 when an external id is taken in the organization.
    pub async fn create_customers(
        &self,
        organization: OrganizationId,
        new: &[CustomerCreate],
        now: Timestamp,
    ) -> Result<Vec<CustomerRecord>, ApiError> {
        let mut write = self.write().await?;
        let mut created = Vec::with_capacity(new.len());
        for customer in new {
            created.push(insert(&mut write, organization, customer, now).await?);
        }
        write.commit().await?;
        Ok(created)
    }

    /// One customer.
    ///
    /// # Errors
    /// 404 when the organization has no such customer.
    pub async fn customer(&self, organization: OrganizationId, id: CustomerId) -> Result<CustomerRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM customers WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(CustomerRecord::read(&row.ok_or_else(|| ApiError::not_found("Customer"))?)?)
    }

    /// The id of the customer that the client calls `external_id`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn customer_named(
        &self,
        organization: OrganizationId,
        external_id: &str,
    ) -> Result<Option<CustomerId>, DatabaseError> {
        let row = sqlx::query("SELECT id FROM customers WHERE organization_id = $1 AND external_id = $2")
            .bind(organization.to_string())
            .bind(external_id)
            .fetch_optional(self.database().pool())
            .await?;
        row.map(|row| row.parsed("id")).transpose()
    }

    /// A page of an organization's customers, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn customers(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<CustomerRecord>, i64), ApiError> {
        let listing = Listing {
            table: "customers",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "updated_at", "external_id", "name", "email", "currency", "timezone"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(CustomerRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent. A new timezone holds from `now` on; those before it are kept.
    ///
    /// # Errors
    /// 404 when the organization has no such customer.
    pub async fn update_customer(
        &self,
        organization: OrganizationId,
        id: CustomerId,
        change: &CustomerUpdate,
        now: Timestamp,
    ) -> Result<CustomerRecord, ApiError> {
        let mut write = self.write().await?;
        let row = select(&mut write, organization, id).await?.ok_or_else(|| ApiError::not_found("Customer"))?;
        let kept = CustomerRecord::read(&row)?;
        let entity = change.billing_entity_id.unwrap_or(kept.billing_entity_id);
        require_entity(&mut write, organization, entity).await?;
        let before = kept.clone();
        let timezone = change.timezone.clone().unwrap_or(kept.timezone);
        let timezones = with_zone(row.json("timezones")?, now, &timezone);
        sqlx::query(
            "UPDATE customers SET name = $3, email = $4, currency = $5, timezone = $6, timezones = $7, \
             billing_metadata = $8, invoice_grace_period = $9, net_payment_term = $10, updated_at = $11, \
             billing_entity_id = $12 \
             WHERE organization_id = $1 AND id = $2",
        )
        .bind(organization.to_string())
        .bind(id.to_string())
        .bind(change.name.clone().unwrap_or(kept.name))
        .bind(change.email.clone().unwrap_or(kept.email))
        .bind(change.currency.clone().unwrap_or(kept.currency))
        .bind(timezone)
        .bind(to_json(&timezones)?)
        .bind(to_json(change.billing_metadata.as_ref().unwrap_or(&kept.billing_metadata))?)
        .bind(i64::from(change.invoice_grace_period.unwrap_or(kept.invoice_grace_period)))
        .bind(i64::from(change.net_payment_term.unwrap_or(kept.net_payment_term)))
        .bind(now.0)
        .bind(entity.map(|id| id.to_string()))
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
        let written = select(&mut write, organization, id).await?.ok_or_else(|| ApiError::not_found("Customer"))?;
        let customer = CustomerRecord::read(&written)?;
        let change = Change { resource: RESOURCE, before: Some(&before), after: Some(&customer) };
        written_down(&mut write, organization, id, change, now).await?;
        write.commit().await?;
        Ok(customer)
    }

    /// Deletes a customer whom nothing references.
    ///
    /// # Errors
    /// 404 when the organization has no such customer, 409 when subscriptions or invoices reference it.
    pub async fn delete_customer(
        &self,
        organization: OrganizationId,
        id: CustomerId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let gone = self.customer(organization, id).await?;
        let mut write = self.write().await?;
        let deleted = sqlx::query("DELETE FROM customers WHERE organization_id = $1 AND id = $2")
            .bind(organization.to_string())
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(|fault| in_use(fault.into()))?
            .rows_affected();
        found(deleted, "Customer")?;
        written_down(
            &mut write,
            organization,
            id,
            Change { resource: RESOURCE, before: Some(&gone), after: None },
            now,
        )
        .await?;
        write.commit().await.map_err(in_use)
    }
}

fn in_use(fault: DatabaseError) -> ApiError {
    match fault {
        DatabaseError::ForeignKey(_) => {
            ApiError::conflict("customer_in_use", "the customer has subscriptions or invoices and cannot be deleted")
        }
        other => other.into(),
    }
}

async fn select(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: CustomerId,
) -> Result<Option<AnyRow>, DatabaseError> {
    let select = format!("SELECT * FROM customers WHERE organization_id = $1 AND id = $2{}", write.for_update());
    Ok(sqlx::query(AssertSqlSafe(select))
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await?)
}

/// The currency in which a customer is billed.
///
/// # Errors
/// 404 when the organization has no such customer.
pub async fn currency_of(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    customer: CustomerId,
) -> Result<String, ApiError> {
    let row = sqlx::query("SELECT currency FROM customers WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(customer.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(row.ok_or_else(|| ApiError::not_found("Customer"))?.text("currency")?)
}

async fn insert(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    new: &CustomerCreate,
    now: Timestamp,
) -> Result<CustomerRecord, ApiError> {
    require_entity(write, organization, new.billing_entity_id).await?;
    let id = CustomerId::random();
    // The first zone holds since ever: subscriptions may start before the customer was made.
    let timezones = vec![(Timestamp::EARLIEST.0, new.timezone.clone())];
    sqlx::query(
        "INSERT INTO customers (id, organization_id, external_id, name, email, currency, timezone, timezones, \
         billing_metadata, invoice_grace_period, net_payment_term, created_at, updated_at, billing_entity_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13)",
    )
    .bind(id.to_string())
    .bind(organization.to_string())
    .bind(&new.external_id)
    .bind(&new.name)
    .bind(&new.email)
    .bind(&new.currency)
    .bind(&new.timezone)
    .bind(to_json(&timezones)?)
    .bind(to_json(&new.billing_metadata)?)
    .bind(i64::from(new.invoice_grace_period))
    .bind(i64::from(new.net_payment_term))
    .bind(now.0)
    .bind(new.billing_entity_id.map(|id| id.to_string()))
    .execute(write.connection())
    .await
    .map_err(|fault| DatabaseError::from(fault).or_conflict(external_id_taken(&new.external_id)))?;
    let customer = CustomerRecord {
        id,
        external_id: new.external_id.clone(),
        name: new.name.clone(),
        email: new.email.clone(),
        currency: new.currency.clone(),
        timezone: new.timezone.clone(),
        billing_metadata: new.billing_metadata.clone(),
        billing_entity_id: new.billing_entity_id,
        invoice_grace_period: new.invoice_grace_period,
        net_payment_term: new.net_payment_term,
        created_at: now,
        updated_at: now,
    };
    written_down(write, organization, id, Change { resource: RESOURCE, before: None, after: Some(&customer) }, now)
        .await?;
    Ok(customer)
}

/// An entity that a customer names must be one of its organization (I8).
async fn require_entity(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    entity: Option<uuid::Uuid>,
) -> Result<(), ApiError> {
    let Some(entity) = entity else { return Ok(()) };
    let row = sqlx::query("SELECT id FROM billing_entities WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(entity.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    let unknown = || ApiError::bad_request("unknown_billing_entity", format!("Billing entity {entity} not found"));
    row.map(|_| ()).ok_or_else(unknown)
}

fn external_id_taken(external_id: &str) -> ApiError {
    let shown: String = external_id.chars().take(64).collect();
    ApiError::conflict("external_id_taken", format!("Customer with external_id '{shown}' already exists"))
}

/// The zones with `zone` in force from `now` on. A change at the instant of the one before replaces it; going back to the same
/// zone adds nothing.
fn with_zone(mut zones: Vec<(i64, String)>, now: Timestamp, zone: &str) -> Vec<(i64, String)> {
    if zones.last().is_some_and(|(_, current)| current == zone) {
        return zones;
    }
    // A sandbox's clock may stand before the last change only if it was set for the first time: the later entry wins there too.
    let from = zones.last().map_or(now.0, |(last, _)| now.0.max(*last));
    zones.retain(|(start, _)| *start != from);
    zones.push((from, zone.to_string()));
    zones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_kept_with_the_instant_from_which_they_hold() {
        let zones = with_zone(vec![(0, "UTC".into())], Timestamp(10), "Asia/Tokyo");
        assert_eq!(zones, [(0, "UTC".to_string()), (10, "Asia/Tokyo".to_string())]);
        assert_eq!(with_zone(zones.clone(), Timestamp(20), "Asia/Tokyo"), zones);
        let replaced = with_zone(zones, Timestamp(10), "Europe/Paris");
        assert_eq!(replaced, [(0, "UTC".to_string()), (10, "Europe/Paris".to_string())]);
    }
}
