//! Who is asking (I8): the organization comes from the credential alone.
//!
//! - `Authorization: Bearer tg_live_…` (or `tg_test_…`): the key decides; `X-Organization-Id` beside it changes nothing.
//! - `X-Admin-Secret` with `X-Organization-Id`: the operator acts for that organization.
//! - `X-Organization-Id` alone, a wrong or expired credential, no credential: 401 (behaviour W1 let all of them in).
//!
//! A raw key is hashed (SHA-256 over the whole key), looked up by the first 8 bytes of the hash, and the whole hash is compared in
//! constant time. A key that is not in the snapshot is looked for once more in a refreshed one; the catalog bounds how often
//! that touches storage, so guessing keys costs the guesser only.

use crate::clock::SharedClock;
use crate::error::ApiError;
use crate::request_context::RequestContext;
use crate::secret::Secret;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::ids::{ApiKeyId, OrganizationId};
use domain::snapshot::{CatalogSnapshot, KeyEntry, OrganizationEntry, SnapshotCell};
use domain::time::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use subtle::ConstantTimeEq;

/// Shortest admin secret that is honoured; with a shorter one every admin call is 401.
pub const MIN_ADMIN_SECRET: usize = 32;
/// Header of the operator's secret.
pub const ADMIN_SECRET_HEADER: &str = "x-admin-secret";
/// Header that names the organization the operator acts for.
pub const ORGANIZATION_HEADER: &str = "x-organization-id";

/// What deciding who is asking needs. Reachable from every router's state by `FromRef`.
#[derive(Clone)]
pub struct AuthState {
    /// Keys and organizations.
    pub snapshot: SnapshotCell,
    /// The operator's secret; absent: admin routes are closed.
    pub admin_secret: Option<Secret>,
    /// The machine's clock, for expiry and for live organizations' "now".
    pub clock: SharedClock,
    /// When each key was last used, written down lazily by the catalog.
    pub usage: Arc<KeyUsage>,
}

impl AuthState {
    /// State over a snapshot.
    #[must_use]
    pub fn new(snapshot: SnapshotCell, admin_secret: Option<Secret>, clock: SharedClock) -> Self {
        Self { snapshot, admin_secret, clock, usage: Arc::default() }
    }
}

/// A caller with an organization.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The only organization this request may touch.
    pub organization: OrganizationId,
    /// The key it came with; absent when the operator acts.
    pub key_id: Option<ApiKeyId>,
    /// Events a second the key may send; absent: no limit.
    pub key_events_per_second: Option<u32>,
    /// What the event path knows of the organization, at the moment of the request.
    pub entry: Arc<OrganizationEntry>,
    /// "Now" for this organization: a sandbox's own clock, else the machine's.
    pub now: Timestamp,
}

/// The operator.
#[derive(Clone, Copy, Debug)]
pub struct Admin;

/// Either: for routes that serve one organization or, for the operator without one, all.
#[derive(Clone, Debug)]
pub enum Caller {
    /// One organization.
    Organization(Box<Authenticated>),
    /// The operator, for all organizations.
    Admin,
}

/// SHA-256 of a raw API key, as it is stored.
#[must_use]
pub fn key_hash(raw_key: &str) -> [u8; 32] {
    Sha256::digest(raw_key.as_bytes()).into()
}

/// The bucket of a hash in [`CatalogSnapshot::keys`]: its first 8 bytes, big endian.
#[must_use]
pub fn key_bucket(hash: &[u8; 32]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

impl<S: Send + Sync> FromRequestParts<S> for Authenticated
where
    AuthState: FromRef<S>,
{
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = AuthState::from_ref(state).authenticate(&parts.headers).await?;
        if let Some(context) = parts.extensions.get::<RequestContext>() {
            context.note_organization(caller.organization);
        }
        Ok(caller)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Admin
where
    AuthState: FromRef<S>,
{
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        AuthState::from_ref(state).require_admin(&parts.headers)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller
where
    AuthState: FromRef<S>,
{
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let auth = AuthState::from_ref(state);
        let names_no_organization =
            !parts.headers.contains_key(AUTHORIZATION) && !parts.headers.contains_key(ORGANIZATION_HEADER);
        if names_no_organization && parts.headers.contains_key(ADMIN_SECRET_HEADER) {
            return auth.require_admin(&parts.headers).map(|Admin| Self::Admin);
        }
        Authenticated::from_request_parts(parts, state).await.map(|caller| Self::Organization(Box::new(caller)))
    }
}

impl AuthState {
    /// Decides who is asking.
    ///
    /// # Errors
    /// 401 without a good credential; 400 or 404 when the operator names no organization that exists.
    pub async fn authenticate(&self, headers: &HeaderMap) -> Result<Authenticated, ApiError> {
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            let raw_key = authorization.to_str().ok().and_then(bearer_token);
            let raw_key = raw_key.ok_or_else(|| {
                ApiError::unauthorized("invalid_credentials", "send the API key as 'Authorization: Bearer <key>'")
            })?;
            return self.by_key(raw_key).await;
        }
        if headers.contains_key(ADMIN_SECRET_HEADER) {
            let Admin = self.require_admin(headers)?;
            return self.for_organization(headers).await;
        }
        Err(ApiError::unauthorized("missing_credentials", "send an API key as 'Authorization: Bearer <key>'"))
    }

    async fn by_key(&self, raw_key: &str) -> Result<Authenticated, ApiError> {
        let hash = key_hash(raw_key);
        let mut snapshot = self.snapshot.current();
        let mut key = find_key(&snapshot, &hash).cloned();
        if key.is_none() {
            snapshot = self.snapshot.refreshed().await;
            key = find_key(&snapshot, &hash).cloned();
        }
        let key = key.ok_or_else(|| ApiError::unauthorized("invalid_api_key", "the API key is unknown or revoked"))?;
        let machine_now = self.clock.now();
        if key.expires_at.is_some_and(|end| end <= machine_now) {
            return Err(ApiError::unauthorized("expired_api_key", "the API key has expired"));
        }
        let entry = snapshot.organizations.get(&key.organization).cloned();
        let entry =
            entry.ok_or_else(|| ApiError::unauthorized("invalid_api_key", "the API key is unknown or revoked"))?;
        self.usage.note(key.id, machine_now);
        Ok(Authenticated {
            organization: key.organization,
            key_id: Some(key.id),
            key_events_per_second: key.events_per_second,
            now: entry.clock.unwrap_or(machine_now),
            entry,
        })
    }

    fn require_admin(&self, headers: &HeaderMap) -> Result<Admin, ApiError> {
        let sent = headers.get(ADMIN_SECRET_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let good = self
            .admin_secret
            .as_ref()
            .is_some_and(|secret| secret.reveal().len() >= MIN_ADMIN_SECRET && secret.matches(sent));
        if good {
            Ok(Admin)
        } else {
            Err(ApiError::unauthorized("invalid_admin_secret", "invalid or missing X-Admin-Secret"))
        }
    }

    async fn for_organization(&self, headers: &HeaderMap) -> Result<Authenticated, ApiError> {
        let sent = headers.get(ORGANIZATION_HEADER).and_then(|value| value.to_str().ok()).ok_or_else(|| {
            ApiError::bad_request("missing_organization", "send X-Organization-Id beside X-Admin-Secret")
        })?;
        let organization: OrganizationId = sent
            .parse()
            .map_err(|_| ApiError::bad_request("invalid_organization", "X-Organization-Id is not a UUID"))?;
        let mut entry = self.snapshot.current().organizations.get(&organization).cloned();
        if entry.is_none() {
            entry = self.snapshot.refreshed().await.organizations.get(&organization).cloned();
        }
        let entry = entry.ok_or_else(|| ApiError::not_found("Organization"))?;
        let now = entry.clock.unwrap_or_else(|| self.clock.now());
        Ok(Authenticated { organization, key_id: None, key_events_per_second: None, entry, now })
    }
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn find_key<'a>(snapshot: &'a CatalogSnapshot, hash: &[u8; 32]) -> Option<&'a KeyEntry> {
    snapshot.keys.get(&key_bucket(hash))?.iter().find(|key| key.hash.ct_eq(hash).into())
}

/// When keys were last used, kept in memory: a write per request would make the ledger's one writer the limit of ingest.
#[derive(Debug, Default)]
pub struct KeyUsage {
    last_used: RwLock<HashMap<ApiKeyId, AtomicI64>>,
}

impl KeyUsage {
    /// Notes a use. Takes a read lock but for a key's first use.
    pub fn note(&self, key: ApiKeyId, now: Timestamp) {
        // A poisoned lock still guards a whole map: no writer leaves it half changed.
        let known = self.last_used.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = known.get(&key) {
            last.fetch_max(now.0, Ordering::Relaxed);
            return;
        }
        drop(known);
        let mut keys = self.last_used.write().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key).or_default().fetch_max(now.0, Ordering::Relaxed);
    }

    /// Takes what was noted since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<(ApiKeyId, Timestamp)> {
        let mut keys = self.last_used.write().unwrap_or_else(PoisonError::into_inner);
        keys.drain().map(|(key, last)| (key, Timestamp(last.into_inner()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use axum::http::HeaderValue;

    const ADMIN: &str = "0123456789abcdef0123456789abcdef";
    const KEY: &str = "tg_live_aaaa";

    struct World {
        auth: AuthState,
        organization: OrganizationId,
        clock: Arc<FixedClock>,
    }

    fn world(sandbox_clock: Option<Timestamp>) -> World {
        let organization = OrganizationId::random();
        let hash = key_hash(KEY);
        let key = KeyEntry {
            id: ApiKeyId::random(),
            organization,
            hash,
            expires_at: Some(Timestamp(1_000)),
            events_per_second: Some(7),
        };
        let mut snapshot = CatalogSnapshot::default();
        snapshot.keys.insert(key_bucket(&hash), vec![key]);
        let entry = OrganizationEntry { clock: sandbox_clock, ..Default::default() };
        snapshot.organizations.insert(organization, Arc::new(entry));
        let clock = FixedClock::at(Timestamp(999));
        let auth = AuthState::new(SnapshotCell::fixed(snapshot), Some(Secret::new(ADMIN)), clock.clone());
        World { auth, organization, clock }
    }

    async fn ask(world: &World, headers: &[(&'static str, &str)]) -> Result<Authenticated, ApiError> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (axum::http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        world.auth.authenticate(&headers).await
    }

    #[tokio::test]
    async fn a_key_alone_decides_the_organization() {
        let world = world(None);
        let other = OrganizationId::random().to_string();
        let caller =
            ask(&world, &[("authorization", "Bearer tg_live_aaaa"), ("x-organization-id", &other)]).await.unwrap();
        assert_eq!((caller.organization, caller.key_events_per_second), (world.organization, Some(7)));
        assert_eq!(world.auth.usage.take(), [(caller.key_id.unwrap(), Timestamp(999))]);
    }

    #[tokio::test]
    async fn everything_without_a_good_credential_is_401() {
        let world = world(None);
        let organization = world.organization.to_string();
        let attempts: [&[(&'static str, &str)]; 8] = [
            &[],
            &[("x-organization-id", &organization)],
            &[("authorization", "Basic tg_live_aaaa")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer tg_live_aaab")],
            &[("authorization", "Bearer eyJhbGciOi.x.y")],
            &[("x-admin-secret", "wrong"), ("x-organization-id", &organization)],
            &[("authorization", "Bearer nope"), ("x-admin-secret", ADMIN), ("x-organization-id", &organization)],
        ];
        for headers in attempts {
            assert_eq!(ask(&world, headers).await.unwrap_err().status().as_u16(), 401, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn an_expired_key_is_401_from_the_instant_of_its_end() {
        let world = world(None);
        world.clock.set(Timestamp(1_000));
        let error = ask(&world, &[("authorization", "Bearer tg_live_aaaa")]).await.unwrap_err();
        assert_eq!(error.code(), "expired_api_key");
    }

    #[tokio::test]
    async fn the_operator_selects_an_organization_that_exists() {
        let world = world(None);
        let (mine, unknown) = (world.organization.to_string(), OrganizationId::random().to_string());
        let caller = ask(&world, &[("x-admin-secret", ADMIN), ("x-organization-id", &mine)]).await.unwrap();
        assert_eq!((caller.organization, caller.key_id), (world.organization, None));
        let status = |error: ApiError| error.status().as_u16();
        assert_eq!(status(ask(&world, &[("x-admin-secret", ADMIN)]).await.unwrap_err()), 400);
        let asked = ask(&world, &[("x-admin-secret", ADMIN), ("x-organization-id", &unknown)]).await;
        assert_eq!(status(asked.unwrap_err()), 404);
    }

    #[tokio::test]
    async fn a_short_admin_secret_opens_nothing() {
        let mut world = world(None);
        world.auth.admin_secret = Some(Secret::new("short"));
        let mine = world.organization.to_string();
        assert!(ask(&world, &[("x-admin-secret", "short"), ("x-organization-id", &mine)]).await.is_err());
    }

    #[tokio::test]
    async fn now_is_the_sandboxs_own_clock() {
        let world = world(Some(Timestamp(5)));
        let caller = ask(&world, &[("authorization", "Bearer tg_live_aaaa")]).await.unwrap();
        assert_eq!(caller.now, Timestamp(5));
    }
}
