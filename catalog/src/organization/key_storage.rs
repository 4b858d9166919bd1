//! Storage of API keys: `tg_live_` (sandboxes: `tg_test_`) and 64 hexadecimal digits, of which only the SHA-256 is kept.
//!
//! 256 random bits need no salt and no slow hash: there is nothing to guess.

use crate::audit::{Change, written_down};
use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::database::{DatabaseError, WriteTransaction};
use crate::organization::wire::{ApiKeyCreate, ApiKeyCreateResponse, ApiKeyRecord};
use crate::page::Listing;
use crate::snapshot::hash_to_hex;
use domain::ids::{ApiKeyId, OrganizationId};
use domain::time::Timestamp;
use http_api::auth::key_hash;
use http_api::{ApiError, ListParams};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sqlx::Row;

/// Prefix of a live organization's keys.
pub const LIVE_PREFIX: &str = "tg_live_";
/// Prefix of a sandbox's keys.
pub const SANDBOX_PREFIX: &str = "tg_test_";
/// Characters of a key that are kept and shown.
const SHOWN_PREFIX: usize = 12;

/// What the audit log calls one; the key itself is in no record, only its first characters are.
const API_KEY: &str = "api_key";

#[derive(Clone, Debug, Default)]
pub(crate) struct KeyOptions {
    pub(crate) name: Option<String>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) events_per_second: Option<u32>,
}

/// Makes a key and stores its hash. The raw key is in the answer and nowhere else.
pub(crate) async fn insert_key(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    sandbox: bool,
    options: &KeyOptions,
    now: Timestamp,
) -> Result<ApiKeyCreateResponse, ApiError> {
    let raw_key = random_key(sandbox)?;
    let key = ApiKeyRecord {
        id: ApiKeyId::random(),
        key_prefix: raw_key.chars().take(SHOWN_PREFIX).collect(),
        name: options.name.clone(),
        status: "active".into(),
        last_used_at: None,
        expires_at: options.expires_at,
        events_per_second: options.events_per_second,
        created_at: now,
    };
    sqlx::query(
        "INSERT INTO api_keys (id, organization_id, hash, key_prefix, name, status, expires_at, events_per_second, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $8)",
    )
    .bind(key.id.to_string())
    .bind(organization.to_string())
    .bind(hash_to_hex(&key_hash(&raw_key)))
    .bind(&key.key_prefix)
    .bind(&key.name)
    .bind(key.expires_at.map(|end| end.0))
    .bind(key.events_per_second.map(i64::from))
    .bind(now.0)
    .execute(write.connection())
    .await
    .map_err(DatabaseError::from)?;
    let change = Change { resource: API_KEY, before: None, after: Some(&key) };
    written_down(write, organization, key.id, change, now).await?;
    Ok(ApiKeyCreateResponse { key, organization_id: organization, raw_key, updated_at: now })
}

fn random_key(sandbox: bool) -> Result<String, ApiError> {
    let mut secret = [0_u8; 32];
    OsRng.try_fill_bytes(&mut secret).map_err(ApiError::internal)?;
    let prefix = if sandbox { SANDBOX_PREFIX } else { LIVE_PREFIX };
    Ok(format!("{prefix}{}", hash_to_hex(&secret)))
}

async fn is_sandbox(write: &mut WriteTransaction, organization: OrganizationId) -> Result<bool, ApiError> {
    let row = sqlx::query("SELECT sandbox FROM organizations WHERE id = $1")
        .bind(organization.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    Ok(row.ok_or_else(|| ApiError::not_found("Organization"))?.flag("sandbox")?)
}

async fn revoke(
    write: &mut WriteTransaction,
    organization: OrganizationId,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<(), ApiError> {
    let row = sqlx::query("SELECT * FROM api_keys WHERE organization_id = $1 AND id = $2")
        .bind(organization.to_string())
        .bind(id.to_string())
        .fetch_optional(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    let kept = ApiKeyRecord::read(&row.ok_or_else(|| ApiError::not_found("API key"))?)?;
    sqlx::query("UPDATE api_keys SET status = 'revoked', updated_at = $2 WHERE id = $1")
        .bind(id.to_string())
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    let revoked = ApiKeyRecord { status: "revoked".into(), ..kept.clone() };
    let change = Change { resource: API_KEY, before: Some(&kept), after: Some(&revoked) };
    written_down(write, organization, id, change, now).await
}

impl Catalog {
    /// Makes a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn create_api_key(
        &self,
        organization: OrganizationId,
        new: &ApiKeyCreate,
        now: Timestamp,
    ) -> Result<ApiKeyCreateResponse, ApiError> {
        let mut write = self.write().await?;
        let sandbox = is_sandbox(&mut write, organization).await?;
        let options =
            KeyOptions { name: new.name.clone(), expires_at: new.expires_at, events_per_second: new.events_per_second };
        let key = insert_key(&mut write, organization, sandbox, &options, now).await?;
        self.commit_shown(write, organization).await?;
        Ok(key)
    }

    /// How many active keys of all organizations expire between two instants: for operators, never behind a tenant's route (I8).
    ///
    /// # Errors
    /// As the database.
    pub async fn keys_expiring(&self, from: Timestamp, until: Timestamp) -> Result<i64, DatabaseError> {
        let sql =
            "SELECT COUNT(*) AS found FROM api_keys WHERE status = 'active' AND expires_at >= $1 AND expires_at < $2";
        let row = sqlx::query(sql).bind(from.0).bind(until.0).fetch_one(self.database().pool()).await?;
        Ok(row.try_get("found")?)
    }

    /// A page of an organization's keys, revoked ones too, and their number.
    ///
    /// # Errors
    /// 422 for an unknown order.
    pub async fn api_keys(
        &self,
        organization: OrganizationId,
        params: &ListParams,
    ) -> Result<(Vec<ApiKeyRecord>, i64), ApiError> {
        let listing = Listing {
            table: "api_keys",
            condition: "organization_id = $1",
            bound: &[organization.to_string()],
            orders: &["created_at", "name", "status", "expires_at", "last_used_at"],
        };
        let (rows, total) = listing.page(self.database().pool(), params).await?;
        Ok((rows.iter().map(ApiKeyRecord::read).collect::<Result<_, _>>()?, total))
    }

    /// Revokes a key; again is harmless.
    ///
    /// # Errors
    /// 404 when the organization has no such key.
    pub async fn revoke_api_key(
        &self,
        organization: OrganizationId,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        revoke(&mut write, organization, id, now).await?;
        Ok(self.commit_shown(write, organization).await?)
    }

    /// Revokes an active key and makes one with the same name, limit and end.
    ///
    /// # Errors
    /// 404 when the organization has no such active key.
    pub async fn rotate_api_key(
        &self,
        organization: OrganizationId,
        id: ApiKeyId,
        now: Timestamp,
    ) -> Result<ApiKeyCreateResponse, ApiError> {
        let mut write = self.write().await?;
        let row = sqlx::query("SELECT * FROM api_keys WHERE organization_id = $1 AND id = $2 AND status = 'active'")
            .bind(organization.to_string())
            .bind(id.to_string())
            .fetch_optional(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        let old = ApiKeyRecord::read(&row.ok_or_else(|| ApiError::not_found("API key"))?)?;
        revoke(&mut write, organization, id, now).await?;
        let sandbox = is_sandbox(&mut write, organization).await?;
        let options =
            KeyOptions { name: old.name, expires_at: old.expires_at, events_per_second: old.events_per_second };
        let key = insert_key(&mut write, organization, sandbox, &options, now).await?;
        self.commit_shown(write, organization).await?;
        Ok(key)
    }
}
