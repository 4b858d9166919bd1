//! Storage of idempotency keys ([`http_api::idempotency`]).
//!
//! A claim is one `INSERT … ON CONFLICT DO NOTHING`: of two requests at once one row wins. A claim whose process died is let go
//! after `LEASE`; answers live `RETENTION`.

use crate::catalog::Catalog;
use crate::columns::Columns;
use crate::database::{DatabaseError, WriteTransaction};
use crate::snapshot::hash_to_hex;
use async_trait::async_trait;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use http_api::ApiError;
use http_api::idempotency::{Claim, IdempotencyStore, IdempotentRequest, StoredAnswer};

/// How long an answer is replayed: 24 h, as in the contract.
pub const RETENTION_MICROS: i64 = 24 * 3600 * MICROS_PER_SECOND;
/// How long an unanswered claim holds: twice the longest request (30 s), so that it is never taken from one still running.
pub const LEASE_MICROS: i64 = 60 * MICROS_PER_SECOND;

#[async_trait]
impl IdempotencyStore for Catalog {
    async fn claim(&self, request: &IdempotentRequest, now: Timestamp) -> Result<Claim, ApiError> {
        let mut write = self.write().await?;
        drop_outlived(&mut write, request, now).await?;
        let inserted = sqlx::query(
            "INSERT INTO idempotency_keys (organization_id, method, path, idempotency_key, body_hash, claimed_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(request.organization.to_string())
        .bind(&request.method)
        .bind(&request.path)
        .bind(&request.key)
        .bind(hash_to_hex(&request.body_hash))
        .bind(now.0)
        .execute(write.connection())
        .await
        .map_err(DatabaseError::from)?
        .rows_affected();
        if inserted == 1 {
            write.commit().await?;
            return Ok(Claim::Fresh);
        }
        existing(&mut write, request).await
    }

    async fn keep(&self, request: &IdempotentRequest, answer: &StoredAnswer) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let update = "UPDATE idempotency_keys SET status = $5, body = $6 \
             WHERE organization_id = $1 AND method = $2 AND path = $3 AND idempotency_key = $4";
        sqlx::query(update)
            .bind(request.organization.to_string())
            .bind(&request.method)
            .bind(&request.path)
            .bind(&request.key)
            .bind(i64::from(answer.status))
            .bind(&answer.body)
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        Ok(write.commit().await?)
    }

    async fn release(&self, request: &IdempotentRequest) -> Result<(), ApiError> {
        let mut write = self.write().await?;
        let delete = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND method = $2 AND path = $3 \
             AND idempotency_key = $4 AND status IS NULL";
        sqlx::query(delete)
            .bind(request.organization.to_string())
            .bind(&request.method)
            .bind(&request.path)
            .bind(&request.key)
            .execute(write.connection())
            .await
            .map_err(DatabaseError::from)?;
        Ok(write.commit().await?)
    }
}

async fn drop_outlived(
    write: &mut WriteTransaction,
    request: &IdempotentRequest,
    now: Timestamp,
) -> Result<(), DatabaseError> {
    let delete = "DELETE FROM idempotency_keys WHERE organization_id = $1 AND method = $2 AND path = $3 \
         AND idempotency_key = $4 AND (claimed_at < $5 OR (status IS NULL AND claimed_at < $6))";
    sqlx::query(delete)
        .bind(request.organization.to_string())
        .bind(&request.method)
        .bind(&request.path)
        .bind(&request.key)
        .bind(now.0 - RETENTION_MICROS)
        .bind(now.0 - LEASE_MICROS)
        .execute(write.connection())
        .await?;
    Ok(())
}

async fn existing(write: &mut WriteTransaction, request: &IdempotentRequest) -> Result<Claim, ApiError> {
    let select = "SELECT body_hash, status, body FROM idempotency_keys \
         WHERE organization_id = $1 AND method = $2 AND path = $3 AND idempotency_key = $4";
    let row = sqlx::query(select)
        .bind(request.organization.to_string())
        .bind(&request.method)
        .bind(&request.path)
        .bind(&request.key)
        .fetch_one(write.connection())
        .await
        .map_err(DatabaseError::from)?;
    if row.text("body_hash")? != hash_to_hex(&request.body_hash) {
        return Ok(Claim::OtherBody);
    }
    let Some(status) = row.optional_integer("status")? else { return Ok(Claim::Running) };
    let status = u16::try_from(status).map_err(|fault| DatabaseError::unreadable("status", fault))?;
    Ok(Claim::Answered(StoredAnswer { status, body: row.optional_text("body")?.unwrap_or_default() }))
}

impl Catalog {
    /// Drops answers past their time.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub async fn sweep_idempotency_keys(&self, now: Timestamp) -> Result<u64, DatabaseError> {
        let mut write = self.write().await?;
        let dropped = sqlx::query("DELETE FROM idempotency_keys WHERE claimed_at < $1")
            .bind(now.0 - RETENTION_MICROS)
            .execute(write.connection())
            .await?
            .rows_affected();
        write.commit().await?;
        Ok(dropped)
    }
}
