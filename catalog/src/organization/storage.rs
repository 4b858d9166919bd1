//! Storage of organizations.

use crate::catalog::{Catalog, found};
use crate::columns::Columns;
use crate::database::{DatabaseError, WriteTransaction};
use crate::organization::key_storage::{KeyOptions, insert_key};
use crate::organization::wire::{
    ApiKeyCreateResponse, MASKED, OrganizationCreate, OrganizationRecord, OrganizationUpdate,
};
use crate::page::Listing;
use crate::state::OrganizationWiped;
use domain::ids::OrganizationId;
use domain::time::Timestamp;
use http_api::{ApiError, ListParams};
use sqlx::{AssertSqlSafe, Row};
use std::sync::Arc;

/// Longest slug, before its number: the contract's name length less room for `-` and a number.
const MAX_SLUG: usize = 240;
/// All of an organization's rows, children before parents. Versions, filters, dimensions and charges go with their parents.
const TABLES: [&str; 14] = [
    "idempotency_keys",
    "audit_logs",
    "applied_add_ons",
    "add_ons",
    "applied_taxes",
    "taxes",
    "subscription_thresholds",
    "subscriptions",
    "plan_versions",
    "plans",
    "billable_metrics",
    "customers",
    "billing_entities",
    "api_keys",
];

impl Catalog {
    /// Makes an organization and its first API key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_organization(
        &self,
        new: &OrganizationCreate,
        now: Timestamp,
    ) -> Result<(OrganizationRecord, ApiKeyCreateResponse), ApiError> {
        let id = OrganizationId::random();
        let mut write = self.write().await?;
        let slug = free_slug(&mut write, &new.name).await?;
        sqlx::query(
            "INSERT INTO organizations (id, slug, name, default_currency, timezone, hmac_key, logo_url, \
             portal_accent_color, portal_welcome_message, sandbox, events_per_second, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)",
        )
        .bind(id.to_string())
        .bind(slug)
        .bind(&new.name)
        .bind(&new.default_currency)
        .bind(&new.timezone)
        .bind(&new.hmac_key)
        .bind(&new.logo_url)
        .bind(&new.portal_accent_color)
        .bind(&new.portal_welcome_message)
        .bind(i64::from(new.sandbox))
        .bind(new.events_per_second.map(i64::from))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
        let key = insert_key(&mut write, id, new.sandbox, &KeyOptions::default(), now).await?;
        let organization = read(&mut write, id).await?;
        self.commit_shown(write, id).await?;
        Ok((organization, key))
    }

    /// One organization.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn organization(&self, id: OrganizationId) -> Result<OrganizationRecord, ApiError> {
        let row = sqlx::query("SELECT * FROM organizations WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(self.database().pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(OrganizationRecord::read(&row.ok_or_else(|| ApiError::not_found("Organization"))?)?)
    }

    /// A page of all organizations, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn organizations(&self, params: &ListParams) -> Result<(Vec<OrganizationRecord>, i64), ApiError> {
        let listing = Listing {
            table: "organizations",
            condition: "1 = 1",
            bound: &[],
            orders: &["created_at", "updated_at", "name", "slug"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(OrganizationRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Changes what was sent.
    ///
    /// # Errors
    /// 404 when there is no such organization.
    pub async fn update_organization(
        &self,
        id: OrganizationId,
        change: &OrganizationUpdate,
        now: Timestamp,
    ) -> Result<OrganizationRecord, ApiError> {
        let mut write = self.write().await?;
        let select = format!("SELECT * FROM organizations WHERE id = $1{}", write.for_update());
        let row = sqlx::query(AssertSqlSafe(select))
            .bind(id.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?
            .ok_or_else(|| ApiError::not_found("Organization"))?;
        let kept = OrganizationRecord::read(&row)?;
        let stored_hmac_key = row.optional_text("hmac_key")?;
        // A client that sends back what it was shown means no change.
        let hmac_key = match &change.hmac_key {
            Some(sent) if sent.as_deref() != Some(MASKED) => sent.clone(),
            _ => stored_hmac_key,
        };
        sqlx::query(
            "UPDATE organizations SET name = $2, default_currency = $3, timezone = $4, hmac_key = $5, logo_url = $6, \
             portal_accent_color = $7, portal_welcome_message = $8, events_per_second = $9, updated_at = $10 WHERE id = $1",
        )
        .bind(id.to_string())
        .bind(change.name.clone().unwrap_or(kept.name))
        .bind(change.default_currency.clone().unwrap_or(kept.default_currency))
        .bind(change.timezone.clone().unwrap_or(kept.timezone))
        .bind(hmac_key)
        .bind(change.logo_url.clone().unwrap_or(kept.logo_url))
        .bind(change.portal_accent_color.clone().unwrap_or(kept.portal_accent_color))
        .bind(change.portal_welcome_message.clone().unwrap_or(kept.portal_welcome_message))
        .bind(change.events_per_second.unwrap_or(kept.events_per_second).map(i64::from))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
        let organization = read(&mut write, id).await?;
        self.commit_shown(write, id).await?;
        Ok(organization)
    }

    /// Deletes an organization and all its rows, those of other components first, in one transaction.
    ///
    /// # Errors
    /// 404 when there is none; what a component answers when it refuses.
    pub async fn wipe_organization(
        &self,
        id: OrganizationId,
        others: &[Arc<dyn OrganizationWiped>],
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        for other in others {
            other.wipe(&mut write, id).await?;
        }
        for table in TABLES {
            let delete = format!("DELETE FROM {table} WHERE organization_id = $1");
            sqlx::query(AssertSqlSafe(delete))
                .bind(id.to_string())
                .execute(write.connection())
                .await
                .map_err(DatabaseError::from)?;
        }
        let deleted = sqlx::query("DELETE FROM organizations WHERE id = $1")
            .bind(id.to_string())
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?
            .rows_affected();
        found(deleted, "Organization")?;
        Ok(self.commit_shown(write, id).await?)
    }
}

async fn read(write: &mut WriteTransaction, id: OrganizationId) -> Result<OrganizationRecord, ApiError> {
    let row = sqlx::query("SELECT * FROM organizations WHERE id = $1")
        .bind(id.to_string())
        .fetch_one(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(OrganizationRecord::read(&row)?)
}

async fn free_slug(write: &mut WriteTransaction, name: &str) -> Result<String, ApiError> {
    let base = slug_of(name);
    let mut slug = base.clone();
    for number in 1_u32.. {
        let taken = sqlx::query("SELECT COUNT(*) FROM organizations WHERE slug = $1")
            .bind(&slug)
            .fetch_one(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        if taken.try_get::<i64, _>(0).map_err(DatabaseError::from)? == 0 {
            break;
        }
        slug = format!("{base}-{number}");
    }
    Ok(slug)
}

/// Letters and digits in lower case, all else as single dashes.
fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for character in name.to_lowercase().chars().take(MAX_SLUG) {
        if character.is_alphanumeric() {
            slug.push(character);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "organization".into() } else { slug.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_the_name_in_lower_case_with_single_dashes() {
        assert_eq!(slug_of("  Acme & Söhne, Inc. "), "acme-söhne-inc");
        assert_eq!(slug_of("!!!"), "organization");
    }
}
